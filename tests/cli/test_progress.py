"""Progress on stderr."""

from __future__ import annotations

import logging

import pytest

from pyr.cli.progress import shown


def test_what_the_library_logs_is_shown_while_it_works(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("pyr.engines.fast.selfcheck")
    with shown("a run"):
        log.info("%s is new here", "LlamaForCausalLM")
        log.debug("nobody needs this")
    log.info("after the run")
    assert capsys.readouterr().err == "a run\n  LlamaForCausalLM is new here\n"
