# l2engine: `make run` starts a dev chain, `make test` runs the tests; both set up everything they need first.

VENV   := .venv
BIN    := $(VENV)/bin
CARGO  := $(and $(wildcard native/pyproject.toml),$(shell command -v cargo))
SUDO   ?= sudo
PYTEST := $(BIN)/pytest -n 2 --dist worksteal
CODE   := l2engine rpc p2p genesis

ifndef PYTHON
PYTHON := $(or $(shell for p in python3.11 python3.12 python3; do $$p -V >/dev/null 2>&1 && echo $$p && break; done),python3)
endif
STEPS  := $(PYTHON) tools/steps.py
STEP   := $(STEPS) step
PIP    := $(BIN)/python -m pip --disable-pip-version-check install

.PHONY: help run install test test-interop conformance lint bench native native-test run-packages packages clean
.NOTPARALLEL:

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22
	@echo; echo 'ARGS="…" hands arguments on: make run ARGS="--block-time 2", make test ARGS="-k payload".'

run: run-packages  ## start a dev chain at once; the native executor is built in the background if needed
ifeq ($(CARGO),)
	@$(NO_CARGO)
	@$(BIN)/l2engine dev $(ARGS)
else
	@$(STEPS) run $(MAKE) $(BIN)/l2engine dev $(ARGS)
endif

install: packages native  ## set up .venv with everything, the native executor included

test: install native-test  ## what CI runs: all tests that are not marked slow or interop
	$(PYTEST) -m "not slow and not interop" $(ARGS)

conformance: install native-test  ## the long suites as well
	$(PYTEST) -m "not interop" $(ARGS)

test-interop: install  ## tests that need npm, Go or Debian programs; not part of CI
	$(PYTEST) -m interop $(ARGS)

lint: packages  ## ruff, mypy and clippy, and the lines of code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@for folder in $(CODE) native/src tests; do \
	  printf '%-12s %6s lines\n' $$folder "$$(find $$folder \( -name '*.py' -o -name '*.rs' \) -exec cat {} + 2>/dev/null | wc -l)"; done
ifneq ($(CARGO),)
	cd native && cargo fmt --check && cargo clippy --release -- -D warnings
endif

bench: install  ## engines side by side over HTTP; ARGS="--peer PATH" measures an op-geth binary as well
	$(BIN)/python bench/engines.py $(ARGS)

# ---- set-up: one make at a time, which looks only then what is missing ----

run-packages:
	@$(STEPS) alone "Python packages" $(MAKE) --silent --no-print-directory $(VENV)/.installed

packages:
	@$(STEPS) alone "Python packages" $(MAKE) --silent --no-print-directory $(VENV)/.installed $(VENV)/.tools

# .unfinished is left by a set-up that was interrupted: some package may be there in part, so the environment is made anew.
$(VENV)/.installed: pyproject.toml
	@test ! -e $(VENV)/.unfinished && $(BIN)/python -m pip --version >/dev/null 2>&1 || \
	  $(STEP) "Virtual environment" sh -c '$(PYTHON) -m venv --clear $(VENV) || { $(call apt,$(notdir $(PYTHON))-venv) && $(PYTHON) -m venv --clear $(VENV); }'
	@$(STEP) --unfinished $(VENV)/.unfinished "Python packages" $(PIP) --editable '.[examples]'
	@touch $@

$(VENV)/.tools: $(VENV)/.installed pyproject.toml
	@$(STEP) --unfinished $(VENV)/.unfinished "Packages of the tests" $(PIP) --editable '.[test,lint]'
	@touch $@

# The native executor is a distribution of its own under native/. No cargo: one line. A failed build is an error.
NO_CARGO = echo "cargo is not installed: l2engine runs on its Python executor alone"

native: run-packages  ## build the native executor; `make native run` waits for it
ifeq ($(CARGO),)
	@$(NO_CARGO)
else
	@$(STEPS) alone "Native executor" $(MAKE) --silent --no-print-directory $(VENV)/.native
endif

$(VENV)/.native: native/Cargo.toml native/Cargo.lock native/pyproject.toml $(wildcard native/build.rs native/*.cmake) $(shell find native/src -name '*.rs' 2>/dev/null)
	@command -v cmake >/dev/null && command -v g++ >/dev/null || $(STEP) "Debian packages" sh -c '$(call apt,cmake g++)'
	@touch $@.begun
	@$(STEP) "Native executor" env MATURIN_NO_INSTALL_RUST=1 $(PIP) --verbose ./native
	@mv $@.begun $@

# The core's own unit tests are a program that holds Python, so they need Python as a library.
LIBPYTHON = import os, sysconfig; v = sysconfig.get_config_var; print(v("LIBDIR") if os.path.exists(os.path.join(v("LIBDIR"), v("LDLIBRARY"))) else "")
native-test: native  ## the native core's own unit tests
ifneq ($(CARGO),)
	@folder="$$($(BIN)/python -c '$(LIBPYTHON)')"; \
	if [ -z "$$folder" ]; then echo "the native core's unit tests are skipped: this Python has no libpython"; else \
	$(STEP) "Native unit tests" env PYO3_PYTHON="$(abspath $(BIN)/python)" LD_LIBRARY_PATH="$$folder" \
	  sh -c 'cd native && exec cargo test --release --no-default-features'; fi
endif

# Installs Debian packages, as root or through sudo.
apt = echo "installing $(1)"; S=$$([ "$$(id -u)" = 0 ] || echo $(SUDO)); \
  $$S apt-get update -qq && $$S apt-get install -y -qq --no-install-recommends $(1) || \
  { echo "$(1): needed, and could not be installed; please install it by hand"; exit 1; }

clean:  ## remove everything that was set up or built
	rm -rf $(VENV) .setup native/target .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
