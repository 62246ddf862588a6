"""Generation, stock lm-eval against the fast engine, side by side in one process: ``make bench``.

    python tests/bench/bench_generation.py CHECKPOINT [--work ifeval tools] [--items 24]

Prints processor seconds of this process (one thread is meant: set OMP_NUM_THREADS=1), the ratio to
the fast engine, and how many texts differ: a table in Markdown. Prompts are those of google/IFEval,
or first questions of BFCL's multi-turn set after a list of its tools, six of one class; all under
the chat template. It reads the data that lie beside the repository, and says so without them.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from tasks_asked import return_freed_memory

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


WORK = {"ifeval": ifeval, "tools": tools}
HEADER = (
    "| prompts | items | prompt tokens | engine | CPU s | times fast | tokens said "
    "| texts that differ from fast |\n| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |"
)


def measure(answers: Callable[[], list[str]]) -> tuple[float, list[str]]:
    start = time.process_time()
    texts = answers()
    return time.process_time() - start, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--work", choices=sorted(WORK), nargs="+", default=sorted(WORK))
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--max-gen-toks", type=int, default=96)
    parser.add_argument("--stock", type=int, nargs="*", default=[1, 8, 32], help="batch sizes")
    parser.add_argument("--slots", type=int, default=None)
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"generation is not measured: no data in {DATA}")
        return
    run(options)


def run(options: Any) -> None:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    import torch
    from lm_eval.models.huggingface import HFLM

    from pyr.checkpoint import identify
    from pyr.engines import EngineSettings
    from pyr.engines.fast.generate import generate_until
    from pyr.engines.loading import load_model
    from pyr.hardware import keep_freed_memory

    settings = EngineSettings(device="cpu", dtype="float32")
    loaded = load_model(identify(options.checkpoint), settings)
    model, tokenizer = loaded.model, loaded.tokenizer
    print(
        f"{options.checkpoint.name}, {torch.get_num_threads()} thread(s):\n\n{HEADER}", flush=True
    )

    def fast(requests: list[Any]) -> list[str]:
        length = model.config.max_position_embeddings
        keep_freed_memory()
        return generate_until(model, tokenizer, requests, max_length=length, slots=options.slots)

    def stock(requests: list[Any], batch_size: int) -> list[str]:
        return_freed_memory()
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
        return lm.generate_until(requests, disable_tqdm=True)

    for work in options.work:
        requests = ask(work, tokenizer, options)
        best, expected = measure(lambda: fast(requests))  # noqa: B023
        report(work, tokenizer, requests, "fast", (best, expected), (best, expected))
        for size in options.stock:
            seen = measure(lambda: stock(requests, size))  # noqa: B023
            report(work, tokenizer, requests, f"stock, batch {size}", seen, (best, expected))
    print()


def ask(work: str, tokenizer: Any, options: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    how = {"until": [], "do_sample": False, "max_gen_toks": options.max_gen_toks}
    contexts = [
        tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        for chat in WORK[work](options.items)
    ]
    return [
        Instance("generate_until", {}, (context, how), index, metadata=(work, index, 1))
        for index, context in enumerate(contexts)
    ]


def report(
    work: str,
    tokenizer: Any,
    requests: list[Any],
    name: str,
    seen: tuple[float, list[str]],
    fast: tuple[float, list[str]],
) -> None:
    (seconds, texts), (best, expected) = seen, fast
    read = sum(len(tokenizer(each.args[0])["input_ids"]) for each in requests)
    said = sum(len(tokenizer(text)["input_ids"]) for text in texts)
    other = sum(left != right for left, right in zip(texts, expected, strict=True))
    cells = (
        work,
        len(requests),
        read,
        name,
        f"{seconds:.1f}",
        f"{seconds / best:.2f}",
        said,
        other,
    )
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
