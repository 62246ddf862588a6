"""No gate lets a broken checkpoint through, whatever it lists."""

from __future__ import annotations

from pyr.gate.spec import Gate, Rule
from pyr.schema import HEALTH, Run


def with_health(gate: Gate, run: Run) -> Gate:
    """The gate with a guard that every health check holds, unless it has one.

    An imported run has no health records, and nothing to be said of them.
    """
    named = any(rule.task == HEALTH for rule in gate.rules)
    if named or run.checkpoint.format == "imported":
        return gate
    health = Rule(measure=f"{HEALTH}/*", at_least=1, why="a broken checkpoint has no scores")
    return gate.model_copy(update={"guards": [health, *gate.guards]})
