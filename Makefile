.PHONY: demo test check report-example train-example parity clean

demo: .venv/.ready
	.venv/bin/pyr demo

test: .venv/.ready
	.venv/bin/python -m pytest

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

parity: .venv/.ready
	.venv/bin/python tests/bench/parity.py $(CHECKPOINT) --datasets $(DATASETS)

clean:
	rm -rf .venv .cache dist build

.venv/.ready: pyproject.toml constraints.txt
	.ci/setup
