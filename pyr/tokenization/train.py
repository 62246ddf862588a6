"""Learn the merges of a byte-level BPE.

Two trainers give the same merges in the same order: `rustbpe`, at a third of the time, and the
trainer of `tokenizers`, which is always there. So the file of a tokenizer says nothing of what was
installed where it was trained. `tests/tokenization/test_tokenizer_train.py` holds them to it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pyr.data.filters import count_copies, read_documents
from pyr.errors import MeasureError
from pyr.files import write
from pyr.tokenization.recipe import BYTES, PreTokenizer, Recipe, beside

Trainer = Literal["rustbpe", "tokenizers"]
Merge = tuple[bytes, bytes]

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""llama.cpp's `qwen2`; Qwen2's own tokenizer.json."""

_SMOLLM_PATTERN = (
    r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"
)
# llama.cpp's `smollm` cuts out digits first and the rest by GPT-2's pattern. In one pattern: blanks
# before a digit are a piece of their own, since that cut comes first.


@dataclass(slots=True)
class Fed:
    """What one source gave."""

    documents: int = 0
    """Those that count at least once."""
    bytes: int = 0
    """UTF-8, each document once."""
    bytes_trained: int = 0
    """UTF-8, each document as often as it counts."""
    digest: Any = field(default_factory=hashlib.sha256)
    """sha256 over the texts, each once, in the order read."""

    def record(self) -> dict[str, Any]:
        """Return it as it is written beside the tokenizer."""
        return {
            "documents": self.documents,
            "bytes": self.bytes,
            "bytes_trained": self.bytes_trained,
            "sha256": self.digest.hexdigest(),
        }


def trainer_here() -> Trainer:
    """Return the fastest trainer that is installed."""
    return "rustbpe" if importlib.util.find_spec("rustbpe") else "tokenizers"


def pre_tokenizer(name: PreTokenizer) -> Any:
    """Return the pre-tokenizer of `tokenizers` that cuts as llama.cpp's does under that name."""
    from tokenizers import Regex, pre_tokenizers

    if name == "qwen2":
        return pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def training_texts(
    recipe: Recipe,
    root: Path,
    *,
    on_source: Callable[[str, Fed], None] = lambda name, fed: None,
) -> Iterator[str]:
    """Yield the recipe's training side, each piece as often as its weight says.

    on_source: called with the name of each source and what it gave when it has been read.
    """
    seen: set[bytes] = set()
    for source in recipe.texts:
        fed = Fed()
        train_side = source.model_copy(update={"part": "train"})
        for document in read_documents(train_side, root, held_out=recipe.held_out):
            count = count_copies(document, source.weight)
            fed.documents += count > 0
            for piece in document.pieces if count else ():
                text = _new_lines(piece, recipe.lines_once, seen) if recipe.lines_once else piece
                raw = text.encode("utf-8", "replace")
                fed.bytes += len(raw)
                fed.bytes_trained += count * len(raw)
                fed.digest.update(raw)
                yield from itertools.repeat(raw.decode("utf-8"), count)
        on_source(source.name, fed)


def _new_lines(text: str, shortest: int, seen: set[bytes]) -> str:
    """Return the text without the long lines that are in `seen`, to which its own are added."""
    kept = []
    for line in text.splitlines(keepends=True):
        words = line.strip()
        if len(words) >= shortest:
            known = hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=8).digest()
            if known in seen:
                continue
            seen.add(known)
        kept.append(line)
    return "".join(kept)


def learn(
    texts: Iterable[str], cut: PreTokenizer, merges: int, *, trainer: Trainer | None = None
) -> list[Merge]:
    """Return the merges in the order learned: the most frequent pair first, ties by the lower ids.

    merges: how many to learn. trainer: by default the fastest that is installed.
    Raises MeasureError if the texts are too few for so many.
    """
    run = _learn_rustbpe if (trainer or trainer_here()) == "rustbpe" else _learn_tokenizers
    found = run(texts, cut, merges)
    if len(found) < merges:
        raise MeasureError(
            f"the texts give {len(found)} merges, and {merges} were asked for.",
            remedy="give more text or a smaller vocabulary",
        )
    return found


def _learn_rustbpe(texts: Iterable[str], cut: PreTokenizer, merges: int) -> list[Merge]:
    import rustbpe

    pattern = QWEN2_PATTERN if cut == "qwen2" else _SMOLLM_PATTERN
    learner = rustbpe.Tokenizer()
    learner.train_from_iterator(iter(texts), BYTES + merges, pattern=pattern)
    ranks = sorted(learner.get_mergeable_ranks(), key=lambda entry: entry[1])
    return parts([bytes(token) for token, _ in ranks])


