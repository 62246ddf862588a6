"""Memory that does not grow with the number of documents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BOUND = 8 * 2**30

# In a process of its own, whose address space is bounded: what it does not get, it cannot use.
SCRIPT = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({BOUND}, {BOUND}))
sys.path[:0] = {[str(HERE), str(HERE.parents[1])]}
import numpy as np
from factories_fast import TOKENIZER, tiny_model
from pyr.engines.fast.lm import FastLM
from pyr.engines.loading import Loaded
from pyr.engines.fast.plan import Request, arrange

model = tiny_model("llama", max_position_embeddings=4096, num_hidden_layers=1)
lm = FastLM(Loaded(model, TOKENIZER), max_length=4096)
draw = np.random.default_rng(0)
heads = draw.integers(5, 500, (PREFIXES, 3000), np.int32)
asked = [
    (None, heads[item % PREFIXES].copy(), draw.integers(5, 500, 12, np.int32))
    for item in range(10_000)
]
answers = lm.loglikelihood_encoded(asked)
assert len(answers) == 10_000 and all(np.isfinite(value) for value, _ in answers)
work = lm.scorer.work
print(work.request_tokens, work.tokens, work.most_tokens, work.most_spine)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def run(prefixes: int) -> list[int]:
    script = SCRIPT.replace("PREFIXES", str(prefixes))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [int(each) for each in done.stdout.split()]


@pytest.mark.slow
def test_ten_thousand_documents_with_long_prefixes_run_in_8_gb() -> None:
    asked, computed, pack, spine, megabytes = run(100)
    assert asked == 10_000 * 3011
    # A few answers to one prefix begin with the same word.
    assert computed == pytest.approx(100 * 3000 + 10_000 * 11, rel=0.01)
    assert pack <= 1024
    assert spine < 3012
    print(f"{megabytes} MB at the most")
    assert megabytes < BOUND // 2**20
