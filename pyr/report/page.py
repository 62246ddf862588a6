"""The report as one HTML file that needs nothing else: no server, no network, no other file.

Jinja2 quotes every value (autoescape); only the charts are inserted as they are. The page's own
policy forbids everything from elsewhere and every script but its own, so that a sample that
slipped through could still do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyr import content
from pyr.report import figures, forgetting, marks, speed, words
from pyr.report.measures import Measure
from pyr.report.outline import Report, title

TEMPLATE = "reports/templates/report.html.j2"
FILTERS: dict[str, Callable[..., str]] = {
    "number": words.number,
    "signed": words.signed,
    "reach": words.reach,
    "short_digest": words.short_digest,
    "count": words.count,
    "clustered": words.clustered,
    "large": words.large,
    "plural": words.plural,
    "delta": forgetting.delta,
    "spread": forgetting.spread,
}
"""How a page writes its values; the page of a training has a few more."""
ROWS_FIRST = 24
"""The others appear when asked for (at once where there is no script, and on paper)."""
SCALES_SAID = 3
ROWS_SHOWN = 600
"""More measures than this would make the file too large; the rest stands in the JSON."""


@dataclass(frozen=True, slots=True)
class Row:
    """A measure with its marks."""

    measure: Measure
    mark: marks.Mark | None
    spark: marks.Spark | None
    places: int
    """Decimals of the row's numbers."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart and the words that say the same."""

    svg: str
    name: str
    says: str
    word: str = ""


def render(report: Report, template: Path | None = None) -> str:
    """The whole page; the same report gives the same bytes.

    template: another Jinja2 file than the shipped one, given the same values.
    """
    shown = [each for each in report.measures if each.section == "task"]
    html = content.template(template or content.path(TEMPLATE), FILTERS).render(
        report=report,
        title=title,
        rows=rows(shown[:ROWS_SHOWN], report.candidate.checkpoint.reached(report.axis)),
        rows_first=ROWS_FIRST,
        rows_left_out=max(0, len(shown) - ROWS_SHOWN),
        scales=_widest(marks.scales(shown), shown),
        throughput=rows([speed.readable(each) for each in report.of("throughput")]),
        health_rules=sum(each.kind == "check" for each in report.findings),
        sound_rules=[
            each.measure
            for each in report.findings
            if each.kind == "check" and each.state == "pass"
        ],
        suite_facts=[each.label for each in report.facts if each.label.startswith("suite.")],
        glossary=words.glossary(each.sentence for each in report.findings),
        other_speed=speed.other_speed(report.measures),
        machine=_machine(report),
        tokenizers=rows(report.of("tokenizer")),
        condition=rows(report.of("condition")),
        references=_references(report),
        charts=charts(report),
        smallest=forgetting.SMALLEST,
        discovery=f"{forgetting.FALSE_DISCOVERY_RATE:.0%}",
        tokenizer_chart=_tokenizer_chart(report),
    )
    return _seal(html)


def rows(measures: Sequence[Measure], at: int | None = None) -> list[Row]:
    """The measures with their marks: of the difference, or of the score where there is none.

    at: the candidate's place among its checkpoints.
    """
    scale = marks.scales(measures)
    compared = any(each.delta is not None for each in measures)
    return [
        Row(
            measure=each,
            mark=marks.difference(each, scale) if compared else marks.score(each),
            spark=marks.spark(each.trail, at),
            places=words.decimals(
                each.candidate.value if each.candidate else None,
                each.baseline.value if each.baseline else None,
            ),
        )
        for each in measures
    ]


def charts(report: Report) -> list[Chart]:
    """The trajectories, each with a sentence for those who cannot see it."""
    by_name = {each.name: each for each in report.measures}
    reached = report.candidate.checkpoint.reached(report.axis)
    drawn = []
    for measure in (by_name[name] for name in report.charts):
        first, last = measure.trail[0], measure.trail[-1]
        best = (max if measure.direction == "higher" else min)(
            measure.trail, key=lambda point: point.value
        )
        says = (
            f"{len(measure.trail)} checkpoints: {words.number(first.value)} at "
            f"{words.large(first.x)} {report.axis}, best {words.number(best.value)} at "
            f"{words.large(best.x)}, {words.number(last.value)} at {words.large(last.x)}."
        )
        svg = figures.trajectory(measure, report.axis, at=reached)
        drawn.append(Chart(svg=svg, name=measure.name, says=says, word=measure.word))
    return drawn


def _widest(scales: dict[str, float], measures: Sequence[Measure]) -> dict[str, float]:
    """The scales that most measures share, to be said under the table."""
    shared = Counter(marks.scale_name(each) for each in measures if each.delta is not None)
    return {name: scales[name] for name, _ in shared.most_common(SCALES_SAID) if name in scales}


def _machine(report: Report) -> str:
    """What the candidate ran on: its device, and the processor where that is no other thing."""
    known = report.candidate.environment
    device = str(known.get("device", ""))
    own = [device, str(known.get("processor") or known.get("machine") or "")]
    return ", ".join(each for each in own if each) or "a machine that is not stated"


def _references(report: Report) -> dict[str, dict[str, float]]:
    """{domain: {tokenizer: bytes per token}} of the reference tokenizers."""
    table: dict[str, dict[str, float]] = {}
    for each in sorted(report.of("reference"), key=lambda each: each.name):
        if each.candidate is not None:
            domain, name = each.task.partition(":")[2], each.metric.partition("@")[2]
            table.setdefault(domain, {})[name] = each.candidate.value
    return table


def _tokenizer_chart(report: Report) -> str:
    own = sorted(report.of("tokenizer"), key=lambda each: each.name)
    known = [each for each in own if each.candidate and each.metric == "bytes_per_token"]
    if not known:
        return ""
    references = _references(report)
    groups = {}
    for each in known:
        domain = each.task.partition(":")[2]
        if each.candidate and domain:
            value = each.candidate.value
            group = [figures.Bar("this model", value, value, value, own=True)]
            for name, other in references.get(domain, {}).items():
                group.append(figures.Bar(name, other, other, other))
            groups[domain] = group
    return figures.bars(groups, "bytes per token by domain")


def _seal(html: str) -> str:
    """Allow exactly the page's own script: its digest takes the place of a placeholder."""
    script = re.search(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = hashlib.sha256(script[1].encode() if script else b"").digest()
    return html.replace("SCRIPT-DIGEST", f"sha256-{base64.b64encode(digest).decode()}", 1)
