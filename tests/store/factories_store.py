"""Runs and records to store."""

from pyr.schema import Checkpoint, Record, Run


def make_run(run_id="tiny--smoke--0a1b", *, digest="d1", started="2026-01-01T00:00:00Z"):
    checkpoint = Checkpoint(
        path="out/tiny", name="tiny", digest=digest, format="safetensors", step=7, tokens=700
    )
    return Run(
        id=run_id,
        checkpoint=checkpoint,
        suite="smoke",
        suite_digest="s1",
        engine="reference",
        environment={"device": "cpu"},
        started=started,
    )


def make_record(item=0, *, task="arc", metric="acc", value=1.0, **rest):
    return Record(task=task, metric=metric, item=str(item), value=value, **rest)


def finish(opened, *, finished="2026-01-01T01:00:00Z"):
    opened.finish(finished=finished, skipped=(), notes=(), data={}, environment={})


def never(message):
    raise AssertionError(f"nobody else holds the lock, yet: {message}")


def stored(store, run, records=(), *, probe="harness", finished="2026-01-01T01:00:00Z"):
    """The run with these records, finished unless `finished` is empty."""
    with store.begin(run, on_wait=never) as opened:
        opened.append(probe, list(records))
        if finished:
            finish(opened, finished=finished)
        return opened.run
