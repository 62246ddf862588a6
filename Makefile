.PHONY: demo test check bench report-example clean

demo: .venv/.ready
	.venv/bin/pyr demo

test: .venv/.ready
	.venv/bin/python -m pytest

check: .venv/.ready
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

clean:
	rm -rf .venv .cache dist build

.venv/.ready: pyproject.toml constraints.txt
	.ci/setup
