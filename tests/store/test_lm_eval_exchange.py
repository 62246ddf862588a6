"""`lm_eval_tree` was written by lm-eval 0.4.13: its dummy model over four tasks of three items."""

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
from factories_store import finish, make_record, make_run, never, stored

from pyr.errors import StoreError
from pyr.store import Document, Store
from pyr.store.lm_eval_export import export_results
from pyr.store.lm_eval_import import import_results

TREE = Path(__file__).with_name("lm_eval_tree")
PYTHIA = Path(__file__).parents[3] / "shared" / "data" / "lm-eval-results" / "pythia-160m"

OLD = {
    "results": {
        "sciq": {"acc": 0.73, "acc_stderr": math.sqrt(0.73 * 0.27 / 999)},
        "lambada_openai": {"ppl": 38.2, "ppl_stderr": 1.4, "acc": 0.0, "acc_stderr": 0.0},
        "crows_pairs": {"likelihood_difference": 3.5, "likelihood_difference_stderr": 0.2},
    },
    "versions": {"sciq": 0},
    "config": {
        "model": "hf-causal",
        "model_args": "pretrained=EleutherAI/pythia-v1.1-160m,revision=step133000",
        "num_fewshot": 0,
    },
}


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


@pytest.fixture
def tree(tmp_path):
    """A copy that a test may change: the folder with the results and their samples."""
    return Path(shutil.copytree(TREE, tmp_path / "tree")) / "org__dummy-1m"


def published_scores(folder):
    """What the results file states, as (task, metric,filter) -> value."""
    content = json.loads(next(folder.glob("results*.json")).read_text())
    return {
        (task, key): value
        for task, scores in content["results"].items()
        for key, value in scores.items()
        if "," in key and "stderr" not in key
    }


