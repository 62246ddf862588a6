"""Many rules, one verdict: what their number does to its two errors.

A false pass needs every rule to pass by chance at once: each at its own level keeps the whole at
that level, uncorrected (intersection-union test: Berger 1982, Technometrics 24). A false fail needs
only one, and grows with their number: there Holm's correction keeps the chance that any sound
measure fails at one minus the gate's confidence (Holm 1979, Scandinavian Journal of Statistics 6).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from scipy import special

from pyr.compare import holm
from pyr.gate import sentences
from pyr.gate.spec import Finding


def corrected(findings: Sequence[Finding], alpha: float) -> list[Finding]:
    """The findings, those that fail only by their number made unclear.

    The family is every finding with a test behind it. Broken checks are no test: they stay.
    """
    family = [finding.p_fail for finding in findings]
    certain = holm(family, alpha)
    count = sum(p is not None for p in family)
    return [
        _demoted(finding, alpha, count)
        if finding.state == "fail" and finding.p_fail is not None and not sure
        else finding
        for finding, sure in zip(findings, certain, strict=True)
    ]


def _demoted(finding: Finding, alpha: float, count: int) -> Finding:
    """z grows with sqrt(n): as many times more items as the squared ratio of z asked to z seen."""
    needed, said = None, "more items would decide it"
    if finding.p_fail and finding.observed and finding.observed.n:
        seen, asked = special.ndtri([finding.p_fail, alpha / count])
        needed = math.ceil(finding.observed.n * (asked / seen) ** 2)
        said = sentences.items_needed(needed)
    remarks = (*finding.remarks, sentences.one_of_many(count, said))
    return dataclasses.replace(finding, state="unclear", n_needed=needed, remarks=remarks)
