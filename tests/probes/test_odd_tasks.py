"""Tasks that lm-eval scores in ways of their own, and items that nobody can score."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from factories_probes import records, run, score
from test_harness import stock

from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.errors import ContentError
from pyr.probes import Chunk, Subject
from pyr.schema import Skipped

ROWS = [
    {"q": f"Is {i * 7 % 20} more than 9?", "c": ["no", "yes"], "g": int(i * 7 % 20 > 9), "n": i}
    for i in range(20)
]
GENERATION = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "It is {{c[g]}}, said the man.",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8, "do_sample": False},
}
ROLLING = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_choice": None,
    "doc_to_target": "{{q}}",
}

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Write a task `odd` of yes and no, with a module `code`; gives the probe's options."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def make(
        *metrics: Any, rows: Sequence[Any] = ROWS, code: str = "", **keys: Any
    ) -> dict[str, Any]:
        folder = tmp_path / "odd"
        folder.mkdir(exist_ok=True)
        file = folder / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        content = {
            "task": "odd",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(file)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{q}}",
            "doc_to_choice": "c",
            "doc_to_target": "g",
            "metric_list": [
                {"higher_is_better": True, **({"metric": each} if isinstance(each, str) else each)}
                for each in metrics or ["acc"]
            ],
            **keys,
        }
        written = yaml.safe_dump(
            {key: value for key, value in content.items() if value is not None}
        )
        (folder / "odd.yaml").write_text(written.replace("'!function code.f'", "!function code.f"))
        (folder / "code.py").write_text(code)
        return {"include_path": [str(folder)], "tasks": ["odd"]}

    return make


MEAN = {"aggregation": "mean"}
WEIGHTED = "def f(items):\n    return sum(a * b for a, b in items) / sum(b for _, b in items)\n"
RESULTS = "def f(doc, results):\n    likely = [each[0] for each in results]\n    "


@pytest.mark.parametrize(
    ("metrics", "keys"),
    [
        (["mcc", "f1", "acc", "brier_score"], {}),
        ([{"metric": "acc", "aggregation": "median"}], {}),
        ([{"metric": "acc", "aggregation": "nanmean"}], {}),
        (["bleu", "chrf", "chrf++", "ter"], GENERATION),
        (["word_perplexity", "byte_perplexity", "bits_per_byte"], ROLLING),
        ([{"metric": "brier_score", "aggregation": "!function code.f"}], {"code": WEIGHTED}),
        (
            [{"metric": "long", **MEAN}],
            {
                "code": RESULTS
                + "return {'long': 1.0, 'own': -likely[0], f'part_{doc[\"n\"] % 3}': 2}",
                "process_results": "!function code.f",
            },
        ),
        (
            [{"metric": "pair", "aggregation": "f1"}],
            {
                "code": RESULTS + "return {'pair': (doc['g'], likely.index(max(likely)))}",
                "process_results": "!function code.f",
            },
        ),
        (
            [{"metric": "!function code.f", **MEAN}],
            {
                **GENERATION,
                "code": "def f(references, predictions):\n"
                "    return {'long': len(predictions[0]), 'short': len(references[0])}\n",
            },
        ),
    ],
)
def test_every_metric_is_what_lm_eval_makes_of_it(
    task: Make, subject: Subject, metrics: list[Any], keys: dict[str, Any], tmp_path: Path
) -> None:
    if metrics[0] == {"metric": "brier_score", "aggregation": "!function code.f"}:
        keys = {
            "process_results": None,
            "code": "def f(items):\n    return max(probs[gold] for gold, probs in items)\n",
        }
    options = task(*metrics, **keys)
    ours = records(run(options, subject))
    theirs = stock(subject.lm, "odd", [tmp_path / "odd"])["results"]["odd"]
    names = {
        key.partition(",")[0] for key in theirs if key.endswith(",none") and "_stderr" not in key
    }
    assert names
    found = {record.metric.removeprefix("log_") for record in ours} - {"gold_bpb"}
    assert found == names
    for name in names:
        label = f"log_{name}" if name.endswith("perplexity") else name
        value = score(ours, "odd", label)
        expected = theirs[f"{name},none"]
        if label != name:
            import math

            expected = math.log(expected)
        assert value == pytest.approx(expected, abs=1e-9), name


def test_a_run_that_was_broken_off_ends_with_the_same_aggregate(
    task: Make, subject: Subject
) -> None:
    options = task("mcc", "acc")
    whole = run(options, subject)
    final = {(r.item): r for chunk in whole for r in chunk.revised}
    first = [r for r in records(whole) if int(r.item) < 9]
    earlier = pd.DataFrame(map(asdict, first))
    again = run(options, replace(subject, earlier=earlier))
    revised = {r.item: r for chunk in again for r in chunk.revised}
    assert len(revised) == 20
    assert {item: (r.value, r.weight, r.cluster) for item, r in revised.items()} == {
        item: (r.value, r.weight, r.cluster) for item, r in final.items()
    }


# ------------------------------------------------------------------ items that are left out


def skips(chunks: list[Chunk]) -> list[Skipped]:
    return [skipped for chunk in chunks for skipped in chunk.skipped]


@pytest.fixture(params=["reference", "fast"])
def either(subject: Subject, request: pytest.FixtureRequest) -> Subject:
    settings = EngineSettings(engine=request.param, device="cpu").resolved()
    return replace(subject, settings=settings, models=ModelReuse())


def with_row(**changes: Any) -> list[dict[str, Any]]:
    """The rows, the sixth changed."""
    return [{**row, **(changes if row["n"] == 5 else {})} for row in ROWS]


CRASHES = RESULTS + "return {'acc': 1 / (doc['n'] - 5) if doc['n'] == 5 else 1.0}"
SURROGATE = "def f(doc):\n    return '\\ud800' if doc['n'] == 5 else doc['q']\n"
TEXT = "def f(doc):\n    return {5: None}[doc['n']][0] if doc['n'] == 5 else doc['q']\n"


@pytest.mark.parametrize(
    ("rows", "keys", "reason"),
    [
        (with_row(c=["no", "yes " * 2100]), {}, "longer than the model's context of 2048"),
        (with_row(c=[]), {}, "it has no choices"),
        (with_row(c=["", "yes"]), {"target_delimiter": ""}, "no token of its own"),
        (ROWS, {"code": SURROGATE, "doc_to_text": "!function code.f"}, "no valid Unicode"),
        (ROWS, {"code": CRASHES, "process_results": "!function code.f"}, "ZeroDivisionError"),
        (ROWS, {"code": TEXT, "doc_to_text": "!function code.f"}, "TypeError"),
    ],
)
def test_an_item_that_cannot_be_scored_is_left_out_alone(
    task: Make, either: Subject, rows: Any, keys: dict[str, Any], reason: str
) -> None:
    found = run(task("acc", rows=rows, **keys), either)
    [skipped] = skips(found)
    assert (skipped.what, skipped.items, skipped.of, skipped.missing) == ("odd", ("5",), 20, False)
    assert skipped.reason.startswith("1 of 20 items left out: ")
    assert reason in skipped.reason
    others = {r.item: r.value for r in records(found) if r.metric == "acc"}
    assert sorted(others, key=int) == [str(i) for i in range(20) if i != 5]
    if not keys:
        plain = records(run(task("acc"), either))
        assert others == {r.item: r.value for r in plain if r.metric == "acc" and r.item != "5"}


def test_a_gold_that_is_null_is_scored_as_lm_eval_scores_it(
    task: Make, subject: Subject, tmp_path: Path
) -> None:
    options = task("exact_match", rows=with_row(g=None), **{**GENERATION, "doc_to_target": "g"})
    found = run(options, subject)
    theirs = stock(subject.lm, "odd", [tmp_path / "odd"])["results"]["odd"]
    assert score(records(found), "odd", "exact_match") == theirs["exact_match,none"]
    assert skips(found) == []


def test_a_null_gold_among_choices_is_left_out(task: Make, subject: Subject) -> None:
    # lm-eval looks up whether greedy would say it, and ends with a traceback.
    [skipped] = skips(run(task("acc", rows=with_row(g=None)), subject))
    assert skipped.items == ("5",)


@pytest.mark.parametrize("change", [{"c": []}, {"c": ["", "yes"]}, {"g": 7}])
def test_the_first_item_may_be_one_that_cannot_be_scored(
    task: Make, subject: Subject, tmp_path: Path, change: dict[str, Any]
) -> None:
    rows = [{**ROWS[0], **change}, *ROWS[1:]]
    bundling = replace(subject, bundles=tmp_path / "bundles")
    options = task("acc", rows=rows)
    first = records(run(options, bundling))
    assert {r.item for r in first} >= {str(i) for i in range(1, 20)}
    assert records(run(options, bundling)) == first


def test_an_empty_text_weighs_nothing(task: Make, either: Subject) -> None:
    options = task("bits_per_byte", "word_perplexity", rows=with_row(q=""), **ROLLING)
    found = records(run(options, either))
    [empty] = [r for r in found if r.item == "5" and r.metric == "bits_per_byte"]
    assert (empty.value, empty.weight) == (0.0, 0.0)


def test_the_suite_may_forbid_that_anything_is_left_out(task: Make, subject: Subject) -> None:
    options = task("acc", rows=with_row(c=["no", "yes " * 2100]))
    with pytest.raises(ContentError, match="item 5 of task 'odd' cannot be asked"):
        run({**options, "on_too_long": "fail"}, subject)


@pytest.mark.parametrize(
    ("rows", "code", "what"),
    [
        ([{**row, "c": []} for row in ROWS], {}, "no item of task 'odd' can be asked"),
        (ROWS, {"code": "def f(doc, results):\n    return doc['x']\n"}, "no item .* can be graded"),
    ],
)
def test_a_task_of_which_nothing_is_left_is_an_error(
    task: Make, subject: Subject, rows: Any, code: dict[str, str], what: str
) -> None:
    keys = {**code, "process_results": "!function code.f"} if code else {}
    with pytest.raises(ContentError, match=what):
        run(task("acc", rows=rows, **keys), subject)


def test_items_left_out_are_left_out_of_a_bundle_too(
    task: Make, subject: Subject, tmp_path: Path
) -> None:
    bundling = replace(subject, bundles=tmp_path / "bundles")
    options = task("acc", rows=with_row(c=[]))
    first, second = run(options, bundling), run(options, bundling)
    assert skips(first) == skips(second) != []
    assert records(first) == records(second)


def test_a_prompt_without_a_token_is_left_out(task: Make, either: Subject) -> None:
    [skipped] = skips(run(task("exact_match", rows=with_row(q=""), **GENERATION), either))
    assert skipped.items == ("5",)
    assert "its prompt has no token" in skipped.reason
