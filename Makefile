.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
DAGSTER_HOME ?= $(CURDIR)/.data/dagster_home
export DAGSTER_HOME
# Modules are compiled once, not by each process: a start of Dagster without it takes twice as long.
export PYTHONDONTWRITEBYTECODE :=
# "make dev" and "make validate" show the state of the demo at the demo's clock, unless the caller sets one or removes the file.
DEMO_NOW := $(wildcard .data/demo_now)
DEMO_CLOCK = $(if $(DEMO_NOW),CONVERSIONS_NOW=$${CONVERSIONS_NOW:-$$(cat $(DEMO_NOW))})
# HubSpot is the one of "make fake-crm", unless the caller sets another; this token opens nothing else.
DEMO_HUBSPOT = HUBSPOT_ADDRESS=$${HUBSPOT_ADDRESS:-http://127.0.0.1:8025} HUBSPOT_TOKEN=$${HUBSPOT_TOKEN:-fake-hubspot-private-app}

.PHONY: help setup home demo fake-crm dev test check lint types lint-sql validate dry-run explain schemas bench bench-contract bench-prediction bench-crm bench-scale mutations soak soak-retail soak-crm soak-bigquery drift-audit react bigquery-emulator lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: .venv/.ready ## make .venv with the locked dependencies, and nothing else

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed: make setup PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

home: .venv/.ready
	@mkdir -p $(DAGSTER_HOME) && ln -sf $(CURDIR)/dagster.yaml $(DAGSTER_HOME)/dagster.yaml

demo: home ## a year of a small company's HubSpot and shop, converted, adjusted, audited (embedded, no account)
	$(BIN)/python -m conversions_assets.demo

fake-crm: .venv/.ready ## a fake HubSpot, Salesforce, Dynamics and Pipedrive with the demo's company on http://127.0.0.1:8025
	$(BIN)/python -m conversions_assets.demo.fake_crm --port $(or $(port),8025) $(if $(objects),--objects $(objects))

dev: home ## open the Dagster UI on http://127.0.0.1:3000
	$(DEMO_CLOCK) $(DEMO_HUBSPOT) PATH=$(BIN):$$PATH $(BIN)/dagster dev --host 127.0.0.1 --port $${PORT:-3000}

# The tests' files lie in memory where there is room: hundreds of small databases wait for the disk otherwise.
test: export PYTEST_DEBUG_TEMPROOT := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 8000000 ] 2>/dev/null && echo /dev/shm)
test: .venv/.ready bigquery-emulator ## run the tests
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: lint types lint-sql ## ruff, mypy --strict, the SQL, and do all definitions load
	$(BIN)/dg check defs

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.ready
	$(BIN)/mypy

lint-sql: .venv/.ready ## the static check of all queries, without a warehouse: for CI and pre-commit
	$(BIN)/python -m conversions_assets lint-sql

validate: .venv/.ready ## one conversion against the warehouse: make validate name=lead
	$(DEMO_CLOCK) $(DEMO_HUBSPOT) $(BIN)/python -m conversions_assets validate $(name)

dry-run: .venv/.ready ## what BigQuery would read and bill for each conversion: make dry-run, or for one: make dry-run name=lead
	$(BIN)/python -m conversions_assets dry-run $(name)

explain: .venv/.ready ## the story of one id: make explain name=order_confirmed id=1001
	@$(DEMO_CLOCK) $(BIN)/python -m conversions_assets explain '$(name)' '$(id)'

schemas: .venv/.ready ## write the schema files of the raw datasets from the warehouse
	$(BIN)/python -m conversions_assets schemas

bench: .venv/.ready ## speed and memory as ratios: benchmarks/backfill.py
	$(BIN)/python benchmarks/backfill.py

bench-contract: .venv/.ready ## the static check, the profile and its suite: benchmarks/contract.py
	$(BIN)/python benchmarks/contract.py

bench-prediction: .venv/.ready ## accuracy, intervals, time and memory of the predicted value: benchmarks/predicted_value.py
	$(BIN)/python benchmarks/predicted_value.py

bench-crm: .venv/.ready ## a load of 100,000 objects against dlt's own fastest path: benchmarks/crm_load.py
	$(BIN)/python benchmarks/crm_load.py

bench-scale: .venv/.ready bigquery-emulator ## 10, 100 and 1,000 conversions: definitions, the daemon, a day of BigQuery: benchmarks/scale.py
	$(BIN)/python benchmarks/scale.py

mutations: .venv/.ready ## switch each of the rules R1-R24 off and show the test that fails
	$(BIN)/python -m conversions_assets_tests.mutations

soak: .venv/.ready ## 2,000 new random histories against the model of R12-R24: make soak n=2000
	$(BIN)/python -m conversions_assets_tests.soak $(n)

soak-retail: .venv/.ready ## the year of a real online shop, every day's load by the sensors (needs ../shared/data)
	CONVERSIONS_SOAK=1 CONVERSIONS_REQUIRE_SHARED=1 $(BIN)/python -m pytest -s conversions_assets_tests/scenarios/test_online_retail.py

soak-crm: .venv/.ready $(if $(on),bigquery-emulator) ## each CRM's loader against the fake: 25,000 records, 2,000 events with faults, 10 kills; on=bigquery
	CONVERSIONS_SOAK=1 $(BIN)/python -m pytest -s conversions_assets_tests/$(if $(on),warehouse/test_$(on)_crm.py,crm) -k "random_history or killed"

soak-bigquery: .venv/.ready bigquery-emulator ## hours: the rules' tests and the demo's year on BigQuery's emulator, or on BIGQUERY_TEST_PROJECT
	CONVERSIONS_SOAK=1 CONVERSIONS_REQUIRE_SHARED=1 $(BIN)/python -m pytest -m bigquery --numprocesses 2 --dist loadfile conversions_assets_tests/{contract,adjustment,prediction,warehouse}

drift-audit: home ## compare the frozen days of all conversions with the CRM (weekly job, here by hand)
	$(BIN)/dg launch --job drift_audit

react: home ## once what the sensors of the daemon do: new CRM loads, scan, reruns (for cron)
	$(DEMO_CLOCK) $(DEMO_HUBSPOT) $(BIN)/python -m conversions_assets react

bigquery-emulator: .venv-bigquery/.ready ## make .venv-bigquery, where the tests find BigQuery without an account

# The extension comes as a package: DuckDB would fetch it from the network, and looks for it under HOME.
.venv-bigquery/.ready: bigquery-emulator.lock | .venv/.ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bigquery
	$(BIN)/uv pip sync --quiet --python .venv-bigquery/bin/python bigquery-emulator.lock
	HOME=$(CURDIR)/.venv-bigquery .venv-bigquery/bin/python -c "from duckdb_extensions import import_extension; import_extension('spatial')"
	@touch $@

lock: .venv/.ready ## pin the newest dependencies that fit and are two weeks old into the lock files
	$(BIN)/uv pip compile --quiet --upgrade --exclude-newer $$(date -u -d '14 days ago' +%F) --extra dev --python-version 3.11 --no-header --output-file requirements.lock pyproject.toml requirements.in
	$(BIN)/uv pip compile --quiet --upgrade --exclude-newer $$(date -u -d '14 days ago' +%F) --python-version 3.11 --no-header --output-file bigquery-emulator.lock bigquery-emulator.in
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-header --constraint requirements.lock --output-file deploy/requirements.lock pyproject.toml deploy/requirements.in

clean: ## remove .venv, .venv-bigquery and the caches; .data stays
	rm -rf .venv .venv-bigquery .pytest_cache .mypy_cache .ruff_cache
