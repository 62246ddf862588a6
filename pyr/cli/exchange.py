"""``pyr import PATH...`` and ``pyr export lm-eval RUN DIR``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pyr.store import Store
from pyr.store.lm_eval_results import export_results, import_results


def run(options: argparse.Namespace) -> int:
    """Take results in, or write them out."""
    store = Store(options.store)
    if options.direction == "import":
        paths = [Path(path) for path in options.paths]
        done = [run.id for run in import_results(paths, store, options.tokens_per_step)]
    else:
        stored = store.run(options.run)
        results, documents = store.results(stored), store.documents(stored)
        done = [str(file) for file in export_results(results, documents, Path(options.folder))]
    print(json.dumps(done, indent=2) if options.json else "\n".join(done))
    return 0
