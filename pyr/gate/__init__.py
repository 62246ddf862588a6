"""Whether a checkpoint may go on: rules -> findings -> one verdict.

A rule names measures (``task/metric``, globs as in the shell; ``*`` also crosses a slash) and what
must hold of each. A group's pooled row is a measure like any other: ``blimp/acc``. Every rule is a
half line of allowed values, and a finding is three-valued:

    word            of               allowed                    (better: higher)
    at_least x      the score        score >= x
    at_most x       the score        score <= x
    not_worse_by m  the difference   delta >= -m                a drop of m itself is allowed
    better_by m     the difference   delta >   m                a gain of m itself is not enough

    pass     the one-sided bound at the gate's confidence lies inside
    fail     the bound on the other side lies outside
    unclear  neither, or something stands in the way: a score that is missing, partial, not finite
             or of one item, a run that was broken off, other documents, other prompts

For ``better: lower`` the last two are mirrored. Passing needs every rule to pass, so that no
correction for many rules is needed against a false pass (an intersection-union test: Berger 1982,
Technometrics 24). A broken health check fails whatever else is missing.

    verdict.py     the rules on the bench: what they match, what stands in the way, the verdict
    rules.py       one rule against one estimate: the allowed values, the state, the n needed
    sentences.py   findings in words
    health.py      the rule that every gate has
"""

from pyr.gate.health import with_health
from pyr.gate.verdict import judge, verdict_state

__all__ = ["judge", "verdict_state", "with_health"]
