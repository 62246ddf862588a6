from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factories_training import MODEL, PHASE

from pyr.errors import ContentError
from pyr.training import settings
from pyr.training.model import ModelFile
from pyr.training.order import Order
from pyr.training.recipe import Phase
from pyr.training.trl_trainers import with_z_loss

pytestmark = pytest.mark.filterwarnings("ignore")


def order(**phase: Any) -> Order:
    return Order(
        recipe="toy",
        phase=Phase(**(PHASE | {"name": "one"} | phase)),
        seed=7,
        model=ModelFile(name="toy", **MODEL),
        tokenizer=Path(),
        sources=[],
        start=None,
        start_digest="",
        tokens_before=0,
        store=Path(),
    )


def arguments(processes: int = 1, **phase: Any) -> Any:
    return settings.arguments(order(**phase), Path("phase"), processes=processes)


@pytest.mark.parametrize(("processes", "at_once", "accumulated"), [(1, 6, 2), (2, 6, 1), (4, 3, 1)])
def test_accumulation_follows_from_the_tokens_of_a_step(
    processes: int, at_once: int, accumulated: int
) -> None:
    asked = order(tokens=32 * 24, tokens_per_step=32 * 12, trainer={})
    # Not by TrainingArguments: they would wait for the other ranks.
    assert settings.batch(asked, {"per_device_train_batch_size": 8}, processes) == {
        "max_steps": 2,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": accumulated,
    }


def test_a_step_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ContentError, match="3 processes"):
        settings.batch(order(), {"per_device_train_batch_size": 8}, 3)


@pytest.mark.parametrize("name", ["learning_rat", "max_steps"])
def test_an_option_that_is_unknown_or_ours_is_refused(name: str) -> None:
    with pytest.raises(ContentError, match=name):
        arguments(trainer={name: 1})


def test_options_pass_as_they_are_written() -> None:
    found = arguments(trainer={"learning_rate": 0.5, "adam_beta2": 0.9})
    assert (found.learning_rate, found.adam_beta2, found.seed) == (0.5, 0.9, 7)


def test_a_decay_below_one_is_a_share_of_the_steps() -> None:
    schedule = {
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {"num_decay_steps": 0.25},
    }
    assert arguments(trainer=schedule).lr_scheduler_kwargs["num_decay_steps"] == 3


def test_the_z_loss_adds_the_square_of_the_normaliser() -> None:
    import torch

    logits = torch.randn(2, 5, 11, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 2, 3, -100, 5], [0, -100, 7, 8, 9]])
    outputs = type("Outputs", (), {"logits": logits})
    plain = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(with_z_loss(0.0)(outputs, labels), plain)
    square = torch.logsumexp(logits[:, :-1], -1)[labels[:, 1:] != -100].square().mean()
    torch.testing.assert_close(with_z_loss(0.5)(outputs, labels), plain + 0.5 * square)
