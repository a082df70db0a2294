# One command each; every target sets up what it needs in .venv first.
#
#   make demo         a whole market day on a real feeder, in the terminal (at most a minute)
#   make test         every test
#   make test-fast    the tests that take no more than a few seconds each
#   make test-many    every test, on all of their random networks and shipped ones (hours)
#   make soak         every test, ROUNDS times (5), each time on other random draws (hours)
#   make coverage     the fast tests, and which branches of the code they take
#   make simulate     DAYS market days (1,000) with faults, in virtual time
#   make mutants      one change at a time in what guards security and money: do tests notice (hours)
#   make check        format, lint, types (strict in the packages), import contracts
#   make bench        the benchmarks, each as a table
#   make format       put the code into the form that `make check` asks for
#   make constraints  pin today's versions of all dependencies in constraints.txt
#   make clean        remove .venv and everything that was built
#
# Needs Python 3.11 or newer (`make PYTHON=/path/to/python demo` picks one), make and a C library.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The embedded Redis has wheels for CPython 3.11 and 3.12, so these come before a newer python3.
PYTHON ?= $(shell for candidate in python3.12 python3.11 python3; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$candidate; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# A module's tests stay together, because they share what took long to set up; slow tests begin
# first, each by itself (tests/conftest.py).
WORKERS := --numprocesses logical --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

# Random draws follow from the committed tests; `make SEED=7 test` draws others.
SEED ?= $(shell printf '%d' 0x0$$(git rev-parse --quiet --verify HEAD:tests | cut -c1-7))
ROUNDS ?= 5
DAYS ?= 1000
PYTEST = $(BIN)/python -m pytest $(WORKERS)
DRAWS = $(if $(SEED),--hypothesis-seed=$(SEED))

# The matrices are small: more threads would wait for each other (see gateway/__init__.py).
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help demo test test-fast test-many soak coverage simulate mutants check bench format constraints clean

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# To run it: without the development tools, and so without the large simbench package.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (about a minute, only the first time) ..."
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

# To work on it.
$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (one to two minutes, only the first time) ..."
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/doe-exchange demo

test: $(VENV)/.installed-dev
	@echo "random draws: $(or $(DRAWS),those of each test's name)"
	$(PYTEST) $(DRAWS) --durations=25 --junitxml=build/tests.xml

test-fast: $(VENV)/.installed-dev
	$(PYTEST) $(DRAWS) -m "not slow"

test-many: $(VENV)/.installed-dev
	DOE_MANY_TESTS=1 $(PYTEST) $(DRAWS)

soak: $(VENV)/.installed-dev
	@set -e; for round in $$(seq $(ROUNDS)); do \
		seed=$$(od -An -N3 -tu4 /dev/urandom | tr -d ' '); \
		echo "round $$round of $(ROUNDS): --hypothesis-seed=$$seed"; \
		$(PYTEST) --hypothesis-seed=$$seed; done

coverage: $(VENV)/.installed-dev
	$(PYTEST) $(DRAWS) -m "not slow" --cov --cov-report=term:skip-covered

simulate: $(VENV)/.installed-dev
	$(BIN)/python tools/simulate_days.py --days $(DAYS)

mutants: $(VENV)/.installed-dev
	$(BIN)/python tools/mutants.py

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	@set -e; for benchmark in benchmarks/bench_*.py; do \
		echo; echo "== $$benchmark"; $(BIN)/python $$benchmark; done

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# In an environment of its own, so that nothing installed by hand slips into the pins.
constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip --disable-pip-version-check --quiet install --editable '.[dev]'
	{ sed -n '/^#/p' constraints.txt; build/constraints/bin/python -m pip freeze --exclude-editable; } \
		> build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/constraints

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
