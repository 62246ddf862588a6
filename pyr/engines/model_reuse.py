"""One model kept in memory; the next checkpoint of the same kind gets its weights copied in.

Loading a 135M model takes seconds (class, config, tokenizer, self-check, allocation); copying its
weights takes a fraction of one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyr.checkpoint.weights import weight_files
from pyr.engines import EngineSettings, open_model
from pyr.schema import Checkpoint

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_SAME_KIND = ("config", "generation", "tokenizer", "template", "adapter", "code")


class ModelReuse:
    """Opens checkpoints one after the other; only the LM opened last may be used."""

    def __init__(self) -> None:
        self._lm: LM | None = None
        self._kind: tuple[Any, ...] = ()
        self._opened: Checkpoint | None = None

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> LM:
        """Return the LM of `checkpoint`, as `open_model` gives it; loaded at the first call.

        Raises CheckpointError.
        """
        kind = (settings, *(checkpoint.digests.get(part) for part in _SAME_KIND))
        same_kind = self._lm is not None and kind == self._kind
        if self._lm is not None and same_kind and checkpoint == self._opened:
            return self._lm
        self._opened = None
        swappable = same_kind and checkpoint.format == "safetensors" and not checkpoint.base
        if self._lm is None or not swappable or not _swap(self._lm, Path(checkpoint.path)):
            # Dropped first: two models need not fit beside each other.
            self._lm = None
            self._lm = open_model(checkpoint, settings)
        self._kind, self._opened = kind, checkpoint
        return self._lm

    def notes(self, checkpoint: Checkpoint) -> list[str]:
        """What the engine wants the reader to know: an attribute `notes` of its LM, if it has one.

        Empty if the checkpoint's model was not asked for.
        """
        return list(vars(self._lm).get("notes", [])) if checkpoint == self._opened else []

    def engine(self, checkpoint: Checkpoint, settings: EngineSettings) -> str:
        """The engine that was used, as a run's label: an LM says so if it is not the one asked for.

        An attribute `engine` of the LM, as the fast engine's where it gives place to the reference.
        """
        used = vars(self._lm).get("engine") if checkpoint == self._opened else None
        return replace(settings, engine=used or settings.engine).label(checkpoint)


def _swap(lm: Any, folder: Path) -> bool:
    """Copy the folder's tensors over those of `lm.model`; False if they are not the same set.

    Nothing is changed unless every name and shape fits. An engine that does not hold the
    transformers model is opened anew, and so is one whose files did not hold it as it is.
    """
    import torch
    from safetensors import safe_open

    from pyr.engines.hflm import ReferenceLM

    if not isinstance(lm, ReferenceLM) or not lm.loaded.plain:
        return False
    present = lm.model.state_dict()
    files: list[Any] = [safe_open(file, framework="pt") for file in weight_files(folder)[0]]
    shapes = {name: file.get_slice(name).get_shape() for file in files for name in file.keys()}
    if any(name not in present for name in shapes):
        return False
    written = {present[name].data_ptr() for name in shapes}
    # Two names of the file for one tensor of the model: the loader says whether they differ.
    twice = len(written) < len(shapes)
    fits = all(list(present[name].shape) == shape for name, shape in shapes.items())
    # A tied tensor has two names in the model and one in the file.
    whole = all(tensor.data_ptr() in written for tensor in present.values())
    if twice or not (fits and whole):
        return False
    with torch.no_grad():
        for file in files:
            for name in file.keys():
                present[name].copy_(file.get_tensor(name))
    return True