def parts(tokens: Sequence[bytes]) -> list[Merge]:
    """Return the pair that each token was merged from, for tokens in the order of their ranks.

    A token is what the merges before it leave of its bytes: exactly two parts.
    Raises MeasureError if a token is there twice, or is not two parts.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    if len(ranks) < len(tokens):
        raise MeasureError(
            "the trainer gave one token twice.", remedy="uninstall rustbpe to train with tokenizers"
        )
    found = []
    for token in tokens[BYTES:]:
        halves = _merged(token, ranks, below=ranks[token])
        if len(halves) != 2:
            raise MeasureError(f"the token {token!r} is not a merge of two earlier ones.")
        found.append((halves[0], halves[1]))
    return found


def _merged(token: bytes, ranks: dict[bytes, int], *, below: int) -> list[bytes]:
    """Return the bytes of a token after all merges of a rank under `below`, lowest first."""
    pieces = [token[i : i + 1] for i in range(len(token))]
    while len(pieces) > 2:
        joined = [ranks.get(a + b, below) for a, b in itertools.pairwise(pieces)]
        lowest = min(joined)
        if lowest >= below:
            break
        place = joined.index(lowest)
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
    return pieces


def _learn_tokenizers(texts: Iterable[str], cut: PreTokenizer, merges: int) -> list[Merge]:
    from tokenizers import Tokenizer, models, trainers

    letters = byte_letters()
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizer(cut)
    # The letters as special tokens: this gives them ids in the order of their bytes, by which ties
    # are broken. Its own order is that of the letters.
    trainer = trainers.BpeTrainer(
        vocab_size=BYTES + merges, special_tokens=letters, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    values = {letter: bytes([byte]) for byte, letter in enumerate(letters)}
    learned = []
    for left, right in json.loads(learner.to_str())["model"]["merges"]:
        learned.append(
            (b"".join(map(values.__getitem__, left)), b"".join(map(values.__getitem__, right)))
        )
    return learned


def byte_letters() -> list[str]:
    """Return the letter that byte-level BPE writes for each byte: GPT-2's table.

    Printable bytes stand for themselves, the others for the letters from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(BYTES)
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(BYTES)]


# ------------------------------------------------------------------
# The folder of a trained tokenizer: what it holds, and how it is written.
#
# tokenizer.json           fixed tokens, bytes, merges (library `tokenizers`)
# tokenizer_config.json    for transformers: which token is which, the response template
# chat_template.jinja      how turns are written
# generation_config.json   which tokens end generation
# training.json            recipe, data and result: what this was trained on, and what it is


def build(recipe: Recipe, merges: Sequence[Merge]) -> Any:
    """The `tokenizers.Tokenizer`: fixed tokens first, then the bytes, then the merges.

    So the fixed tokens and the bytes keep their ids whatever the size of the vocabulary.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models

    letters = byte_letters()

    def written_as(half: bytes) -> str:
        return "".join(letters[byte] for byte in half)

    written = [(written_as(left), written_as(right)) for left, right in merges]
    tokens = [*recipe.fixed_tokens, *letters, *(left + right for left, right in written)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=written, fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizer(recipe.pre_tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in recipe.special_tokens]
    )
    tokenizer.add_tokens(
        [AddedToken(token, normalized=False, special=False) for token in recipe.added_tokens]
    )
    return tokenizer


def num_merges(recipe: Recipe) -> int:
    """How many merges fill the vocabulary."""
    return recipe.vocab_size - BYTES - len(recipe.fixed_tokens)


def save(
    folder: Path, recipe_file: Path, recipe: Recipe, tokenizer: Any, training: dict[str, Any]
) -> str:
    """Write the folder; gives the sha256 of tokenizer.json.

    training: the record of the data, to which the recipe and the result are added.
    """
    files = {
        "tokenizer.json": tokenizer.to_str(pretty=False) + "\n",
        "tokenizer_config.json": _json(_config(recipe_file, recipe)),
        "generation_config.json": _json(_generation(recipe, tokenizer)),
    }
    if recipe.chat_template:
        files["chat_template.jinja"] = beside(recipe_file, recipe.chat_template)
    digests = {name: hashlib.sha256(body.encode()).hexdigest() for name, body in files.items()}
    record = {
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "recipe_sha256": hashlib.sha256(recipe_file.read_bytes()).hexdigest(),
        **training,
        "result": {"vocab_size": tokenizer.get_vocab_size(), "sha256": digests},
    }
    files["training.json"] = _json(record)
    for name, body in files.items():
        write(folder / name, body)
    return digests["tokenizer.json"]


def _config(recipe_file: Path, recipe: Recipe) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": recipe.begin,
        "eos_token": recipe.end,
        "pad_token": recipe.pad,
        "model_max_length": recipe.model_max_length,
        "clean_up_tokenization_spaces": False,
    }
    if recipe.response_template:
        config["response_template"] = json.loads(beside(recipe_file, recipe.response_template))
    return config


def _generation(recipe: Recipe, tokenizer: Any) -> dict[str, Any]:
    stop = [tokenizer.token_to_id(token) for token in recipe.stop or [recipe.end]]
    return {
        "bos_token_id": tokenizer.token_to_id(recipe.begin),
        "eos_token_id": stop if len(stop) > 1 else stop[0],
        "pad_token_id": tokenizer.token_to_id(recipe.pad),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
