"""The command line is frozen: a new knob goes into a suite, a gate or --set."""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys

import pytest

from pyr.cli.parser import eval_parser, parser

EVERYWHERE = {"--help", "--store", "--json", "--version"}
OPTIONS = {
    "eval": "--suite --baseline --gate --datasets --engine --skip-missing --budget --set",
    "compare": "--gate",
    "report": "--output --gate",
    "ls": "",
    "rm": "",
    "import": "--tokens-per-step",
    "export": "--llama-cpp --outtype",
    "datasets": "",
    "doctor": "--suite --datasets --set",
    "data": "--output --data --datasets --set --executor",
    "demo": "--output --cache",
    "bisect": "--rule --suite --datasets --engine --set",
    "noise": "--suite --datasets --engine --set",
    "gate accept": "--gate",
    "gate check": "--suite --history",
    "gate verify": "--gate",
    "tokenizer compare": "--texts --data --references --hidden --context --output",
    "tokenizer sweep": "--vocab --on --hidden --body --output --texts",
    "tokenizer train": "--output --texts",
    "train": "--until --output --data --datasets --set",
}


def options_of(one: argparse.ArgumentParser) -> set[str]:
    long = {name for action in one._actions for name in action.option_strings if name[:2] == "--"}
    return long - EVERYWHERE


def verbs(
    top: argparse.ArgumentParser | None = None, before: str = ""
) -> dict[str, argparse.ArgumentParser]:
    """Every verb by its words; one that has verbs of its own stands for those."""
    top = top or parser()
    below = [a for a in top._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        return {before: top}
    found: dict[str, argparse.ArgumentParser] = {}
    for name, verb in below[0].choices.items():
        found |= verbs(verb, f"{before} {name}".strip())
    return found


def test_the_verbs_are_these() -> None:
    assert set(verbs()) == set(OPTIONS)


@pytest.mark.parametrize("verb", OPTIONS)
def test_a_verb_has_these_options_and_at_most_eight(verb: str) -> None:
    assert options_of(verbs()[verb]) == set(OPTIONS[verb].split())
    assert len(OPTIONS[verb].split()) <= 8


def test_a_misspelt_verb_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["compair", "a", "b"])
    assert "did you mean: compare?" in capsys.readouterr().err


@pytest.mark.parametrize("one", [parser(), eval_parser(prog="pyr-eval")])
def test_the_version_is_what_is_installed(
    capsys: pytest.CaptureFixture[str], one: argparse.ArgumentParser
) -> None:
    with pytest.raises(SystemExit) as ended:
        one.parse_args(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"pyr-lm {importlib.metadata.version('pyr-lm')}\n"


@pytest.mark.parametrize("verb", OPTIONS)
def test_every_verb_says_in_its_help_what_it_does(verb: str) -> None:
    assert verbs()[verb].description


def test_pyr_eval_is_pyr_eval() -> None:
    assert options_of(eval_parser(prog="pyr-eval")) == set(OPTIONS["eval"].split())


def test_help_loads_no_library() -> None:
    code = (
        "import sys\nfrom pyr.cli.parser import parser\nparser().format_help()\n"
        "print(sorted({'torch', 'pandas', 'lm_eval', 'rich'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
