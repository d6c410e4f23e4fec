# kalmap: `make demo` and `make test` need Python 3.11 or newer and make; they set up the rest.
#
# Everything is installed from the lock files into $(VENV). Stamps inside it carry a checksum of the
# locks in their names, so a second call starts at once and a changed lock installs anew.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# The first Python that is new enough; else python3, so that the message below can name its version.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c "$(IS_NEW_ENOUGH)" 2>/dev/null && echo $$p && exit; done; echo python3)
# Looked for once, not at each mention.
PYTHON := $(PYTHON)
VENV ?= .venv
RUN := $(VENV)/bin/python
SAM := $(VENV)/sam-cli
CHECKOV := $(VENV)/checkov
FUZZ := $(VENV)/fuzz
ASL := tests/contract/asl
AXE := tests/contract/axe
# One process more than there are processors, since tests wait, too, and four at most. A file stays
# on one, since many share what is slow to start, and the slowest folders begin first:
# tests/conftest.py orders them.
PROCESSES := $(shell n=$$(( $$(getconf _NPROCESSORS_ONLN) + 1 )); echo $$(( n < 4 ? n : 4 )))
PYTEST_ARGS ?= -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
FAST_TESTS := tests/unit tests/contract tests/golden tests/property tests/fuzz

# A moved checkout or another Python makes the installed scripts point nowhere: hence both are part
# of the checksum.
checksum = $(shell { echo "$(CURDIR) $(PYTHON)"; cat $(1) 2>/dev/null; } | cksum | tr ' ' '-')
INSTALLED := $(VENV)/installed-$(call checksum,requirements.lock)
INSTALLED_DEV := $(VENV)/installed-dev-$(call checksum,requirements.lock requirements-dev.lock)
INSTALLED_PEERS := $(VENV)/installed-peers-$(call checksum,requirements.lock requirements-peers.lock)
INSTALLED_SAM := $(SAM)/installed-$(call checksum,requirements.lock requirements-sam.lock)
INSTALLED_CHECKOV := $(CHECKOV)/installed-$(call checksum,requirements.lock requirements-checkov.lock)
INSTALLED_FUZZ := $(FUZZ)/installed-$(call checksum,requirements.lock requirements-fuzz.lock)
KALMAP := $(VENV)/kalmap-installed-$(call checksum,requirements.lock pyproject.toml)
ASL_INSTALLED := $(ASL)/node_modules/.package-lock.json
AXE_INSTALLED := $(AXE)/node_modules/.package-lock.json

# The locks are complete: nothing is left for pip to resolve.
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes

.PHONY: help demo test test-fast check lint types template asl pages statemachine pictures fuzz bench soak setup lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(KALMAP)  ## Run a real batch through the real state machine on the local cloud
	@$(RUN) examples/demo.py

setup: $(KALMAP)  ## Install kalmap and what it needs to run into .venv

test: $(KALMAP) $(INSTALLED_DEV)  ## Run all tests
	@$(RUN) -m pytest $(PYTEST_ARGS)

test-fast: $(KALMAP) $(INSTALLED_DEV)  ## Run the tests that need no local cloud, without the slowest ones
	@$(RUN) -m pytest -n $(PROCESSES) --dist worksteal --fewer-examples $(FAST_TESTS)

check: lint types template asl pages  ## Run every static check (needs Node.js, for the state machine)

lint: $(INSTALLED_DEV)  ## Style and likely mistakes
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: $(INSTALLED_DEV)  ## Types, strictly
	@$(RUN) -m mypy

template: $(INSTALLED_DEV) $(INSTALLED_SAM) $(INSTALLED_CHECKOV)  ## The deployment's template
	@$(VENV)/bin/cfn-lint template.yaml --regions us-east-1 eu-central-1 us-gov-west-1 cn-north-1 && echo "template.yaml: cfn-lint found no mistake"
	@SAM_CLI_TELEMETRY=0 $(SAM)/bin/sam validate --lint --template template.yaml --region us-east-1
	@env -u BC_API_KEY $(CHECKOV)/bin/checkov --config-file .checkov.yaml

