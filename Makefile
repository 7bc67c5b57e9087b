# Every command a person needs. Those that need the environment make it first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup run test test-slow lint bench clean

setup: $(READY)  ## make .venv with everything

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[cpu,data,report,dev]'
	touch $@

run: setup  ## the main job: MLPF, small preset, on events it makes itself
	$(BIN)/hepbench run mlpf --preset smoke

test: setup  ## the fast tests
	$(BIN)/pytest -m 'not slow'

test-slow: setup  ## the rest of the tests
	$(BIN)/pytest -m slow

lint: setup  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup  ## our steps against plain transcriptions, graph building, the cost of the harness
	$(BIN)/python -m tests.bench

clean:  ## remove what the other targets made
	rm -rf $(VENV) results .mypy_cache .pytest_cache .ruff_cache
