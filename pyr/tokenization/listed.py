"""The lists that say what to compare with and on what: reference tokenizers, and texts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from pyr import content
from pyr.data.filters import Document, read_documents
from pyr.data.source import PACKINGS, Source, bare_name, readable_files
from pyr.errors import ContentError, UsageError
from pyr.schema import Strict
from pyr.tokenization.forms import LibraryMissing, Named, load
from pyr.tokenization.recipe import Recipe, Texts


class Reference(Strict):
    """A tokenizer to compare with; used if a file of `files` exists or the hub cache holds it."""

    name: str
    hub: str = ""
    files: list[str] = Field(default_factory=list)


class References(Strict):
    """evals/tokenizers.yaml."""

    references: list[Reference]


def references(
    listed: str, roots: Sequence[Path], *, on_note: Callable[[str], None]
) -> list[Named]:
    """Return the tokenizers of a list that are on this machine; the others are left out.

    roots: folders that the list's `files` may lie below, besides the one we are in.
    on_note: told of a tokenizer that is here, but needs a library that is not.
    """
    file = Path(listed) if Path(listed).is_file() else content.path(listed)
    found = []
    for reference in content.read(file, References).references:
        lies_at = _locate(reference, [Path(), *roots])
        if lies_at is None:
            continue
        try:
            found.append(load(lies_at, name=reference.name))
        except LibraryMissing as error:
            on_note(f"{reference.name} is left out: {error.what}")
    return found


def _locate(reference: Reference, roots: Sequence[Path]) -> Path | None:
    """Return a listed file, else the hub's local cache."""
    import huggingface_hub

    for root, name, packing in itertools.product(roots, reference.files, ("", *PACKINGS)):
        if (root / f"{name}{packing}").is_file():
            return root / f"{name}{packing}"
    if not reference.hub:
        return None
    cached = huggingface_hub.try_to_load_from_cache(reference.hub, "tokenizer.json")
    return Path(cached) if isinstance(cached, str) else None


def read_texts(named: Sequence[Path], data: Path) -> list[Document]:
    """Return the documents of text files, of folders of them, or of YAML files that list sources.

    A file's name is its domain. data: the folder that a YAML file's sources lie below.
    Raises UsageError if a path is not there.
    """
    documents: list[Document] = []
    for path in named:
        if not path.exists():
            raise UsageError(f"there are no texts at {path}.", remedy="name a file or a folder")
        if path.suffix in (".yaml", ".yml"):
            listed = content.read(path, Texts)
            for source in listed.texts:
                documents += read_documents(source, data, held_out=listed.held_out)
            continue
        for file in readable_files(path) if path.is_dir() else [path]:
            source = Source(name=bare_name(file).stem, files=[file.name])
            documents += read_documents(source, file.parent)
    return documents


def unseen(recipe: Recipe, root: Path) -> list[Document]:
    """Return the documents that the recipe's training does not read, by its domains."""
    if not recipe.held_out:
        raise ContentError(
            f"the recipe {recipe.name} holds nothing out.", remedy="give it held_out: 0.05"
        )
    documents: list[Document] = []
    for source in recipe.texts:
        held_out = source.model_copy(update={"part": "held-out"})
        documents += read_documents(held_out, root, held_out=recipe.held_out)
    return documents
