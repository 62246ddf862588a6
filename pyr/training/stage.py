"""One phase in one process: ``python -m pyr.training.stage FOLDER [CONDUCTOR]``; or under torchrun.

The folder holds the order; everything else follows from what lies in it. Ended in whatever way, the
same command goes on from the last complete checkpoint, and comes to the same weights.
CONDUCTOR is a process id: when that process has ended, the stage saves and ends too.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pyr import hardware
from pyr.data.shards import Shards, open_shards
from pyr.errors import ContentError, PyrError, StoreError
from pyr.files import locked
from pyr.hardware import keep_freed_memory
from pyr.training import callbacks, checkpoints, order, packing, settings
from pyr.training.order import Order

STOPPED = "stopped.json"
# safetensors says the system's words; torch's writer says only that it failed.
_PEER_WORDS = ("onnection closed by peer", "onnection reset by peer", "ncclRemoteError")
_DISK_WORDS = ("No space left", "File too large", "quota exceeded", "inline_container")


def main(arguments: list[str]) -> int:
    """Train the phase in the folder named. 0 when it is finished or was asked to stop, else 2."""
    folder = Path(arguments[0])
    os.environ.setdefault("TQDM_DISABLE", "1")
    # The libraries deprecate what they call each other by, at every save.
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        run(order.read(folder), folder, conductor=int(arguments[1]) if arguments[1:] else None)
    except PyrError as error:
        if int(os.environ.get("RANK", "0")) == 0:
            _leave_word(folder, error)
            callbacks.say(error.text())
        return 2
    return 0


def _leave_word(folder: Path, error: PyrError) -> None:
    """Say on disk why the phase stopped, for the conductor; a full disk may not take it."""
    body = {"what": error.what, "where": error.where, "remedy": error.remedy}
    try:
        (folder / STOPPED).write_text(json.dumps(body), encoding="utf-8")
    except OSError:
        return


def run(asked: Order, folder: Path, *, conductor: int | None = None) -> None:
    """Train from the last complete checkpoint to the end of the phase, or to a signal."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    main_rank = int(os.environ.get("RANK", "0")) == 0
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    options = settings.arguments(asked, folder, processes=processes)
    if options.world_size != processes:
        raise ContentError(
            f"{processes} processes were started, but {options.world_size} train together.",
            where=str(folder),
            remedy="start them by torchrun or accelerate, with a backend that the device has",
        )
    if options.device.type == "cpu":
        keep_freed_memory()
    if main_rank:
        callbacks.say(f"  on {options.device}, {processes} processes")
    # A process that was left behind saves and ends before this one begins.
    with locked(folder / ".lock", callbacks.say) if main_rank else nullcontext():
        if main_rank:
            checkpoints.clear(folder)
            (folder / STOPPED).unlink(missing_ok=True)
        callbacks.barrier()
        if not checkpoints.final(folder):
            _train(asked, folder, options, conductor)
        callbacks.barrier()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _train(asked: Order, folder: Path, options: Any, conductor: int | None) -> None:
    main_rank = int(os.environ.get("RANK", "0")) == 0
    saved = checkpoints.newest(folder)
    trainer, watched = _trainer(asked, folder, options)
    watched.conductor = conductor
    if main_rank:
        callbacks.say(_opening(asked, saved))
    from safetensors import SafetensorError

    try:
        with watched.listening():
            trainer.train(resume_from_checkpoint=str(saved.folder) if saved else None)
    except (OSError, RuntimeError, SafetensorError) as error:
        if _peer_is_gone(error):
            raise _left_alone(asked) from error
        raise _disk_fault(error, folder) from error
    if watched.interrupted:
        callbacks.say("  asked to stop: saved, and the same command goes on from here")
    elif main_rank:
        last = checkpoints.newest(folder)
        assert last is not None
        checkpoints.conclude(folder, last)


def _opening(asked: Order, saved: checkpoints.Saved | None) -> str:
    steps = f" of {asked.phase.steps}" if asked.phase.stage != "dpo" else ""
    return f"  {asked.phase.name}: from step {saved.step if saved else 0}{steps}"


