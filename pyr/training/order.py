"""The order that the conductor gives a stage: all that a phase needs, in one file on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyr import files
from pyr.errors import StoreError
from pyr.schema import Strict, Suite
from pyr.training.model import ModelFile
from pyr.training.recipe import Phase

ORDER = "order.json"


class Portion(Strict):
    """A prepared source and its share of the phase."""

    name: str
    folder: Path
    weight: float


class Order(Strict):
    """One phase, resolved: no name in it has to be looked up any more."""

    recipe: str
    phase: Phase
    seed: int
    model: ModelFile
    tokenizer: Path
    sources: list[Portion]
    start: Path | None
    """The model folder to start from; None starts from scratch."""
    start_digest: str
    """sha256 of its weights; empty for scratch."""
    tokens_before: int
    """Training tokens that the start has seen."""
    rows_file: Path | None = None
    """DPO: the preferences, as JSON lines."""
    store: Path
    engine: dict[str, Any] = {}
    pulse: Suite | None = None

    def digest(self) -> str:
        """sha256 of what decides the phase's weights: not how it is measured, judged or kept."""
        asked = {"suite", "gate", "pulse", "pulse_share", "checkpoints", "description", "data"}
        asked |= {"spike", "held_out_items"}
        data = []
        for portion in self.sources:
            manifest = json.loads((portion.folder / "shards.json").read_text())
            data.append([portion.name, portion.weight, manifest["files"]])
        ingredients = {
            "phase": self.phase.model_dump(mode="json", exclude=asked),
            "seed": self.seed,
            "model": self.model.model_dump(mode="json", exclude={"description", "name"}),
            "data": data,
            "tokenizer": files.sha256(self.tokenizer / "tokenizer.json"),
            "rows": files.sha256(self.rows_file) if self.rows_file else "",
            "start": self.start_digest,
        }
        return files.json_sha256(ingredients)


def write(folder: Path, order: Order) -> None:
    """Put the order into the phase's folder."""
    body = order.model_dump(mode="json") | {"digest": order.digest()}
    files.write(folder / ORDER, json.dumps(body, indent=2, sort_keys=True) + "\n")


def read(folder: Path) -> Order:
    """The order in a phase's folder. Raises StoreError if there is none."""
    try:
        raw = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{folder} holds no order to train by: {error}", remedy="start it by: pyr train RECIPE"
        ) from error
    raw.pop("digest", None)
    return Order.model_validate(raw)


def digest_of(folder: Path) -> str:
    """The digest of the order that a phase's folder was trained by; empty without one."""
    file = folder / ORDER
    if not file.is_file():
        return ""
    return str(json.loads(file.read_text(encoding="utf-8")).get("digest", ""))


# ------------------------------------------------------------------
# A phase's log: a line has its step, its loss and the seconds of one step. Free of torch.


LOG = "log.jsonl"


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of a phase's log; a last line that was cut off is left out."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def keep_lines(file: Path, step: int) -> None:
    """Cut the log back to what had been logged at `step`."""
    if not file.is_file():
        return
    kept = [line for line in read_log(file) if line["step"] <= step]
    files.write(file, "".join(json.dumps(line) + "\n" for line in kept))
