"""The pages of tokenizers: one beside others, and the sizes of one vocabulary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pyr.report import charts
from pyr.report.charts import Bar
from pyr.report.document import (
    Block,
    Chart,
    Charts,
    Column,
    Content,
    Cut,
    Document,
    Fold,
    Piece,
    Section,
    Table,
    Text,
)
from pyr.report.words import PLUS_MINUS, harmless
from pyr.tokenization.anatomy import SAMPLES, shown
from pyr.tokenization.comparison import Cut as TokenizerCut
from pyr.tokenization.comparison import Model, Report, Row, Size
from pyr.tokenization.measure import Score
from pyr.tokenization.recipe import Recipe

SAMPLES_SHOWN = 6
"""Tokenizers whose cuts of the samples stand side by side."""

Columns = Sequence[tuple[Column, Callable[[Row], Content]]]
"""The columns of a table of tokenizers: each a head, and what stands in it for a tokenizer."""


def comparison(report: Report) -> Document:
    """Return the page of a comparison, which is what the terminal shows as well."""
    own = report.own
    others = len(report.rows) - 1
    document = Document(
        title=f"Tokenizers: {own.name}",
        page="tokenizers",
        heading=f"{own.name} beside {others} other{'s' * (others != 1)}",
        intro=(
            *([Text(" ".join(lead(report)), "lead")] if lead(report) else []),
            Text(
                f"{own.vocab_size:,} tokens. {own.mean.value:.2f} {PLUS_MINUS}{_margin(own.mean)} "
                f"bytes per token on the mean over {len(own.domains)} domains, "
                f"{sum(each.documents for each in own.domains):,} documents, "
                f"{sum(each.bytes for each in own.domains) / 1e6:.2f} MB. More bytes in a token: "
                "less to compute, and more text in a context."
            ),
        ),
        sections=(
            Section("Summary", list(_summary(report)), "summary"),
            Section("Speed", list(_speed(report)), "speed"),
            Section("By domain", list(_domains(report)), "domains"),
            Section("The same passage, cut by each", list(_passages(report)), "passages"),
            Section("Digits, blanks, keywords", list(_anatomy(report)), "anatomy"),
        ),
    )
    return harmless(document)


def sweep(recipe: Recipe, sizes: Sequence[Size], model: Model) -> Document:
    """Return the page of one vocabulary at several sizes."""
    intro = (
        f"Bytes per token on unseen text, the mean over {len(sizes[0].domains)} domains, against "
        f"what the embeddings cost at a width of {model.hidden} beside {model.body / 1e6:.1f}M "
        "other parameters. All sizes are cut from one training."
    )
    scale = (
        "Across, on a logarithmic scale: tokens in the vocabulary. The filled dot is the recipe's "
        "size."
    )
    counts = (
        "Embedding parameters count once; an untied model has them twice. Operations to train on a "
        "byte: six for each token and each parameter of the body and the output embeddings (Kaplan "
        "et al. 2020)."
    )
    blocks = (
        Charts(list(_size_charts(sizes, recipe.vocab_size))),
        Text(scale, "foot"),
        _size_table(sizes, recipe.vocab_size),
        Text(counts, "foot"),
    )
    document = Document(
        title=f"Vocabulary sizes: {recipe.name}",
        page="tokenizers",
        heading=f"{recipe.name}: how large a vocabulary",
        intro=(Text(intro),),
        sections=(Section("Sizes", blocks, "sizes"),),
    )
    return harmless(document)


def _size_charts(sizes: Sequence[Size], chosen: int) -> Iterator[Chart]:
    sized, costs = [], []
    for each in sizes:
        score, flops = each.bytes_per_token, each.flops_per_byte / 1e6
        sized.append(_bar(f"{score.value:.2f}", score, own=False))
        costs.append(Bar(f"{flops:.0f}", flops, flops, flops))
    numbers = [each.vocab_size for each in sizes]
    name, says = "Bytes per token", "with 95% intervals over documents; more is better"
    yield Chart(charts.over_sizes(numbers, sized, chosen, name), name, says)
    name = "Million operations to train on a byte"
    says = "tokens times parameters that work on each; less is better"
    yield Chart(charts.over_sizes(numbers, costs, chosen, name), name, says)


def _size_table(sizes: Sequence[Size], chosen: int) -> Table:
    domains = list(sizes[0].domains)
    columns = [
        Column("Vocabulary"),
        Column("Embedding parameters"),
        Column("Bytes per token"),
        Column("Tokens per byte"),
        Column("Million operations a byte", short="MFLOP/byte"),
        Column("Gain over the size before", short="gain a step"),
        *map(Column, domains),
    ]
    rows: list[list[Content]] = []
    before = None
    for size in sizes:
        value = size.bytes_per_token.value
        rows.append(
            [
                f"{size.vocab_size:,}",
                f"{size.embedding_parameters / 1e6:.2f}M",
                _with_margin(size.bytes_per_token),
                f"{size.tokens_per_byte:.4f}",
                f"{size.flops_per_byte / 1e6:.0f}",
                _share(value / before - 1) if before else "",
                *(f"{size.domains[domain]:.2f}" for domain in domains),
            ]
        )
        before = value
    own = [place for place, size in enumerate(sizes) if size.vocab_size == chosen]
    return Table("Sizes", columns, rows, own)


# ------------------------------------------------------------------ what it comes to


def lead(report: Report) -> list[str]:
    """What the comparison comes to, in sentences: beside the best, beside the nearest in size."""
    own, *others = report.rows
    if not others:
        return []
    best = max(others, key=lambda row: row.mean.value)
    near = min(others, key=lambda row: abs(math.log(row.vocab_size / own.vocab_size)))
    times = best.vocab_size / own.vocab_size
    first = f"{own.name} holds {_more(best)}, the best of the others"
    if f"{times:.1f}" != "1.0":
        first += f" with {times:.1f} times the vocabulary"
    if near is not best:
        first += f"; {_more(near)}, the nearest in size"
    return [f"{first}.", _trips(own, others)]


def _more(other: Row) -> str:
    """``5.3% more text in a token than other``."""
    gain = _gain(other)
    if gain is None or not (gain.low > 0 or gain.high < 0):
        return f"neither measurably more nor less text in a token than {other.name}"
    word = "more" if gain.value > 0 else "less"
    return f"{abs(gain.value):.1%} {word} text in a token than {other.name}"


def _trips(own: Row, others: Sequence[Row]) -> str:
    """Who gives every text back."""
    trip = own.round_trip
    lossy = sum(not row.round_trip.lossless for row in others)
    mine = (
        f"It gives back all {trip.texts:,} texts as they were"
        if trip.lossless
        else f"It changes {trip.changed:,} of {trip.texts:,} texts"
    )
    return f"{mine}; {lossy} of the {len(others)} others change{'s' * (lossy == 1)} some."


# ------------------------------------------------------------------ the sections


def _summary_columns(report: Report) -> Columns:
    own, options = report.own, report.options
    return (
        (Column("Vocabulary", short="tokens"), lambda row: f"{row.vocab_size:,}"),
        (Column("Bytes per token", short="bytes/token"), lambda row: _with_margin(row.mean)),
        (Column(f"Gain of {own.name} over it", short="gain"), lambda row: _gained(_gain(row))),
        (Column("Lossless"), lambda row: "yes" if row.round_trip.lossless else "NO"),
        (
            Column(f"Sequence length of {own.name} over its own", short="length"),
            lambda row: f"{row.relations[-1].sequence_length:.3f}" if row.relations else "",
        ),
        (Column("Tokens per word", short="tokens/word"), lambda row: f"{row.tokens_per_word:.2f}"),
        (Column("Words kept whole", short="whole words"), _whole_words),
        (
            Column("Renyi efficiency", short="Renyi"),
            lambda row: f"{row.renyi_efficiency:.3f}",
        ),
        (
            Column("Vocabulary never used here", short="never used"),
            lambda row: f"{row.never_used / row.vocab_size:.0%}",
        ),
        (
            Column(f"Embedding parameters at width {options.hidden}", short="embedding"),
            lambda row: f"{row.embedding_parameters / 1e6:.1f}M",
        ),
        (
            Column(f"Bytes in {options.context:,} tokens", short="context"),
            lambda row: f"{row.context_bytes:,}",
        ),
    )


def _summary(report: Report) -> Iterator[Block]:
    own = report.own
    yield Text(
        f"Means over domains, each counting the same. {PLUS_MINUS} and ranges are 95% intervals "
        "over documents; the gain is paired by document."
    )
    yield _table("Summary", report, _summary_columns(report))
    for row in report.rows:
        trip = row.round_trip
        if not trip.lossless:
            said = f" does not give back {trip.changed:,} of {trip.texts:,} texts; first, "
            yield Text((Piece(row.name, "strong"), f"{said}{trip.example}"), "foot")
    if own.never_used_examples:
        tokens: list[str | Piece] = []
        for token in own.never_used_examples:
            tokens += [Piece(token, "token"), " "]
        more = "and more" if own.never_used > len(own.never_used_examples) else ""
        said = f"Tokens of {own.name} that do not occur here, {own.never_used:,} in all: "
        yield Text((said, *tokens, more), "foot")
    yield Text(
        "Sequence length is the mean over documents of tokens over the other's tokens (Dagan et "
        "al. 2024). Renyi efficiency, of order 2.5 (Zouhar et al. 2023), is 1 where all of the "
        "vocabulary is used equally often, words kept whole are runs of letters without a cut "
        "inside. Embedding parameters count once; an untied model has them twice.",
        "foot",
    )


def _speed(report: Report) -> Iterator[Block]:
    yield Text(
        "Million bytes of text a second. Text by text and all in one call are timed by two clocks: "
        "compare down a column, not across."
    )
    one, call = "text by text, MB a CPU second", "all in one call, MB a second by the clock"
    columns: Columns = (
        (Column(f"Encode, {one}", short="encode"), lambda row: f"{row.speed.encode_one:.1f}"),
        (Column(f"Encode, {call}", short="all cores"), lambda row: f"{row.speed.encode_all:.1f}"),
        (Column("Cores it had", short="cores"), lambda row: f"{row.speed.encode_cores:.2f}"),
        (Column(f"Decode, {one}", short="decode"), lambda row: f"{row.speed.decode_one:.1f}"),
        (Column(f"Decode, {call}", short="all cores"), lambda row: f"{row.speed.decode_all:.1f}"),
        (Column("Cores it had", short="cores"), lambda row: f"{row.speed.decode_cores:.2f}"),
    )
    yield _table("Speed", report, columns)
    yield Text(
        "A busy machine slows the clock most, CPU seconds less. \u201cCores it had\u201d are the "
        f"CPU seconds of a call over its seconds by the clock, of {report.cores} at most: well "
        "below that, other programs had the rest, or the library worked on one core, or its "
        "threads waited for each other; one call can then be slower than text by text.",
        "foot",
    )


def _domains(report: Report) -> Iterator[Block]:
    yield Text(
        "Bytes per token, longer is better; the last number of a line is what "
        f"{report.own.name} gains or loses against that tokenizer."
    )
    mean = [(row.mean, _gain(row)) for row in report.rows]
    charts = [_chart(report, "mean over domains", "every domain counts the same", mean)]
    columns: list[tuple[Column, Callable[[Row], Content]]] = []
    for place, domain in enumerate(report.own.domains):
        scores = []
        for row in report.rows:
            scores.append((row.domains[place].bytes_per_token, _gain(row, domain.domain)))
        note = f"{domain.documents:,} documents, {domain.bytes:,} bytes"
        charts.append(_chart(report, domain.domain, note, scores))
        best = max(score.value for score, _ in scores)
        columns.append((Column(domain.domain), _domain_cell(place, best)))
    yield Charts(charts)
    yield _table("Bytes per token by domain", report, columns)
    yield Text("A star marks the most bytes per token of a domain.", "foot")


def _domain_cell(place: int, best: float) -> Callable[[Row], Content]:
    def cell(row: Row) -> Content:
        value = row.domains[place].bytes_per_token.value
        return f"{value:.2f}{'*' * (value == best)}"

    return cell


def _chart(
    report: Report, name: str, says: str, scores: Sequence[tuple[Score, Score | None]]
) -> Chart:
    """The bars of a domain, the longest first."""
    bars = []
    for row, (score, gain) in zip(report.rows, scores, strict=True):
        bar = _bar(row.name, score, own=row is report.own)
        if gain is not None:
            bar = replace(bar, note=_share(gain.value), tone=_tone(gain))
        bars.append(bar)
    bars.sort(key=lambda bar: -bar.value)
    return Chart(charts.bars({"": bars}, name), name, says)


def _bar(name: str, score: Score, *, own: bool) -> Bar:
    known = math.isfinite(score.low) and math.isfinite(score.high)
    low, high = (score.low, score.high) if known else (score.value, score.value)
    return Bar(name, score.value, max(0.0, low), high, own)


def _passages(report: Report) -> Iterator[Block]:
    yield Text(
        "Every box is a token. Point at one for its id and bytes; the ids also stand below each "
        "cut. \u23ce is a line end; red with a dashed line below is a part of a letter."
    )
    for place, passage in enumerate(report.passages):
        cuts = []
        for row in report.rows:
            cut = row.cuts[place]
            ids = " ".join(map(str, cut.ids))
            cuts.append(Cut(row.name, f"{len(cut.ids)} tokens", _tokens(cut), ids))
        summary = (f"{passage.domain} ", Piece(f"{len(passage.text)} letters", "small"))
        yield Fold(summary, cuts, open=place == 0)


def _tokens(cut: TokenizerCut) -> list[Piece]:
    found = []
    for number, piece in zip(cut.ids, cut.pieces, strict=True):
        text, broken = _readable(piece)
        value = " ".join(f"{byte:02x}" for byte in piece) or "none"
        hint = f"id {number}, bytes {value}"
        found.append(Piece(text, "token", "part" if broken else "", hint))
        if piece.endswith(b"\n"):
            found.append(Piece("", "break"))
    return found


def _readable(piece: bytes) -> tuple[str, bool]:
    """What to show of a token; line ends and tabs as signs, the rest of the unseen as escapes."""
    try:
        piece.decode()
    except UnicodeDecodeError:
        return shown(piece), True
    lines = piece.replace(b"\n", "\u23ce".encode()).replace(b"\t", "\u21e5".encode())
    return shown(lines), False


def _anatomy(report: Report) -> Iterator[Block]:
    yield Text("How each cuts what models of code and numbers live on.")
    columns: list[tuple[Column, Callable[[Row], Content]]] = [
        (
            Column("Digits in a token, at most", short="digits"),
            lambda row: str(row.anatomy.digits_at_most),
        ),
        (
            Column("Python keywords whole", short="keywords"),
            lambda row: str(row.anatomy.num_keywords),
        ),
        (Column("Operators whole", short="operators"), lambda row: str(row.anatomy.num_operators)),
    ]
    for width in report.own.anatomy.indents:
        head = Column(f"Tokens of a line end and {width} spaces", short=f"\\n+{width}")
        columns.append((head, _indent_cell(width)))
    yield _table("Keywords and blanks", report, columns)
    rows = report.rows[:SAMPLES_SHOWN]
    samples: list[list[Content]] = []
    for name in SAMPLES:
        cells: list[Content] = [name]
        for row in rows:
            cells.append(tuple(Piece(piece, "token") for piece in row.anatomy.cuts[name]))
        samples.append(cells)
    heads = [Column("Sample", "text"), *(Column(row.name, "prose") for row in rows)]
    yield Table("Samples", heads, samples, kind="samples")
    if len(report.rows) > SAMPLES_SHOWN:
        said = "The first six tokenizers; the others stand in the JSON of this comparison."
        yield Text(said, "foot")


def _indent_cell(width: int) -> Callable[[Row], Content]:
    return lambda row: str(row.anatomy.indents[width])


def _table(label: str, report: Report, columns: Columns) -> Table:
    """A row a tokenizer, the first marked as what the page is about."""
    heads = [Column("Tokenizer", "text", "tokenizer"), *(head for head, _ in columns)]
    rows: list[list[Content]] = []
    for row in report.rows:
        rows.append([row.name, *(cell(row) for _, cell in columns)])
    return Table(label, heads, rows, own=(0,))


# ------------------------------------------------------------------ numbers


def _gain(row: Row, domain: str = "") -> Score | None:
    """Of the first tokenizer over this one; without a domain of the mean over them."""
    for relation in row.relations:
        if relation.domain == domain:
            return relation.gain
    return None


def _gained(gain: Score | None) -> Content:
    """``+5.3%`` with its interval, coloured where it is more than chance."""
    if gain is None:
        return ""
    reach = f"{_share(gain.low)} to {_share(gain.high)}"
    return (Piece(_share(gain.value), tone=_tone(gain)), " ", Piece(reach, "small", "range"))


def _tone(gain: Score) -> str:
    return "up" if gain.low > 0 else "down" if gain.high < 0 else "same"


def _share(value: float) -> str:
    """``+5.3%``, and no sign before a nought."""
    found = f"{value:+.1%}"
    return found if found.strip("+-0.%") else found[1:]


def _margin(found: Score) -> str:
    half = (found.high - found.low) / 2
    return f"{half:.2g}" if math.isfinite(half) else "?"


def _with_margin(found: Score) -> Content:
    return (f"{found.value:.3f} ", Piece(f"{PLUS_MINUS}{_margin(found)}", "small", "range"))


def _whole_words(row: Row) -> str:
    return "?" if math.isnan(row.whole_words) else f"{row.whole_words:.1%}"