def _peer_is_gone(error: Exception) -> bool:
    """True if gloo or NCCL says that another rank does not answer any more."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return several and any(word in str(error) for word in _PEER_WORDS)


def _left_alone(asked: Order) -> StoreError:
    return StoreError(
        f"{asked.phase.name}: a training process was killed, or ended by itself.",
        where="another of its ranks noticed; what that one said stands above",
        remedy="the same command goes on from its last complete checkpoint",
    )


def _disk_fault(error: Exception, folder: Path) -> Exception:
    """The error in three lines if the disk was full; any other as it is."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    if not full and not any(word in str(error) for word in _DISK_WORDS):
        return error
    last = checkpoints.newest(folder)
    kept = f"step {last.step} is intact" if last else "no step had been saved yet"
    return StoreError(
        f"the disk is full: the checkpoint could not be written; {kept}.",
        where=str(folder),
        remedy="free some space, then the same command goes on from there",
    )


# ------------------------------------------------------------------ the trainer


def _trainer(asked: Order, folder: Path, options: Any) -> tuple[Any, callbacks.Watch]:
    import transformers

    model = _model(asked)
    sources = [open_shards(portion.folder) for portion in asked.sources]
    watched = _watched(asked, folder, model, options)
    if asked.phase.stage == "dpo":
        from pyr.training.trl_trainers import dpo_trainer

        keeper = callbacks.Watch(watched(lambda step: f"step {step + 1}", ""))
        trainer = dpo_trainer(asked, model, options)
    else:
        rows, digest = _rows(asked, sources)
        per_step = asked.phase.tokens_per_step // asked.phase.length

        def describe(step: int) -> str:
            those = range(step * per_step, (step + 1) * per_step)
            return f"rows {those.start} to {those.stop - 1}: {rows.describe(those)}"

        keeper = callbacks.Watch(watched(describe, digest))
        trainer = _packed_trainer(asked, model, options, rows)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(keeper)
    if asked.pulse:
        from pyr.training.callbacks import Pulse

        trainer.add_callback(Pulse(asked, folder))
    return trainer, keeper


def _rows(asked: Order, sources: list[Shards]) -> tuple[packing.Rows, str]:
    plan = packing.lay_out(
        sources,
        [portion.weight for portion in asked.sources],
        tokens=asked.phase.steps * asked.phase.tokens_per_step,
        seed=asked.seed,
    )
    return packing.Rows(sources, plan, length=asked.phase.length), plan.digest()


def _packed_trainer(asked: Order, model: Any, options: Any, rows: packing.Rows) -> Any:
    import transformers

    from pyr.training.trl_trainers import with_z_loss

    loss = with_z_loss(asked.phase.z_loss) if asked.phase.z_loss else None
    if asked.phase.stage == "sft":
        from pyr.training.trl_trainers import sft_trainer

        return sft_trainer(asked, model, options, rows)
    return transformers.Trainer(
        model=model,
        args=options,
        train_dataset=rows,
        data_collator=packing.collate,
        compute_loss_func=loss,
    )


def _model(asked: Order) -> Any:
    import torch
    import transformers

    from pyr.training import model

    if asked.start is None:
        return model.build(asked.model, seed=asked.seed, attention=asked.phase.attention)
    return transformers.AutoModelForCausalLM.from_pretrained(
        asked.start, dtype=torch.float32, attn_implementation=asked.phase.attention
    )


def _watched(asked: Order, folder: Path, model: Any, options: Any) -> Any:
    """Makes the `Watched` of this phase from what only the stage's kind knows."""
    import torch

    dtype = torch.bfloat16 if options.bf16 else torch.float32
    config = model.config
    embedding = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    speed = callbacks.Speed(
        parameters=sum(weight.numel() for weight in model.parameters()) - embedding,
        peak=hardware.matrix_peak(options.device, dtype),
        devices=int(os.environ.get("WORLD_SIZE", "1")),
    )

    def make(describe: Any, plan: str) -> callbacks.Watched:
        about = {
            "recipe": asked.recipe,
            "phase": asked.phase.name,
            "order": asked.digest(),
            "plan": plan,
        }
        return callbacks.Watched(
            folder=folder,
            tokenizer=asked.tokenizer,
            about=about,
            tokens_before=asked.tokens_before,
            tokens_per_step=asked.phase.tokens_per_step,
            spike=asked.phase.spike,
            keep=asked.phase.checkpoints,
            describe=describe,
            speed=speed,
        )

    return make


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
