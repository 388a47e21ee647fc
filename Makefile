# Every chore is one command; each makes .venv and installs into it when that is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: bench test lint types slow benchmarks figures clean

bench: $(STAMP)  ## the study: success against wall-clock for fleets of 1, 2 and 4
	$(BIN)/sop-bench scale --robots 1,2,4

test: lint types  ## what CI checks, without its slow tests
	$(BIN)/pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/pyright

slow: $(STAMP)  ## the tests that train or simulate for minutes
	$(BIN)/pytest -m slow

benchmarks: $(STAMP)  ## speed of physics, rendering, policy and learner on this machine
	$(BIN)/pytest tests/benchmarks --benchmark-enable --benchmark-only -m ""

figures: $(STAMP)  ## redraw every figure from results/ alone
	for script in paper_figs/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .benchmarks dist *.egg-info

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@
