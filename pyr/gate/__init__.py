"""Whether a checkpoint may go on: rules -> findings -> one verdict.

A gate has four parts: what its phase *teaches*, what it *keeps*, the *floors* of every score, and
the *guards* of health and cost. A rule names measures (``task/metric``, globs as in the shell;
``*`` also crosses a slash) and what must hold of each. A group's pooled row is a measure like any
other: ``blimp/acc``. Every rule is a half line of allowed values, and a finding is three-valued:

    word            of               allowed                    (direction: higher)
    at_least x      the score        score >= x
    at_most x       the score        score <= x
    not_worse_by m  the difference   delta >= -m                a drop of m itself is allowed
    better_by m     the difference   delta >   m                a gain of m itself is not enough

    pass     the one-sided bound at the gate's confidence lies inside
    fail     the bound on the other side lies outside, also as one of many (Holm)
    unclear  neither, or something stands in the way: a score that is missing, partial, not finite,
             at chance or of one item, a run that was broken off, other documents, prompts or suites

For ``direction: lower`` the last two are mirrored. A broken health check fails whatever else is
missing.

    spec.py        the files that people write, and what a gate answers
    verdict.py     two runs -> comparisons, noise, findings, verdict; Holm over the rules
    rules.py       one rule against one estimate; preconditions of judging and passing
    power.py       what a gate can resolve, before anything is measured
    sequential.py  bounds under repeated looks; a run in stages: who is asked more
    bisect.py      the first bad one of a training's checkpoints
    record.py      verdicts on disk: read, overruled, recomputed
    sentences.py   findings in words
"""

from pyr.gate.record import accept, as_json, read_verdict, still_accepted, verify
from pyr.gate.verdict import Assessment, assess, judge, verdict_state, with_health

__all__ = [
    "Assessment",
    "accept",
    "as_json",
    "assess",
    "judge",
    "read_verdict",
    "still_accepted",
    "verdict_state",
    "verify",
    "with_health",
]
