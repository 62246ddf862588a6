"""Generation, stock lm-eval against the fast engine, side by side in one process.

    python tests/bench/bench_generation.py CHECKPOINT [--work ifeval|tools] [--items 48]

Prints processor seconds of this process (one thread is meant: set OMP_NUM_THREADS=1), the ratio
to the fast engine, and how many texts differ. Prompts are those of google/IFEval, or first
questions of BFCL's multi-turn set after a list of its tools, six of one class; all under the
chat template. It reads the data that lie beside the repository.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "shared" / "data"
CLASSES = {
    "TradingBot": "trading_bot",
    "VehicleControlAPI": "vehicle_control",
    "TravelAPI": "travel_booking",
    "GorillaFileSystem": "gorilla_file_system",
}
NUM_TOOLS = 6


def ifeval(number: int) -> list[list[dict[str, str]]]:
    import pandas as pd

    (file,) = (DATA / "hub/google/IFEval/data").glob("*.parquet")
    prompts = pd.read_parquet(file)["prompt"].sample(number, random_state=0)
    return [[{"role": "user", "content": prompt}] for prompt in prompts]


def tools(number: int) -> list[list[dict[str, str]]]:
    folder = DATA / "benchmarks/bfcl_v4"
    documents = [json.loads(line) for line in (folder / "multi_turn_func_doc.jsonl").open()]
    lists = {
        name: "\n".join(
            json.dumps({key: each[key] for key in ("name", "description", "parameters")})
            for each in [each for each in documents if api in each["api"]][:NUM_TOOLS]
        )
        for name, api in CLASSES.items()
    }
    chats = []
    for item in map(json.loads, (folder / "multi_turn_base.jsonl").open()):
        name = item["involved_classes"][-1]
        if name in lists:
            system = f"Answer with one call of these tools.\n<tools>\n{lists[name]}\n</tools>"
            question = item["question"][0][0]["content"]
            chats.append(
                [{"role": "system", "content": system}, {"role": "user", "content": question}]
            )
    return random.Random(0).sample(chats, number)


def measure(answers: Callable[[], list[str]]) -> tuple[float, list[str]]:
    start = time.process_time()
    texts = answers()
    return time.process_time() - start, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--work", choices=["ifeval", "tools"], default="ifeval")
    parser.add_argument("--items", type=int, default=48)
    parser.add_argument("--max-gen-toks", type=int, default=128)
    parser.add_argument("--stock", type=int, nargs="*", default=[1, 8, 32], help="batch sizes")
    parser.add_argument("--slots", type=int, nargs="*", default=[64])
    parser.add_argument("--batch-tokens", type=int, default=32_768)
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data in {DATA}")
    run(options)


def run(options: Any) -> None:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from pyr.checkpoint import identify
    from pyr.engines import EngineSettings
    from pyr.engines.fast.generate import generate_until
    from pyr.engines.reference import load_model

    model, tokenizer = load_model(identify(options.checkpoint), EngineSettings().resolved())
    chats = {"ifeval": ifeval, "tools": tools}[options.work](options.items)
    how = {"until": [], "do_sample": False, "max_gen_toks": options.max_gen_toks}
    contexts = [
        tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        for chat in chats
    ]
    requests = [
        Instance("generate_until", {}, (context, how), index, metadata=(options.work, index, 1))
        for index, context in enumerate(contexts)
    ]
    lengths = [len(tokenizer(context)["input_ids"]) for context in contexts]
    print(f"{len(requests)} prompts, {sum(lengths)} tokens (longest {max(lengths)}),", end=" ")
    print(f"{torch.get_num_threads()} thread(s)")

    def fast(slots: int) -> list[str]:
        return generate_until(
            model,
            tokenizer,
            requests,
            max_length=model.config.max_position_embeddings,
            slots=slots,
            batch_tokens=options.batch_tokens,
        )

    def stock(batch_size: int) -> list[str]:
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
        return lm.generate_until(requests, disable_tqdm=True)

    rows = [("fast", slots, *measure(lambda slots=slots: fast(slots))) for slots in options.slots]
    report(rows, rows, tokenizer)
    for size in options.stock:
        row = ("stock", size, *measure(lambda size=size: stock(size)))
        report([row], rows, tokenizer)


def report(rows: list[Any], fast_rows: list[Any], tokenizer: Any) -> None:
    best, reference = min(row[2] for row in fast_rows), fast_rows[0][3]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for name, size, seconds, texts in rows:
        said = sum(len(tokenizer(text)["input_ids"]) for text in texts)
        other = sum(left != right for left, right in zip(texts, reference, strict=True))
        print(
            f"{name:>6} {size:>3}: {seconds:7.1f} s  {seconds / best:5.2f}x of fast  "
            f"{said} tokens said, {other} texts differ, peak memory so far {peak:.1f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
