# What a person types; .ci/run calls the same.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export UV_PYTHON_PREFERENCE ?= system
UV := $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
RUN := $(UV) run --no-sync --quiet
PYTEST_ARGS ?=
TEST_WORKERS ?= 2
SECONDS_DEMO ?= 60
SOAK_MINUTES ?= 10
SOAK_KILLS ?= 500
SOAK_ORDERS ?= 100000
FORGE_ARGS ?=
CROSSCHECK := dex/crosscheck/uniswap_python
CONFORMANCE := $(patsubst %/uv.lock,%,$(wildcard tests/conformance/*/uv.lock))
PACKAGES := domain runtime chain wallets compliance cex dex custody engine api cli
NODE_STAMP := node_modules/.package-lock.json
FORGE := node_modules/@foundry-rs/forge-linux-amd64/bin/forge
CONTRACT_SOURCES := $(shell find contracts/src contracts/test foundry.toml scripts/solc* -type f 2>/dev/null)

.PHONY: help install tools python crosscheck conformance client-tools clients demo test test-python test-rust test-contracts lint format bench soak soak-contracts soak-properties services clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

install: tools python crosscheck conformance client-tools $(NODE_STAMP) contracts/out/.built ## Install everything the repository needs, into the repository

tools:
	@scripts/check-tools

python: $(UV) .venv/.compiled
	@$(UV) sync --locked --quiet
	@.venv/bin/python -m compileall -q -j 2 $(PACKAGES)

# Byte-compiled once per lock, and ours whenever they change: where Python is told to write no caches
# (PYTHONDONTWRITEBYTECODE), compiling at each start costs more than everything else that a command does.
.venv/.compiled: uv.lock | $(UV)
	@$(UV) sync --locked --quiet --compile-bytecode
	@touch $@

.tools/uv/bin/uv:
	@echo "installing uv into .tools/ …"
	@python3 -m venv .tools/uv
	@.tools/uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

$(NODE_STAMP): package.json package-lock.json
	@echo "installing anvil, forge and the Uniswap artifacts …"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

contracts/out/.built: $(NODE_STAMP) $(CONTRACT_SOURCES)
	@echo "compiling contracts …"
	@$(FORGE) build --quiet --force
	@touch $@

# uniswap-python wants an older web3 than ours: an environment of its own (docs/adr/0011).
crosscheck: $(CROSSCHECK)/.venv/.synced ## Install uniswap-python, the second opinion on quotes

$(CROSSCHECK)/.venv/.synced: $(CROSSCHECK)/uv.lock | $(UV)
	@$(UV) sync --locked --quiet --project $(CROSSCHECK)
	@touch $@

# Clients of the sandbox exchange that claim module names of others, an environment each (docs/venues/sandbox-clients.md).
conformance: $(CONFORMANCE:%=%/.venv/.synced) tests/conformance/npm/node_modules/.package-lock.json ## Install the third-party clients that trade on the sandbox exchange

tests/conformance/%/.venv/.synced: tests/conformance/%/uv.lock | $(UV)
	@$(UV) sync --locked --quiet --project $(@D:/.venv=)
	@touch $@

tests/conformance/npm/node_modules/.package-lock.json: tests/conformance/npm/package-lock.json
	@npm ci --prefix tests/conformance/npm --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# What generates clients of the API, an environment of its own (docs/api/clients.md).
client-tools: scripts/clients/.venv/.synced scripts/clients/node_modules/.package-lock.json

scripts/clients/.venv/.synced: scripts/clients/uv.lock | $(UV)
	@$(UV) sync --locked --quiet --project scripts/clients
	@touch $@

scripts/clients/node_modules/.package-lock.json: scripts/clients/package-lock.json
	@npm ci --prefix scripts/clients --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

clients: install ## Generate Python and TypeScript clients of the API into var/clients
	@scripts/clients/generate var/clients

demo: install ## Run the main job for 60 s and open with a report
	@$(RUN) capstan demo --seconds $(SECONDS_DEMO)

test: install test-rust test-contracts test-python ## Run the whole test suite

# What `make install` installs must be there: a client that is missing fails its test instead of skipping it.
test-python:
	@CAPSTAN_TEST_ALL_CLIENTS=1 $(RUN) pytest -n $(TEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

test-rust:
	@cargo test --quiet --locked --manifest-path native/Cargo.toml --workspace --exclude capstan-native

test-contracts:
	@$(FORGE) test

lint: install ## ruff, mypy --strict, import-linter, forge fmt, clippy
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) lint-imports
	@$(FORGE) fmt --check
	@cargo fmt --manifest-path native/Cargo.toml --all --check
	@cargo clippy --quiet --locked --manifest-path native/Cargo.toml --all-targets -- -D warnings

format: install ## Put every source into house form
	@$(RUN) ruff check --fix --quiet .
	@$(RUN) ruff format --quiet .
	@$(FORGE) fmt
	@cargo fmt --manifest-path native/Cargo.toml --all

bench: install ## Measure; TOPIC=spine for one topic
	@$(RUN) python -m bench $(TOPIC)

venues: ## Try every ccxt venue on this machine; write cex/venues/matrix.json and its pages in docs/venues
	$(RUN) python -m tests.support.venue_harness

soak: install ## Long runs: SOAK_KILLS=500 over custody, SOAK_ORDERS=100000 on a faulty exchange, SOAK_MINUTES=10 over the engine (soak/results.json), fuzz of the contracts
	@$(RUN) python -m soak.custody --kills $(SOAK_KILLS) --json
	@$(RUN) python -m soak.two_legs
	@$(RUN) python -m soak.exchange --orders $(SOAK_ORDERS)
	@$(RUN) python -m soak.dex
	@$(RUN) python -m soak.swaps
	@$(RUN) python -m soak --minutes $(SOAK_MINUTES)
	@$(MAKE) --no-print-directory soak-properties
	@$(MAKE) --no-print-directory soak-contracts

soak-properties: install ## The suite's properties with other examples each time, 1,000 each: a few minutes
	@$(RUN) pytest -n $(TEST_WORKERS) -m hypothesis --hypothesis-profile=search --timeout 3000 $(PYTEST_ARGS)

soak-contracts: install ## The contracts' tests with 100,000 fuzz runs each (hours); FORGE_ARGS="--match-path 'contracts/test/arbitrage/*'"
	@FOUNDRY_PROFILE=soak $(FORGE) test $(FORGE_ARGS)

services: ## Start PostgreSQL and Redis for the tests that use them
	@scripts/services start

clean: ## Remove what the other targets made
	@rm -rf .venv .tools $(CROSSCHECK)/.venv tests/conformance/*/.venv tests/conformance/npm/node_modules scripts/clients/.venv scripts/clients/node_modules node_modules native/target contracts/out contracts/cache var
