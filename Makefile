# Every target makes the environment that it needs in .venv and is fast when there is nothing to do.

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check

# The first interpreter that runs and is new enough; PYTHON=… chooses another.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(IS_NEW_ENOUGH)' 2>/dev/null && { echo $$p; break; }; done)

# Empty, 0, no and false all mean "not".
given = $(filter-out 0 no false,$(1))

.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench chaos docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-base ## train the demo and watch it (HEADLESS=1: no TUI; STEPS=n: stop after n)
	@$(BIN)/wl demo $(if $(call given,$(HEADLESS)),--headless) $(if $(STEPS),--steps $(STEPS))

test: $(VENV)/.installed-test ## run the tests (ARGS=… goes to pytest)
	$(BIN)/python -m pytest $(ARGS)

chaos: $(VENV)/.installed-test ## kill, damage and starve real trainings, many times
	$(BIN)/python -m pytest -m chaos $(ARGS)

bench: $(VENV)/.installed-test ## measure what docs/benchmarks.md states
	@for file in tests/benchmarks/bench_*.py; do \
	    echo "== $$file"; $(BIN)/python -m tests.benchmarks.$$(basename $$file .py) || exit; done

lint: $(VENV)/.installed-dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## mypy --strict
	$(BIN)/mypy --strict

docs: $(VENV)/.installed-docs ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -b html docs docs/_build/html

clean: ## remove what the other targets made, .venv included
	rm -rf $(VENV) build dist docs/_build *.egg-info

# An interpreter that is too old, or a Python without venv, is said in words before pip says it worse.
$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	    echo "wl needs Python 3.11 or newer; none of these is: $(CANDIDATES)." >&2; \
	    echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; fi
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' || { \
	    echo "wl needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed-base: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-%: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[$*]'
	@touch $@ $(VENV)/.installed-base
