# Downhaul: `make help` lists what there is. Nothing is needed beforehand but make and Python 3.11 or newer.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Most tests wait more than they compute.
JOBS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((cores < 4 ? 2 * cores + 1 : 8)))
# Where it is set, each of hundreds of processes compiles all of our modules anew.
unexport PYTHONDONTWRITEBYTECODE
export DOWNHAUL_DATA_DIR ?= $(CURDIR)/.data

# A broken link or reference fails. The fresh environment finds those of pages that were not changed, too.
SITE := $(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --fresh-env --jobs auto \
  --doctree-dir docs/_build/cache docs docs/_build/html

.DEFAULT_GOAL := help
.PHONY: help setup redis chromium nginx clients kubernetes promtool systemd run test faults machines check docs format lock bench clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Make .venv with everything that is needed to run and test

$(STAMP): requirements-dev.txt pyproject.toml sdk/pyproject.toml
	@PYTHON="$(PYTHON)" bash deploy/setup.sh venv "$(VENV)"
	@touch $@

redis: ## Find a Redis server on this machine, or install one with the system's package manager
	@bash deploy/setup.sh redis

chromium: ## Find Chromium on this machine, or install one with the system's package manager
	@bash deploy/setup.sh chromium

nginx: ## Find nginx on this machine, or install one with the system's package manager
	@bash deploy/setup.sh nginx

clients: ## Install OpenFeature's clients for Node, and Node where there is none, for the tests
	@bash deploy/setup.sh clients

kubernetes: setup ## Find helm and kubectl on this machine, or put them into .venv
	@bash deploy/setup.sh kubernetes $(VENV)

promtool: setup ## Find promtool on this machine, or put one into .venv
	@bash deploy/setup.sh promtool $(VENV)

systemd: ## Find systemd-analyze on this machine, or install it with the system's package manager
	@bash deploy/setup.sh systemd

run: setup redis ## Bring up the service with embedded Redis, demo data and two demo microservices
	@exec $(BIN)/downhaul-server demo

test: setup redis chromium nginx clients kubernetes promtool ## Run every test, several files at a time: JOBS=1 for one after the other
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

faults: setup redis ## Run the fault suite for long: MINUTES=30 by default
	DOWNHAUL_FAULTS_MINUTES=$(or $(MINUTES),30) $(BIN)/python -m pytest tests/faults --timeout=0

machines: setup ## Follow the guides on a Debian that boots; needs root on Debian or Ubuntu. SUITE=trixie: on a newer one
	@bash deploy/setup.sh machines
	DOWNHAUL_MACHINES_SUITE=$(or $(SUITE),bookworm) $(BIN)/python -m pytest tests/machines --timeout=0

check: setup kubernetes promtool systemd ## Format, lint, types, imports, documentation, and deploy/
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@BIN=$(BIN) bash deploy/check.sh
	$(SITE)

docs: setup ## Make a site of the documentation
	$(SITE)
	@echo "Open docs/_build/html/index.html"

format: setup ## Put the code into its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup redis nginx ## Measure the engine, the SDK, polls, streams and kills; PEERS=1 adds other vendors
	$(BIN)/python bench/engine.py $(if $(PEERS),--peers,)
	$(BIN)/python bench/sdk_weight.py $(if $(PEERS),,--alone)
	$(BIN)/python bench/integrations.py
	$(BIN)/python bench/poll.py
	$(BIN)/python bench/fanout.py
	$(BIN)/python bench/kill.py $(if $(PEERS),--peers,)
	$(BIN)/python bench/ui.py
	$(BIN)/python bench/scale.py
	@if command -v wrk >/dev/null; then $(BIN)/python bench/edge.py; else echo "bench/edge.py is left out: it needs wrk"; fi

lock: ## Write the locked requirements anew (needs uv)
	uv pip compile pyproject.toml sdk/pyproject.toml --extra embedded --extra otel --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-emit-package downhaul -o requirements.txt
	uv pip compile pyproject.toml sdk/pyproject.toml --group dev --extra embedded --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-emit-package downhaul -o requirements-dev.txt

clean: ## Remove what the other targets made, demo data included
	rm -rf $(VENV) .data .pytest_cache .mypy_cache .ruff_cache .hypothesis dist bench/results tests/ofrep/clients/node_modules docs/_build
