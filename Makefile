# Two commands: `make run` answers a question, `make test` runs the tests. Both set up .venv from the lock first.
.DEFAULT_GOAL := run
.PHONY: run test lint lock wheel clean

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin
QUESTION ?= How many invoices are there by silo, and which months are missing in the invoices?

ifdef UV
  CREATE := uv venv --quiet --allow-existing --python $(PYTHON) .venv
  INSTALL := uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps -r
else
  CREATE := $(PYTHON) -m venv .venv
  INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r
endif

run: .venv/product
	$(BIN)/python main.py "$(QUESTION)"

test: .venv/development lint
	$(BIN)/python -m pytest

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/product: requirements.txt
	$(CREATE)
	@echo "Installing the locked packages, once: a minute with uv, a few with pip ..."
	$(INSTALL) requirements.txt
	@touch $@

.venv/development: requirements-dev.txt
	$(CREATE)
	@echo "Installing the locked packages and the development tools, once: a minute with uv, a few with pip ..."
	$(INSTALL) requirements-dev.txt
	@touch $@ .venv/product

# The lock: requirements.txt is the product, requirements-dev.txt the product and its development tools, one resolution for both.
lock:
	uv pip compile requirements.in --group pyproject.toml:dev --universal --python-version 3.11 --no-header --no-annotate --quiet -o requirements-dev.txt
	uv pip compile requirements.in -c requirements-dev.txt --universal --python-version 3.11 --no-header --no-annotate --quiet -o requirements.txt

# One wheel for a Databricks job's environment, the served model and `uv tool install`.
wheel:
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:
	rm -rf .venv .rlm .mypy_cache .pytest_cache .ruff_cache .hypothesis