def samples_by_key(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {(sample["doc_id"], sample["filter"]): sample for sample in lines}


def mean(rows):
    return (rows["value"] * rows["weight"]).sum() / rows["weight"].sum()


# ------------------------------------------------------------------ scores without samples


def test_old_results_become_aggregates(tmp_path, store):
    (run,) = import_results([write_json(tmp_path / "old.json", OLD)], store)
    found = store.results(run).aggregates.set_index(["task", "metric"])
    assert found.loc[("sciq", "acc"), "n"] == 1000
    assert found.loc[("lambada_openai", "log_perplexity"), "value"] == math.log(38.2)
    assert found.loc[("lambada_openai", "log_perplexity"), "se"] == 1.4 / 38.2
    assert found.loc[("crows_pairs", "likelihood_difference"), "direction"] == "lower"
    assert pd.isna(found.loc[("lambada_openai", "acc"), "n"])


def test_the_model_step_and_tokens_are_read_from_the_arguments(tmp_path, store):
    (run,) = import_results([write_json(tmp_path / "old.json", OLD)], store, 2_097_152)
    checkpoint = run.checkpoint
    assert checkpoint.name == "pythia-v1.1-160m-step133000"
    assert (checkpoint.step, checkpoint.tokens) == (133_000, 133_000 * 2_097_152)
    assert run.id == f"{checkpoint.name}--lm-eval-{checkpoint.digest[:8]}"
    assert (checkpoint.format, run.engine) == ("imported", "lm-eval hf-causal")


def test_a_trainer_folder_is_named_with_its_parent(tmp_path, store):
    config = {"model": "hf", "model_args": {"pretrained": "out/base-2/checkpoint-12000"}}
    (run,) = import_results([write_json(tmp_path / "r.json", {**OLD, "config": config})], store)
    assert (run.checkpoint.name, run.checkpoint.step) == ("base-2-checkpoint-12000", 12_000)


def test_importing_twice_is_importing_once(tmp_path, store):
    path = write_json(tmp_path / "old.json", OLD)
    first, second = import_results([path], store), import_results([path, tmp_path], store)
    assert first == second
    assert len(store.runs()) == 1


def test_other_tokens_a_step_are_not_silently_dropped(tmp_path, store):
    path = write_json(tmp_path / "old.json", OLD)
    (run,) = import_results([path], store)
    with pytest.raises(StoreError, match="imported before") as error:
        import_results([path], store, 2_097_152)
    assert str(store.folder(run)) in error.value.where


def test_an_import_that_was_broken_off_is_done_anew(tmp_path, store):
    path = write_json(tmp_path / "old.json", OLD)
    (run,) = import_results([path], store)
    whole = store.results(run).aggregates
    shutil.rmtree(store.folder(run))
    with store.begin(run, on_wait=never) as opened:
        opened.append("lm-eval", [make_record()])
    (again,) = import_results([path], store)
    assert again == run
    assert store.results(again).records.empty
    pd.testing.assert_frame_equal(store.results(again).aggregates, whole)


# ------------------------------------------------------------------ samples


def test_every_published_mean_comes_back_from_the_records(store):
    (run,) = import_results([TREE], store)
    records = store.results(run).records
    stated = published_scores(TREE / "org__dummy-1m")
    scores = {key: mean(rows) for key, rows in records.groupby(["task", "metric"])}
    assert scores[("mini_gen", "exact_match,strict")] == stated[("mini_gen", "exact_match,strict")]
    for metric in ("acc", "acc_norm"):
        assert scores[("mini_mc", metric)] == stated[("mini_mc", f"{metric},none")]
    bits = stated[("mini_ppl", "bits_per_byte,none")]
    assert scores[("mini_ppl", "bits_per_byte")] == pytest.approx(bits, rel=1e-12)
    for task, metric in (("mini_lam", "perplexity"), ("mini_ppl", "word_perplexity")):
        value = math.exp(scores[(task, f"log_{metric}")])
        assert value == pytest.approx(stated[(task, f"{metric},none")], rel=1e-12)


def test_a_record_holds_what_the_sample_says(store):
    (run,) = import_results([TREE], store)
    records = store.results(run).records
    row = records[(records["task"] == "mini_mc") & (records["metric"] == "acc")].iloc[1]
    samples = next(TREE.rglob("samples_mini_mc_*")).read_text().splitlines()
    sample = json.loads(samples[1])
    assert row["item"] == "1"
    assert (row["doc_hash"], row["prompt_hash"]) == (sample["doc_hash"], sample["prompt_hash"])
    likelihoods = [[float(one), greedy == "True"] for one, greedy in sample["filtered_resps"]]
    assert json.loads(row["responses"]) == likelihoods
    assert row["group"] == "mini_grp"


def test_documents_are_imported_with_their_choices(store):
    (run,) = import_results([TREE], store)
    documents = store.documents(run).set_index(["task", "item"])
    assert json.loads(documents.loc[("mini_mc", "0"), "choices"]) == [" animals", " stones"]
    assert documents.loc[("mini_gen", "0"), "choices"] == "[]"
    assert documents.loc[("mini_ppl", "0"), "target"] == "Cats are animals. Yes \u00e9."


def test_a_metric_that_is_no_mean_of_items_keeps_its_published_score(store):
    (run,) = import_results([TREE], store)
    aggregates = store.results(run).aggregates.set_index(["task", "metric"])
    assert aggregates.loc[("mini_mc", "mcc"), "value"] == 0.5
    assert ("mini_mc", "acc") not in aggregates.index
    assert any("mini_mc/mcc" in note for note in run.notes)


def test_a_group_keeps_its_published_score_and_its_number_of_items(store):
    (run,) = import_results([TREE], store)
    aggregates = store.results(run).aggregates.set_index(["task", "metric"])
    group = aggregates.loc[("mini_grp", "acc")]
    assert (group["n"], group["group"]) == (6, "mini_grp")


def test_samples_that_are_not_those_of_the_score_are_not_used(tree, store):
    path = next(tree.glob("samples_mini_mc_*"))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    (run,) = import_results([tree], store)
    results = store.results(run)
    assert "mini_mc" not in set(results.records["task"])
    assert ("mini_mc", "acc") in set(
        zip(*results.aggregates[["task", "metric"]].T.values, strict=True)
    )


def test_samples_that_came_later_are_not_silently_dropped(tree, store):
    path = next(tree.glob("samples_mini_mc_*"))
    aside = path.rename(path.with_suffix(".aside"))
    import_results([tree], store)
    aside.rename(path)
    with pytest.raises(StoreError, match="other samples"):
        import_results([tree], store)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no JSON"),
        ("[]", "no lm-eval results"),
        ('{"results": {}}', "no lm-eval results"),
        ('{"results": {"acc": 0.5}}', "no lm-eval results"),
        ("\xff\xfe\xff", "no JSON"),
    ],
)
def test_a_file_without_results_is_named(tmp_path, store, content, says):
    path = tmp_path / "results_x.json"
    path.write_text(content, encoding="latin-1")
    for given in (path, tmp_path):
        with pytest.raises(StoreError, match=says) as error:
            import_results([given], store)
        assert error.value.where == str(path)
        assert error.value.remedy


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_place_without_results_is_named(tmp_path, store, make):
    make(tmp_path / "empty")
    with pytest.raises(StoreError) as error:
        import_results([tmp_path / "empty"], store)
    assert error.value.where == str(tmp_path / "empty")


@pytest.mark.parametrize(
    "line",
    ['{"doc_id": 0', "[]", "{}", '{"doc_id": 0, "resps": [[]]}', '{"doc_id": 0, "resps": 3}'],
)
def test_a_broken_line_of_samples_is_named(tree, store, line):
    path = next(tree.glob("samples_mini_mc_*"))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(StoreError) as error:
        import_results([tree], store)
    assert error.value.where == f"{path}, line 4"
    assert store.runs() == [] or not store.runs()[0].finished


def test_other_json_files_in_a_folder_are_passed_over(tmp_path, store):
    write_json(tmp_path / "old.json", OLD)
    (tmp_path / "notes.json").write_text("not JSON")
    write_json(tmp_path / "config.json", {"hidden_size": 8})
    assert len(import_results([tmp_path], store)) == 1


# ------------------------------------------------------------------ export


