"""Find and read the files that people edit: suites, gates, tasks, templates.

Content lies beside the package in a checkout (`evals/`, `train/`, `reports/`) and inside it in an
installed wheel (`pyr/_content/...`). The packaged copy is looked at first, so that an installed
`pyr-eval` never depends on the folder it is started in.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pyr.errors import ContentError, UsageError, did_you_mean

if TYPE_CHECKING:
    import jinja2

TEMPLATES = "reports/templates"
_PACKAGED = Path(__file__).parent / "_content"
_CHECKOUT = Path(__file__).parent.parent

Model = TypeVar("Model", bound=BaseModel)


def path(relative: str) -> Path:
    """The shipped file or folder of that name, as ``evals/tasks`` or ``reports/templates``.

    Raises ContentError if this installation does not hold it.
    """
    root = _root()
    if (root / relative).exists():
        return root / relative
    raise ContentError(
        f"the content '{relative}' is missing from this installation.",
        where=f"looked in: {root}",
        remedy="install again: pip install --force-reinstall pyr-lm",
    )


def given_or_shipped(name: str) -> Path:
    """The file or folder at this path; where there is none, the shipped one of that name."""
    given = Path(name)
    return given if given.exists() else path(name)


def _root() -> Path:
    """The folder of the shipped content: in the package, or beside it in a checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def is_shipped(file: Path) -> bool:
    """True if the file lies in an installed package, where nothing may be written."""
    return file.resolve().is_relative_to(_PACKAGED)


def locate(place: Path, folder: str) -> Path:
    """Return the place itself if it exists, else the shipped one of that name.

    ``tiny`` and ``train/tiny`` mean the same where `folder` is ``train``. A place that is nowhere
    comes back as it is, for the caller's own error.
    """
    if place.exists() or place.is_absolute():
        return place
    for relative in (place, folder / place):
        if relative.parts[0] == folder and (_root() / relative).exists():
            return _root() / relative
    return place


def known(folder: str, marker: str) -> list[str]:
    """Return the names of the shipped folders that hold the file `marker`."""
    return sorted(file.parent.name for file in path(folder).glob(f"*/{marker}"))


def template(file: Path, filters: Mapping[str, Any]) -> jinja2.Template:
    """A page's template; every value in it is quoted, and one that is missing is an error.

    It may include the style sheet and import the parts that all pages share (`TEMPLATES`), also
    where it lies elsewhere.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([file.parent, path(TEMPLATES)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(file.name)


def find(name: str, *, kind: str, folder: str) -> Path:
    """The YAML file that `name` means: a path that exists, else ``<folder>/<name>.yaml``.

    kind: what it is in words, as ``suite``; it stands in the error.
    folder: the shipped folder to look in, as ``evals/suites``.
    Raises ContentError with the nearest names if there is none.
    """
    given = Path(name)
    if given.suffix in (".yaml", ".yml") and given.is_file():
        return given
    if given.is_file() and given.name != name:
        raise ContentError(f"{kind} '{name}' is no .yaml file.", remedy="give it that ending")
    shipped = path(folder)
    candidate = shipped / f"{name}.yaml"
    if candidate.is_file():
        return candidate
    known = sorted(file.stem for file in shipped.glob("*.yaml"))
    raise ContentError(
        f"{kind} '{name}' not found.",
        where=f"looked in: {given}, {shipped}",
        remedy=did_you_mean(given.stem, known) or f"there are: {', '.join(known)}",
    )


def read(file: Path, schema: type[Model]) -> Model:
    """A YAML file as a value of `schema`; `name` defaults to the file's stem.

    Raises ContentError naming the first wrong key, with the nearest right one.
    """
    try:
        raw = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ContentError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ContentError(
            f"{file} is not UTF-8: {error.reason} at byte {error.start}.",
            remedy="save it as UTF-8",
        ) from error
    except yaml.YAMLError as error:
        said = str(error).replace('in "<unicode string>", ', "at ")
        raise ContentError(
            f"{file.name} is not valid YAML: {said}", where=str(file), remedy="mend the line named"
        ) from error
    if not isinstance(raw, dict):
        raise ContentError(
            f"{file.name} holds no keys.",
            where=str(file),
            remedy="evals/README.md shows the form",
        )
    if "name" in schema.model_fields:
        raw.setdefault("name", file.stem)
    return check(raw, schema, where=str(file))


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key written twice: of the two, PyYAML drops the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As SafeLoader does; ConstructorError for a key written twice."""
        known = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in known:
                said = f"the key '{name}' stands there twice"
                raise yaml.constructor.ConstructorError(None, None, said, key.start_mark)
            known.add(name)
        return super().construct_mapping(node, deep)


def read_assignment(text: str) -> tuple[str, Any]:
    """Return key and value of ``KEY=VALUE`` as ``--set`` takes it, the value read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text}: no value.", remedy="write --set KEY=VALUE")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {text}: the value is not YAML.", where=str(error)) from error


def check(raw: dict[str, object], schema: type[Model], *, where: str) -> Model:
    """`raw` as a value of `schema`; ContentError naming the first wrong key otherwise."""
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise _first_fault(error, schema, where) from error


def _first_fault(error: ValidationError, schema: type[BaseModel], where: str) -> ContentError:
    # A wrong key also leaves the right one missing: the wrong one says more.
    fault = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in fault["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if fault["type"] != "extra_forbidden":
        message = fault["msg"].removeprefix("Value error, ")
        return ContentError(
            f"'{key or schema.__name__}': {message}{more}",
            where=where,
            remedy="" if fault["type"] == "value_error" else "evals/README.md shows the form",
        )
    known = sorted(_keys_beside(schema, fault["loc"]))
    word = str(fault["loc"][-1])
    return ContentError(
        f"unknown key '{key}'{more}.",
        where=where,
        remedy=did_you_mean(word, known) or f"keys that may stand there: {', '.join(known)}",
    )


def _keys_beside(schema: type[BaseModel], loc: tuple[int | str, ...]) -> set[str]:
    """The field names allowed at the place of an unknown key, following lists of models."""
    model = schema
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        nested = [arg for arg in getattr(annotation, "__args__", ()) if isinstance(arg, type)]
        nested = [arg for arg in nested if issubclass(arg, BaseModel)]
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            nested = [annotation]
        if not nested:
            return set()
        model = nested[0]
    return set(model.model_fields)
