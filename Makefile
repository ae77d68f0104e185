# Every target works on a fresh machine: it makes .venv from the hash-locked requirements first.
PYTHON ?= python3
LOCKER ?= pip-compile
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKS := requirements-dev.txt requirements-oracle.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check vectors pages bench fuzz faults lock stores

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## a whole pause in one folder: labs, log, witnesses, verdicts (build/demo)
	rm -rf build/demo
	mkdir -p build
	$(BIN)/pausectl demo --dir build/demo

test: $(READY) ## run the tests (ARGS="-k note"); JUnit goes to build/junit.xml
	$(BIN)/python -m pytest --junitxml=build/junit.xml $(ARGS)

check: $(READY) ## lint, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

vectors: $(READY) ## write tests/vectors again; git must stay clean
	$(BIN)/python -m pausectl.sim.vectors tests/vectors

pages: $(READY) ## write the generated parts of specs/ and README again; git must stay clean
	$(BIN)/python -m pausectl.sim.pages specs
	$(BIN)/python -m pausectl.sim.tables specs
	$(BIN)/python tests/test_readme.py
	$(BIN)/python tests/test_spec_tables.py

bench: $(READY) ## measure (ARGS=--quick for a short run)
	$(BIN)/python tests/bench/run.py $(ARGS)

fuzz: $(READY) ## throw a million damaged inputs at the parsers and the HTTP doors
	$(BIN)/python tests/fuzz/run.py $(ARGS)

faults: $(READY) ## kill, cut, fill, tear: what is acknowledged must stay (ARGS=--quick for ten minutes)
	$(BIN)/python tests/faults/run.py $(ARGS)

stores: $(READY) ## long trials of stores: races, and processes and servers that are killed again and again
	PAUSECTL_KILLS=40 PAUSECTL_RACES=1000 $(BIN)/python -m pytest -s -q $(ARGS) tests/log/test_stores.py \
	  tests/log/test_two_writers.py -k "promises or racing or killed or dies"

lock: ## compile the lock files again (needs pip-tools)
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCKER) $(COMPILE) -o requirements.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCKER) $(COMPILE) --extra lab --extra log --extra witness --extra mirror --extra intake --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml

COMPILE := --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links \
  --no-emit-trusted-host --no-emit-options

# Nothing here builds in isolation: the build tools are in the lock too.
$(READY): pyproject.toml $(LOCKS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --no-build-isolation -r requirements-oracle.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