def test_an_exported_run_comes_back_the_same(tmp_path, store):
    (run,) = import_results([TREE], store)
    before, documents = store.results(run), store.documents(run)
    export_results(before, documents, tmp_path / "out")
    (again,) = import_results([tmp_path / "out"], store)
    after = store.results(again)
    pd.testing.assert_frame_equal(after.records, before.records, rtol=1e-14)
    pd.testing.assert_frame_equal(after.aggregates, before.aggregates, rtol=1e-14)
    pd.testing.assert_frame_equal(store.documents(again), documents)
    assert (again.checkpoint.name, again.checkpoint.step) == (run.checkpoint.name, 200)
    assert again.finished == run.finished


def test_exported_scores_are_those_of_lm_eval(tmp_path, store):
    (run,) = import_results([TREE], store)
    export_results(store.results(run), store.documents(run), tmp_path / "out")
    theirs = published_scores(TREE / "org__dummy-1m")
    ours = published_scores(tmp_path / "out" / run.checkpoint.name)
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_exported_samples_have_lm_evals_keys(tmp_path, store):
    (run,) = import_results([TREE], store)
    export_results(store.results(run), store.documents(run), tmp_path / "out")
    for theirs in TREE.rglob("samples_*.jsonl"):
        task = theirs.name.rpartition("_")[0]
        ours = next((tmp_path / "out").rglob(f"{task}_*.jsonl"))
        left, right = samples_by_key(ours), samples_by_key(theirs)
        assert left.keys() == right.keys()
        for key, sample in left.items():
            assert sample.keys() == right[key].keys() - {"mcc"}
            # Not the document as it was in the data set, nor a generation's settings.
            same = sample.keys() - {"doc", "metrics", "arguments", *sample["metrics"]}
            assert {name: sample[name] for name in same} == {
                name: right[key][name] for name in same
            }
            for metric in sample["metrics"]:
                assert sample[metric] == pytest.approx(right[key][metric], rel=1e-14)


def test_lm_eval_finds_and_prints_what_was_exported(tmp_path, store):
    from lm_eval import utils

    (run,) = import_results([TREE], store)
    files = export_results(store.results(run), store.documents(run), tmp_path / "out")
    names = [str(file) for file in files]
    latest = utils.get_latest_filename(utils.get_results_filenames(names))
    assert latest == names[-1]
    found = {utils.get_file_task_name(Path(name).name) for name in names[:-1]}
    assert found == {"mini_gen", "mini_lam", "mini_mc", "mini_ppl"}
    assert utils.get_sample_results_filenames(names) == names[:-1]


def test_clusters_and_unusual_weights_survive_the_round_trip(tmp_path, store):
    records = [
        make_record(0, metric="inst_level_acc", value=0.5, weight=2.0, cluster="p1"),
        make_record(1, metric="inst_level_acc", value=1.0, weight=3.0, cluster="p1"),
    ]
    run = stored(store, make_run(), records)
    export_results(store.results(run), None, tmp_path / "out")
    (again,) = import_results([tmp_path / "out"], store)
    pd.testing.assert_frame_equal(
        store.results(again).records, store.results(run).records.assign(probe="lm-eval")
    )


def test_a_measurement_without_documents_is_no_task_of_lm_evals(tmp_path, store):
    with store.begin(make_run(), on_wait=never) as opened:
        opened.append("harness", [make_record(task="arc")])
        opened.append("throughput", [make_record(task="throughput", metric="decode")])
        opened.append("samples", [make_record(task="samples_prose", metric="distance")])
        opened.put_documents([Document("arc", "0", "Ice is", (" cold", " hot"), "0")])
        opened.put_documents([Document("samples_prose", "0", "Once", (), "")])
        finish(opened)
    results, documents = store.results(opened.run), store.documents(opened.run)
    names = [path.name for path in export_results(results, documents, tmp_path / "out")]
    assert names == ["samples_arc_2026-01-01T01-00-00.jsonl", "results_2026-01-01T01-00-00.json"]


def test_a_run_without_tasks_is_not_exported(tmp_path, store):
    run = stored(store, make_run())
    with pytest.raises(StoreError, match="holds no task"):
        export_results(store.results(run), None, tmp_path / "out")


# ------------------------------------------------------------------ published numbers


@pytest.mark.skipif(not PYTHIA.is_dir(), reason="the published Pythia results are not here")
def test_the_published_pythia_results_are_read_whole(store):
    runs = import_results([PYTHIA], store, 2_097_152)
    assert len(runs) == 27
    assert max(run.checkpoint.tokens for run in runs) == 299_892_736_000
    late = next(run for run in runs if run.checkpoint.step == 133_000)
    found = store.results(late).aggregates.set_index(["task", "metric"])
    assert len(found) == 172
    assert found.loc[("lambada_openai", "acc"), "value"] == pytest.approx(0.313, abs=5e-4)
    # The sizes of the test splits, which these files do not state.
    sizes = {"arc_easy": 2376, "sciq": 1000, "piqa": 1838, "lambada_openai": 5153}
    assert {task: found.loc[(task, "acc"), "n"] for task in sizes} == sizes
