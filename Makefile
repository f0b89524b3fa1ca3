# make setup   install what is missing: Debian packages, and the Python environment in .venv
# make up      a cluster on this machine, ready to use
# make test    all tests: fast ones first, then those with real containers
# make lint    style, types, the dependency rule
# make bench-X run bench/X.py
# make simulate-long  look for defects with ever new seeds, for hours
# make crash-test  kill the store a thousand times and look whether anything is lost

# Debian's own, where it can make environments: profile-guided and optimized at link time, it takes a fifth less CPU than one that
# was just compiled. Looked for again at each use, as it may have been installed in between.
PYTHON ?= $(shell for python in /usr/bin/python3.1[1-9] python3; do \
	$$python -c 'import ensurepip' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
# With network namespaces, nftables and containers: as root, but the environment belongs to whoever made it.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Built into the environment by the build hook; made again when any of it changes.
BUILT_FROM := pyproject.toml $(wildcard build_hooks/*.py) $(wildcard navarch/cri/*.proto navarch/storage/etcd/*.proto)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup packages test-packages up down reset test test-fast crash-test simulate-long lint format clean

help:
	@sed -n 's/^# //p' Makefile | head -7

# An installed wheel comes compiled; this is what it does for the modules here, also where PYTHONDONTWRITEBYTECODE is set.
setup: packages $(VENV)/.installed
	@$(BIN)/python -m compileall -q navarch

packages:
	@PYTHON=$(PYTHON) ./tools/packages

test-packages:
	@PYTHON=$(PYTHON) ./tools/packages test

$(VENV)/.installed: $(BUILT_FROM)
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

up: setup
	$(SUDO) $(BIN)/navarch up $(ARGS)

down reset: $(VENV)/.installed
	$(SUDO) $(BIN)/navarch $@ $(if $(filter reset,$@),--yes)

# One run, so that its last line counts everything; the plugin puts the fast ones first.
test: setup test-packages
	$(SUDO) $(BIN)/python -m pytest -p tests.ordering $(ARGS)

test-fast: setup test-packages
	$(BIN)/python -m pytest -m 'not e2e and not root' $(ARGS)

# Not as a script: the processes to be killed would run that again.
# Seeds that nobody has tried: from the time on.
SEEDS ?= 20000
simulate-long: setup
	$(BIN)/navarch simulate tests/simulation/stress.yaml --seed $$(date +%s) --explore $(SEEDS)

crash-test: setup
	$(BIN)/python -c 'from tests.storage import crashing; crashing.main()' $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-%: setup
	$(SUDO) $(BIN)/python bench/$*.py $(ARGS)

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f navarch/api/schema.bin navarch/*/*_pb2.py* navarch/storage/etcd/*_pb2.py*