asl: $(ASL_INSTALLED)  ## The state machine's definition
	@node --test --test-reporter=spec $(ASL)/validate.test.mjs
	@node $(ASL)/validate.mjs statemachine/*.asl.json

pages: $(KALMAP) $(INSTALLED_DEV) $(AXE_INSTALLED)  ## Reports and console in a browser, with axe: can everybody use them?
	@AXE=$(AXE)/node_modules/axe-core/axe.min.js $(RUN) -m pytest tests/browser tests/e2e/test_console.py -k axe

statemachine:  ## Write the state machine's definition and its drawing anew
	@PYTHONPATH=functions $(PYTHON) statemachine/filter_batch.py
	@PYTHONPATH=functions $(PYTHON) statemachine/drawing.py

pictures: $(KALMAP) $(INSTALLED_DEV)  ## Take the pictures of report, console and dashboard anew (needs chromium)
	@$(RUN) examples/report_pictures.py
	@$(RUN) examples/console_picture.py
	@$(RUN) examples/dashboard_picture.py

fuzz: $(KALMAP) $(INSTALLED_DEV) $(INSTALLED_FUZZ)  ## A million broken records, and 25,000 requests
	@$(RUN) -m tests.fuzz.records
	@$(RUN) -m tests.fuzz.requests
	@SCHEMATHESIS=$(FUZZ)/bin/schemathesis $(RUN) -m tests.fuzz.api

bench: $(KALMAP) $(INSTALLED_DEV) $(INSTALLED_PEERS)  ## Measure, and write docs/benchmarks.md
	@$(RUN) benchmarks/run.py

MINUTES ?= 3
soak: $(KALMAP) $(INSTALLED_DEV)  ## Requests and batches under faults, for MINUTES: what is lost, what grows
	@$(RUN) benchmarks/soak.py --minutes $(MINUTES)

# Needs uv. Universal: one file for Python 3.11 to 3.13, Linux and macOS. --fork-strategy fewest
# gives every Python the same numpy, so that results are the same to the bit.
UV_COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-emit-index-url --no-header
lock:  ## Renew the lock files
	$(UV_COMPILE) pyproject.toml --group build --extra console -o requirements.lock
	$(UV_COMPILE) pyproject.toml --group build --extra console --extra dev -c requirements.lock -o requirements-dev.lock
	$(UV_COMPILE) --group peers -c requirements.lock -o requirements-peers.lock
	$(UV_COMPILE) --group sam -o requirements-sam.lock
	$(UV_COMPILE) --group checkov -o requirements-checkov.lock
	$(UV_COMPILE) --group fuzz -o requirements-fuzz.lock
	for packed in functions/requirements.txt layers/parquet/requirements.txt; do \
		for name in $$(sed -n 's/==.*//p' $$packed); do \
			version=$$(sed -n "s/^$$name==\([^ ]*\).*/\1/p" requirements-dev.lock); \
			sed -i.old "s/^$$name==.*/$$name==$$version/" $$packed; done; \
		rm -f $$packed.old; done

clean:  ## Remove the environment, caches and local data of the demo
	rm -rf $(VENV) $(ASL)/node_modules $(AXE)/node_modules .aws-sam .demo .kalmap .hypothesis build
	rm -rf .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find functions cli tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

define create
	@$(PYTHON) -c "$(IS_NEW_ENOUGH)" 2>/dev/null || { \
		found=$$($(PYTHON) --version 2>&1) || found="no command that runs"; \
		echo "kalmap needs Python 3.11 or newer, but $(PYTHON) is $$found." \
			"Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@echo "$(2)"
	@$(PYTHON) -m venv --clear $(1) || { \
		echo "$(PYTHON) cannot create a virtual environment." \
			"On Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(1); exit 1; }
endef

$(INSTALLED):
	$(call create,$(VENV),Setting up $(VENV); this is done once and takes less than a minute)
	@$(RUN) $(PIP_INSTALL) -r requirements.lock
	@touch $@

# The development lock holds the run-time one, at the same versions.
$(INSTALLED_DEV): | $(INSTALLED)
	@echo "Installing what tests and checks need"
	@$(RUN) $(PIP_INSTALL) -r requirements-dev.lock
	@rm -f $(VENV)/installed-dev-*
	@touch $@

$(INSTALLED_PEERS): | $(INSTALLED)
	@echo "Installing other filters, to measure against"
	@$(RUN) $(PIP_INSTALL) --no-build-isolation -r requirements-peers.lock
	@rm -f $(VENV)/installed-peers-*
	@touch $@

$(KALMAP): | $(INSTALLED)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/kalmap-installed-*
	@touch $@

$(INSTALLED_SAM): | $(INSTALLED)
	$(call create,$(SAM),Installing the SAM command line into $(SAM))
	@$(SAM)/bin/python $(PIP_INSTALL) -r requirements-sam.lock
	@touch $@

$(INSTALLED_CHECKOV): | $(INSTALLED)
	$(call create,$(CHECKOV),Installing checkov into $(CHECKOV))
	@$(CHECKOV)/bin/python $(PIP_INSTALL) -r requirements-checkov.lock
	@touch $@

$(INSTALLED_FUZZ): | $(INSTALLED)
	$(call create,$(FUZZ),Installing the program that makes requests into $(FUZZ))
	@$(FUZZ)/bin/python $(PIP_INSTALL) -r requirements-fuzz.lock
	@touch $@

$(ASL_INSTALLED) $(AXE_INSTALLED): %/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { \
		echo "make check needs Node.js 18 or newer with npm, for the state machine's validator and for axe." >&2; \
		exit 1; }
	@cd $* && npm ci --silent --no-audit --no-fund
	@touch $@
