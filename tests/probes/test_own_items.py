"""The clusters of a suite's items, known without a model."""

from __future__ import annotations

import json

from pyr.probes.needs import clusters
from pyr.schema import Suite


def suite(**options) -> Suite:
    return Suite.model_validate({"name": "s", "probes": [{"probe": "harness", **options}]})


def test_the_projects_own_tasks_tell_their_clusters_in_the_order_asked():
    found = clusters(suite(tasks=["pyr_pairs", {"task": "pyr_copy", "limit": 5}, "hellaswag"]))
    assert set(found) == {"pyr_pairs", "pyr_copy"}
    assert (len(found["pyr_pairs"]), len(set(found["pyr_pairs"]))) == (2050, 41)
    # Any beginning is a fair sample of the paradigms.
    assert len(set(found["pyr_pairs"][:300])) == 41
    assert set(found["pyr_copy"]) == {""}


def test_so_do_tasks_of_the_users_own_folders(tmp_path):
    folder = tmp_path / "quiz"
    folder.mkdir()
    lines = [json.dumps({"prompt": "?", "cluster": name}) for name in ("a", "a", "b")]
    (folder / "items.jsonl").write_text("\n".join(lines))
    found = clusters(suite(include_path=[str(tmp_path)], tasks=["quiz"]))
    assert sorted(found["quiz"]) == ["a", "a", "b"]
