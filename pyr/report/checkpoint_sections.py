"""The sections of a checkpoint's page below its measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pyr.report import charts, words
from pyr.report import forgetting as forgot
from pyr.report.document import (
    Block,
    Cell,
    Chart,
    Charts,
    Column,
    Content,
    Fold,
    Group,
    Heading,
    Piece,
    Quote,
    Row,
    Sides,
    Table,
    Text,
)
from pyr.report.measure_cells import estimate, plain_table
from pyr.report.measures import Measure, other_speed, readable
from pyr.report.outline import Report
from pyr.report.samples import Answer, Sample, Trait, Writing

FAR = 2.0
"""Standard deviations of the references from which a trait is said to be far from them."""


# ------------------------------------------------------------------ items that flipped


def flips(report: Report) -> Iterator[Block]:
    """Items that one checkpoint answers and the other does not."""
    yield Text(
        "Items that one checkpoint answers and the other does not. They are shown in the suite's "
        "own order: nobody picked them."
    )
    for each in report.flips:
        total = each.still_right + each.still_wrong + each.lost + each.gained
        together = words.clustered(total, each.clusters)
        counted = f"{each.still_right} still right, {each.still_wrong} still wrong"
        if together:
            counted += f"; {words.count(total)} items {together}"
        summary = (
            f"{each.task} ",
            Piece(each.metric, "small"),
            Piece(f"{each.lost} lost", tone="word worse"),
            Piece(f"{each.gained} gained", tone="word better"),
            Piece(counted, "small"),
        )
        blocks = [
            *_bucket("Right before, wrong now", each.lost, each.lost_samples),
            *_bucket("Wrong before, right now", each.gained, each.gained_samples),
        ]
        yield Fold(summary, blocks, kind="card flips")
    yield Text(
        "Scores of choices are log-likelihoods in nats; the arrow marks the choice that was "
        "picked, for acc_norm by nats a character.",
        "foot",
    )


def _bucket(heading: str, amount: int, samples: Sequence[Sample]) -> Iterator[Block]:
    if not amount:
        return
    first = f" the first {len(samples)} of them" if amount > len(samples) else ""
    yield Heading((f"{heading}: {amount}", Piece(first, "small")))
    for sample in samples:
        blocks: list[Block] = [Quote(sample.prompt)] if sample.prompt else []
        if sample.candidate.scores:
            blocks.append(_choices(sample))
        else:
            if sample.wanted:
                blocks.append(Text((Piece("wanted", "small"), f" {sample.wanted}")))
            sides = (("before", sample.baseline.text), ("now", sample.candidate.text))
            blocks.append(Sides([Quote(text, who) for who, text in sides]))
        summary = (Piece(f"item {sample.item}", "small"), f" {sample.gist or sample.wanted}")
        yield Fold(summary, blocks, kind="sample")


def _choices(sample: Sample) -> Table:
    rows = []
    total = len(sample.candidate.scores)
    for place in range(total):
        only = "the wanted text" if total == 1 else str(place)
        choice = sample.choices[place] if place < len(sample.choices) else only
        right = place == sample.target
        name = (choice, Piece(" right answer" if right else "", "small"))
        sides = (_score(sample.baseline, place), _score(sample.candidate, place))
        rows.append(Row((name, *sides), "target" if right else ""))
    columns = (Column("Choice", "text"), Column("before"), Column("now"))
    caption = "Log-likelihood of every choice"
    return Table("Choices", columns, rows, caption=caption)


def _score(answer: Answer, place: int) -> Cell:
    parts: list[str | Piece] = []
    if place < len(answer.scores):
        parts.append(words.number(answer.scores[place], 2))
    if place < len(answer.per_character):
        each = words.number(answer.per_character[place], 3)
        parts.append(Piece(f" {each} a character", "small"))
    picked = place == answer.pick
    if picked:
        parts.append(Piece(" picked", "hidden"))
    return Cell(tuple(parts), "picked" if picked else "")


# ------------------------------------------------------------------ over training


def training(report: Report) -> Iterator[Block]:
    """The trajectories, each with a sentence for those who cannot see it."""
    axis = "training tokens" if report.axis == "tokens" else "training steps"
    yield Text(f"What the gate and the changes above are about, over {axis}.")
    by_name = {each.name: each for each in report.measures}
    key: list[tuple[Literal["dot", "band", "dashed", "dotted", "shade"], str]] = [
        ("dot", "this checkpoint; red where it is worse than the baseline"),
        ("band", "the score with its 95% interval"),
    ]
    if report.baseline is not None:
        key.append(("dashed", f"level of the baseline, {report.baseline.checkpoint.name}"))
    key += [
        ("dotted", "what guessing would score, where it is known"),
        ("shade", "every other phase of the training is shaded"),
    ]
    yield Charts([_trajectory(report, by_name[name]) for name in report.charts], key)


def _trajectory(report: Report, measure: Measure) -> Chart:
    first, last = measure.trail[0], measure.trail[-1]
    choose = max if measure.direction == "higher" else min
    best = choose(measure.trail, key=lambda point: point.value)
    says = (
        f"{len(measure.trail)} checkpoints: {words.number(first.value)} at "
        f"{words.large(first.x)} {report.axis}, best {words.number(best.value)} at "
        f"{words.large(best.x)}, {words.number(last.value)} at {words.large(last.x)}."
    )
    reached = report.candidate.checkpoint.reached(report.axis)
    svg = charts.trajectory(measure, report.axis, at=reached)
    return Chart(svg, measure.name, says, measure.word)


# ------------------------------------------------------------------ forgetting


def forgetting(report: Report) -> Iterator[Block]:
    """Text sets by checkpoints."""
    matrix = report.forgetting
    assert matrix is not None
    yield Text(
        "Bits per byte of every text set at every checkpoint, less is better. Below each figure "
        "the change from the best checkpoint before it, with its two-sided 95% interval, in pairs "
        "over documents."
    )
    columns = [Column("Checkpoint", "text")]
    for domain, documents in zip(matrix.domains, matrix.documents, strict=True):
        count = Piece(f"n={words.count(documents)}", "small")
        columns.append(Column((domain.replace("_", " "), " ", count)))
    rows = []
    for row in matrix.rows:
        about: list[str | Piece] = [row.phase or row.name, " "]
        about.append(Piece(row.name if row.phase else "", "small"))
        if row.is_candidate:
            about += [" ", Piece("this checkpoint", "strong")]
        cells = [score_cell(cell, failed=True) for cell in row.cells]
        rows.append(Row((tuple(about), *cells), "" if row.is_last_of_phase else "inside"))
    caption = "Bits per byte by checkpoint and text set"
    yield Table("Forgetting matrix", columns, rows, kind="matrix", caption=caption)
    left_out = ""
    if matrix.left_out:
        are = "is" if matrix.left_out == 1 else "are"
        left_out = f" {words.plural(matrix.left_out, 'checkpoint')} inside phases {are} not shown."
    yield Text(
        "Worse and better are said of what stands out among all of the matrix (Benjamini-Hochberg "
        f"at {forgot.FALSE_DISCOVERY_RATE:.0%}) and is {forgot.SMALLEST} bits per byte or more; n "
        "is the number of documents. The best of several checkpoints looks a little better than it "
        f"is, and what follows it a little worse.{left_out}",
        "foot",
    )


def score_cell(score: forgot.Cell | None, *, failed: bool) -> Cell:
    """A text set at a checkpoint, with its change.

    failed: a loss is one that is not allowed, and so is coloured as worse.
    """
    if score is None:
        return Cell(Piece("not asked", "small"))
    tone = {"forgot": "worse" if failed else "lost", "learnt": "better"}.get(score.change, "")
    value = f"{words.number(score.value, 3)} "
    if score.delta is None:
        return Cell((value, Piece(score.change, "small")), tone)
    change = Piece(f"{score.said}{forgot.delta(score)}", "small")
    return Cell((value, change, " ", Piece(forgot.spread(score), "small")), tone)


# ------------------------------------------------------------------ what it writes


def writing(report: Report) -> Iterator[Block]:
    """What the checkpoint wrote by itself, by domain."""
    yield Text(
        "The same prompts, gone on with by itself. Distances are from the reference texts of each "
        "domain, in their standard deviations; neither more nor less of a trait is better."
    )
    compared = report.baseline is not None
    for place, each in enumerate(report.writing):
        far = [_name(trait) for trait in each.traits if (_distance(trait) or 0.0) > FAR]
        said = f" far from the reference in {', '.join(far)}" if far else ""
        blocks: list[Block] = [_traits(each, compared)] if each.traits else []
        for text in each.texts:
            blocks.append(Quote(text.prompt, "Prompt"))
            sides = []
            if text.baseline is not None:
                sides.append(Quote(text.baseline or "(nothing)", "before"))
            heading = "now" if text.baseline is not None else "what it wrote"
            blocks.append(Sides([*sides, Quote(text.candidate or "(nothing)", heading)]))
        summary = (each.domain, Piece(said, "small"))
        yield Fold(summary, blocks, open=place == 0, kind="card flips sample-texts")


def _name(trait: Trait) -> str:
    return trait.measure.metric.replace("_", " ")


def _distance(trait: Trait, *, before: bool = False) -> float | None:
    if trait.distance is None:
        return None
    known = trait.distance.baseline if before else trait.distance.candidate
    return known.value if known else None


def _traits(each: Writing, compared: bool) -> Table:
    heads = ["Reference", "Now", *(["Before"] if compared else []), "Distance now"]
    heads += ["Distance before"] if compared else []
    rows = []
    for trait in each.traits:
        reference = "-" if trait.reference is None else words.number(trait.reference)
        cells: list[Content] = [_name(trait), reference, estimate(trait.measure) or "-"]
        if compared:
            before = trait.measure.baseline
            cells.append(words.number(before.value) if before else "-")
        cells.append(words.number(_distance(trait), 2))
        if compared:
            cells.append(words.number(_distance(trait, before=True), 2))
        rows.append(cells)
    columns = [Column("Trait", "text"), *(Column(head, label=head) for head in heads)]
    caption = "Traits of what was written"
    return Table(f"Traits of {each.domain}", columns, rows, kind="traits", caption=caption)


# ------------------------------------------------------------------ tokenizer and speed


def tokenizer(report: Report) -> Iterator[Block]:
    """Bytes per token by domain, beside the reference tokenizers."""
    yield Text(
        "Bytes of text in one token, by domain: more is better, the same text costs fewer steps. n "
        "is the number of texts."
    )
    references: dict[str, list[charts.Bar]] = {}
    for each in sorted(report.of("reference"), key=lambda each: each.name):
        if each.candidate is not None:
            value, domain = each.candidate.value, each.task.partition(":")[2]
            bar = charts.Bar(each.metric.partition("@")[2], value, value, value)
            references.setdefault(domain, []).append(bar)
    groups = {}
    for each in sorted(report.of("tokenizer"), key=lambda each: each.name):
        domain = each.task.partition(":")[2]
        if each.candidate is not None and each.metric == "bytes_per_token" and domain:
            value = each.candidate.value
            own = charts.Bar("this model", value, value, value, own=True)
            groups[domain] = [own, *references.get(domain, [])]
    blocks: list[Block] = []
    if groups:
        says = "beside the reference tokenizers found on the machine" if references else ""
        svg = charts.bars(groups, "bytes per token by domain")
        blocks.append(Charts([Chart(svg, "Bytes per token", says)]))
    compared = report.baseline is not None
    label = "Bytes per token by domain"
    measures = report.of("tokenizer")
    blocks.append(plain_table(measures, label, "Domain", compared=compared, units=False))
    yield Group(blocks, "pair")


def throughput(report: Report) -> Iterator[Block]:
    """Speeds, and whether they compare."""
    known = report.candidate.environment
    own = [str(known.get("device", "")), str(known.get("processor") or known.get("machine") or "")]
    machine = ", ".join(filter(None, own)) or "a machine that is not stated"
    said = (
        f"Speed on {machine}; what the machine itself could do then stands in matrix peak and "
        "memory bandwidth. "
    )
    yield Text((said, Piece(other_speed(report.measures), "strong")))
    measures = [readable(each) for each in report.of("throughput")]
    compared = report.baseline is not None
    yield plain_table(measures, "Throughput", "Measure", compared=compared)


# ------------------------------------------------------------------ provenance


def provenance(report: Report) -> Iterator[Block]:
    """Who, what, where; the suite's own facts folded away."""
    compared = report.baseline is not None
    marked = "; lines where the two runs differ are marked" if compared else ""
    yield Text(f"Who, what, where{marked}.")
    heads = ["Fact", "This run", *(["Baseline"] if compared else [])]
    rows = []
    asked = []
    section = ""
    for fact in report.facts:
        of_suite = fact.label.startswith("suite.")
        if of_suite:
            asked.append((fact.label, fact.candidate))
        if of_suite and not fact.differs:
            continue
        if fact.section != section:
            section = fact.section
            rows.append(Row([Cell(section, span=len(heads))], "part"))
        mine, theirs = words.short_digest(fact.candidate), words.short_digest(fact.baseline)
        cells: list[Content | Cell] = [mine]
        if compared and fact.candidate == fact.baseline:
            cells = [Cell((mine, Piece(" both", "small")), span=2)]
        elif compared:
            cells = [mine, theirs]
        name = (fact.label, Piece(" differs" if fact.differs else "", "small"))
        rows.append(Row([name, *cells], "differs" if fact.differs else ""))
    columns = [Column(head, "text") for head in heads]
    yield Table("Provenance", columns, rows, kind="facts")
    if asked:
        of = ", of this run" if compared else ""
        summary = ("The suite as it was asked ", Piece(f"{len(asked)} facts{of}", "small"))
        facts = Table(
            "The suite as it was asked",
            (Column("Fact", "text"), Column("This run", "text")),
            asked,
            kind="facts",
        )
        yield Fold(summary, [facts], kind="card flips")
    yield Text(
        "Digests are shown by their first twelve digits; in full they stand in the JSON of this "
        "report.",
        "foot",
    )
