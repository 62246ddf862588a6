"""``pyr tokenizer train | sweep | compare``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from pyr import content
from pyr.cli.progress import note, shown
from pyr.data.filters import read_shipped_passages
from pyr.errors import UsageError
from pyr.report import html, terminal, tokenizer_view
from pyr.tokenization import comparison, forms, listed, measure, recipe, train
from pyr.tokenization.train import Fed, learn, trainer_here, training_texts


def run(options: argparse.Namespace) -> int:
    """Do what the second word says."""
    handlers = {"train": _train, "sweep": _sweep, "compare": _compare}
    return handlers[options.action](options)


def _train(options: argparse.Namespace) -> int:
    file = recipe.find(Path(options.recipe))
    asked = recipe.read(file)
    # An installed package is no place to write to.
    beside = Path(asked.name) if content.is_shipped(file) else file.parent
    folder = Path(options.output) if options.output else beside / "tokenizer"
    trainer = trainer_here()
    note(f"{asked.name}: {asked.vocab_size} tokens, {asked.pre_tokenizer}, trained by {trainer}")
    read: list[dict[str, Any]] = []

    def on_source(name: str, fed: Fed) -> None:
        read.append({"source": name, **fed.record()})
        note(f"  {name}: {fed.documents} documents, {fed.bytes_trained / 1e6:.1f} MB")

    merges = learn(
        training_texts(asked, Path(options.texts), on_source=on_source),
        asked.pre_tokenizer,
        train.num_merges(asked),
        trainer=trainer,
    )
    tokenizer = train.build(asked, merges)
    digest = train.save(folder, file, asked, tokenizer, {"data": read})
    result = {"folder": str(folder), "tokenizer.json": digest, "data": read}
    print(json.dumps(result, indent=2) if options.json else f"{folder}\nsha256 {digest}")
    return 0


def _sweep(options: argparse.Namespace) -> int:
    file = recipe.find(Path(options.recipe))
    asked = recipe.read(file)
    sizes = _sizes(options.vocab)
    root = Path(options.texts)
    named = [Path(each) for each in options.on]
    documents = listed.read_texts(named, root) if named else listed.unseen(asked, root)
    texts = measure.passages(documents)
    note(f"{asked.name}: training {max(sizes)} tokens, measuring {len(sizes)} sizes")
    merges = comparison.train_sizes(asked, root, sizes)
    model = comparison.Model(hidden=options.hidden, body=options.body * 1e6)
    found = comparison.measure_sizes(asked, merges, sizes, texts, model)
    document = tokenizer_view.sweep(asked, found, model)
    if options.output:
        _write(Path(options.output), html.render(document))
    if options.json:
        print(json.dumps(comparison.finite([dataclasses.asdict(size) for size in found]), indent=2))
    else:
        terminal.show_document(document, _console())
    return 0


def _sizes(words: str) -> list[int]:
    try:
        return sorted({int(word) for word in words.split(",")})
    except ValueError:
        raise UsageError(
            f"--vocab {words} is no list of numbers.", remedy="as in: --vocab 8192,16384,32768"
        ) from None


def _compare(options: argparse.Namespace) -> int:
    data = Path(options.data)
    own = forms.load(Path(options.tokenizers[0]))
    others = [forms.load(Path(path)) for path in options.tokenizers[1:]]
    if not others:
        others = listed.references(options.references, [data], on_note=note)
    documents = listed.read_texts([Path(each) for each in options.texts], data)
    texts = measure.passages(documents or read_shipped_passages())
    names = _distinct([own, *others])
    with shown(
        f"{len(names)} tokenizers over {sum(t.bytes.sum() for t in texts) / 1e6:.2f} MB"
    ) as s:
        done: list[str] = []

        def on_done(name: str) -> None:
            done.append(name)
            s.progress("tokenizers", len(done), len(names))

        report = comparison.compare(
            names,
            texts,
            comparison.Options(hidden=options.hidden, context=options.context),
            on_done=on_done,
        )
    document = tokenizer_view.comparison(report)
    if options.output:
        _write(Path(options.output), html.render(document))
    if options.json:
        print(json.dumps(comparison.as_json(report), indent=2, ensure_ascii=False))
    else:
        terminal.show_document(document, _console())
    return 0


def _distinct(tokenizers: list[forms.Named]) -> list[forms.Named]:
    """The same with a number behind names that are there twice."""
    seen: dict[str, int] = {}
    found = []
    for one in tokenizers:
        seen[one.name] = count = seen.get(one.name, 0) + 1
        found.append(dataclasses.replace(one, name=f"{one.name} {count}") if count > 1 else one)
    return found


def _write(file: Path, body: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(body, encoding="utf-8")
    note(f"written: {file}")


def _console() -> Any:
    import rich.console

    return rich.console.Console(file=sys.stdout, highlight=False)
