# What `make bench` and `make parity` measure with; both can be given on the command line.
CHECKPOINT = .cache/demo/SmolLM2-135M-Instruct
DATASETS = ../shared/data/hub .cache/demo/hub

.PHONY: demo test nightly test-newest test-oldest check report-example train-example bench parity bench-gates twins planted-faults public-histories clean

demo: .venv/.ready
	.venv/bin/pyr demo

test: .venv/.ready
	.venv/bin/python -m pytest

# What takes minutes: kills at random moments, several ranks, whole recipes, the wheel end to end.
nightly: .venv/.ready
	.venv/bin/python -m pytest -m slow

# The newest versions that the ranges allow, on the newest Python that is there; then the oldest.
test-newest:
	.ci/other-versions newest

test-oldest:
	.ci/other-versions oldest

check: .venv/.ready
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

report-example: demo
	cp reports/demo/report.html reports/demo/report.md reports/example/

train-example: .venv/.ready
	.venv/bin/pyr train train/tiny
	cp out/tiny/report.html reports/example/train-tiny.html
	cp out/tiny/report.md reports/example/train-tiny.md

bench: export OMP_NUM_THREADS = 1
bench: .venv/.ready
	.venv/bin/python tests/bench/bench_scoring.py $(CHECKPOINT) --datasets $(DATASETS)
	.venv/bin/python tests/bench/bench_memory.py $(CHECKPOINT) --datasets $(DATASETS)
	.venv/bin/python tests/bench/bench_overhead.py $(CHECKPOINT) --datasets $(DATASETS) --narrow --limit 100
	.venv/bin/python tests/bench/bench_generation.py $(CHECKPOINT) --work ifeval --items 32 --max-gen-toks 512 --stock 8 32
	.venv/bin/python tests/bench/bench_generation.py $(CHECKPOINT) --work tools --items 16 --max-gen-toks 64 --stock 8 32
	.venv/bin/python tests/bench/bench_training.py
	.venv/bin/python -m pytest -m slow -s tests/tokenization/test_tokenizer_bars.py

parity: .venv/.ready
	.venv/bin/python tests/bench/parity.py $(CHECKPOINT) --datasets $(DATASETS)

bench-gates: .venv/.ready
	.venv/bin/python tests/bench/bench_gates.py --write docs/gates.md

twins: .venv/.ready
	.venv/bin/python tests/bench/bench_gates.py --twins $(RUN) --write docs/gates.md

planted-faults: .venv/.ready
	.venv/bin/python tests/bench/planted_faults.py $(CHECKPOINT) --write docs/gates.md

public-histories: .venv/.ready
	.venv/bin/python tests/bench/public_histories.py $(DATA) --write docs/gates.md

clean:
	rm -rf .venv .venv-newest .venv-oldest .cache dist build

.venv/.ready: pyproject.toml constraints.txt
	.ci/setup
