# Every target does its own set-up. Needs make and Python 3.11 or newer; uses uv where it is installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EMULATOR := .venv-emulator
CDK := node_modules/.setup
PYTEST := $(BIN)/pytest

export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

ifeq ($(shell uv --version >/dev/null 2>&1 && echo yes),yes)
MAKE_VENV = uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
INSTALL = uv pip install --quiet --python $(BIN)/python
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet
endif

# Deploying needs Node. To go without it is a choice, and said aloud.
ifeq ($(DEPLOY),0)
TEST_DEPLOY = -m "not deploy"
DEPLOY_SAID = echo "DEPLOY=0: NOT DEPLOYING. The stack, its functions and the way between them go untested."
else
DEPLOY_SAID = :
TEST_NEEDS = $(CDK)
endif

.DEFAULT_GOAL := help
.PHONY: help demo deploy-local undeploy-local setup check test seeds soak bench lock clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(VENV)/.demo ## Run the example order flow in one process on SQLite (KEEP=1 leaves it serving)
	@$(BIN)/python -m functions.commands.demo $(if $(KEEP),--keep)

deploy-local: $(VENV)/.setup $(EMULATOR)/.setup $(CDK) ## Deploy the stack to an emulator of AWS on this machine (PORT=4566)
	@PYTHONPATH=tests $(BIN)/python -m deploy.local up

undeploy-local: $(VENV)/.setup ## End what deploy-local started
	@PYTHONPATH=tests $(BIN)/python -m deploy.local down

setup: $(VENV)/.setup ## Install everything for development

check: $(VENV)/.setup ## Lint, format, types, layer contracts and the quick tests, in seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q -m "not slow" tests/unit

test: $(VENV)/.setup $(EMULATOR)/.setup $(TEST_NEEDS) ## Run every test, on SQLite, a Postgres of its own and an emulator of AWS (DEPLOY=0: without deploying)
	@$(DEPLOY_SAID)
	$(PYTEST) -q $(TEST_DEPLOY) --every-statement --cov --cov-report=term:skip-covered --durations=10

seeds: $(VENV)/.setup ## Run a million seeds of random faults on a simulated AWS (SEEDS=1000, FIRST=0)
	@PYTHONPATH=tests $(BIN)/python -m wakes.many_seeds $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FIRST),--first $(FIRST))

soak: $(VENV)/.setup ## Work for ten minutes beside a long reader, and see that nothing grows (MINUTES=10, RATE=1500)
	@PYTHONPATH=tests $(BIN)/python -m bench.soak $(MINUTES:%=--minutes %) $(RATE:%=--rate %)

bench: $(VENV)/.setup ## Compare durex with the leanest SQL and with its peers (SIZE=small; ONLY=drain; WRITE=1: into docs/)
	@PYTHONPATH=tests $(BIN)/python -m bench --size $(or $(SIZE),full) $(ONLY:%=--only %) $(if $(WRITE),--report docs/benchmarks.md --plot docs/benchmarks.svg)

lock: ## Resolve the dependencies anew into requirements*.txt (needs uv)
	$(LOCK) --extra local --group build --output-file requirements.txt
	$(LOCK) --all-extras --group build --group dev --constraint requirements.txt --output-file requirements-dev.txt
	$(LOCK:pyproject.toml=) --group pyproject.toml:emulator --output-file requirements-emulator.txt
	$(LOCK) --extra aws $(IN_LAMBDA_ALREADY:%=--no-emit-package %) --constraint requirements.txt --output-file requirements-functions.txt

clean: ## Remove everything that was made
	rm -rf $(VENV) $(EMULATOR) node_modules cdk.out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov dist .bench

# boto3 and what it brings are part of Lambda's runtime.
IN_LAMBDA_ALREADY := boto3 botocore s3transfer python-dateutil six urllib3

LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	pyproject.toml

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "durex needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …"; exit 1; }
	@echo "setting up $(VENV) …"
	@$(MAKE_VENV)

$(VENV)/.demo: requirements.txt pyproject.toml | $(BIN)/python
	@$(INSTALL) --require-hashes -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.setup: requirements-dev.txt $(VENV)/.demo
	@$(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

# The emulator of AWS holds packages back, so it has an environment of its own.
$(EMULATOR)/.setup: requirements-emulator.txt | $(BIN)/python
	@echo "setting up $(EMULATOR) …"
	@$(MAKE_VENV:$(VENV)=$(EMULATOR))
	@$(INSTALL:$(BIN)/python=$(EMULATOR)/bin/python) --require-hashes -r requirements-emulator.txt
	@touch $@

$(CDK): package-lock.json package.json
	@npm --version >/dev/null 2>&1 || { echo "deploying needs Node.js 22 or newer, with npm: \
	install it, or leave the deployment out of the tests with DEPLOY=0"; exit 1; }
	@echo "setting up node_modules …"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
