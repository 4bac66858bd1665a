# Everything starts from `make demo` and `make test`; `make help` lists the rest.
# The only needs are make and Python 3.11 or 3.12; the tests on a real Kafka also want java and mvn, and skip without.

PYTHON ?= python3
FAST ?=
SHORT ?=
BIN := .venv/bin
INSTALLED := .venv/.installed
LINKED := .venv/.linked
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help demo sim test test-peers faults bench bench-report lint format docs brokers lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(LINKED)  ## real shoppers end to end on an embedded broker; FAST=1 for a tenth of them
	FAST=$(FAST) $(BIN)/python -m streams.demo

sim: $(LINKED)  ## a day of a made-up shop whose true effects are known, end to end; FAST=1 for a small one
	FAST=$(FAST) $(BIN)/python -m streams.sim

test: $(LINKED) lint brokers  ## install, lint, type and schema checks, then every test (CI=true: a skip without Java fails)
	$(BIN)/python -m pytest

test-peers: $(LINKED) brokers  ## the peers of bench-peers do the same job as the worker, event by event
	$(BIN)/python -m pytest -m peers tests/bench

faults: $(LINKED) brokers  ## harm of every kind, and nothing lost or doubled: bench/results/faults.json; SHORT=1 in minutes
	SHORT=$(SHORT) $(BIN)/python -m tests.faults

bench: bench-pipeline  ## the pipeline against plain Faust on a real Kafka, into bench/results/pipeline.json

bench-report: bench-honesty  ## the effect report against the made-up shop's truth: bench/results/honesty.json

bench-%: $(LINKED)  ## one measurement, bench/%.py
	$(BIN)/python -m bench.$*

lint: $(LINKED)  ## ruff, mypy --strict and the check that no schema change breaks a reader
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict schemas models streams
	$(BIN)/python -m schemas.compat

format: $(LINKED)  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(LINKED)  ## docs/settings.md, performance.md and models.md from the settings and the results of bench/
	$(BIN)/python -m schemas.settings > docs/settings.md
	$(BIN)/python -m bench.page
	$(BIN)/python -m bench.models.page

brokers: $(LINKED)  ## fetch the jars of Kafka and of the schema registry into the cache, ahead of the tests
	$(BIN)/python -m tests.brokers

lock: $(LINKED)  ## make the lock files anew: ours from pyproject.toml, the image's, those of the benchmark's peers
	$(BIN)/pip install --quiet uv
	$(COMPILE) --upgrade --extra demo --extra learn --extra ray --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) --constraint requirements.lock --override deploy/image-overrides.txt \
	  pyproject.toml deploy/image.in -o deploy/requirements.lock
	for peer in quix bytewax pyflink; do \
	  $(COMPILE) --upgrade bench/peers/$$peer.in -o bench/peers/$$peer.lock || exit 1; done

clean:  ## remove what was installed, built and kept by runs here (not the cache of jars)
	rm -rf .venv .intentflow build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps come last in each recipe: an install that broke off is done again.
$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else \
	  f"$(PYTHON) is Python {v[0]}.{v[1]}, and this needs 3.11 or 3.12: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@touch $@

$(LINKED): $(INSTALLED) pyproject.toml
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
