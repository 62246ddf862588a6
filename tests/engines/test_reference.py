from __future__ import annotations

from pathlib import Path

import pytest

from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model
from pyr.errors import UsageError

CPU = EngineSettings(engine="reference", device="cpu").resolved()


def test_auto_on_a_cpu_is_float32_in_the_fast_engine(tiny_checkpoint: Path) -> None:
    settings = EngineSettings(device="cpu").resolved()
    assert settings.label(identify(tiny_checkpoint)) == "fast-cpu-float32"


def test_the_engine_is_an_lm_of_lm_eval(tiny_checkpoint: Path) -> None:
    from lm_eval.api.model import LM

    assert isinstance(open_model(identify(tiny_checkpoint), CPU), LM)


def test_an_engine_can_be_any_function(tiny_checkpoint: Path) -> None:
    settings = EngineSettings(engine="pyr.engines.reference:open_reference", device="cpu")
    assert open_model(identify(tiny_checkpoint), settings.resolved()) is not None


@pytest.mark.parametrize("engine", ["referense", "no.such:module", "pyr.engines:nothing"])
def test_an_unknown_engine_is_refused_before_anything_is_opened(engine: str) -> None:
    with pytest.raises(UsageError):
        EngineSettings(engine=engine, device="cpu").resolved()


def test_an_unknown_dtype_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown dtype"):
        EngineSettings(dtype="float31").resolved()
