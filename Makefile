# l2engine: `make run` starts a dev chain, `make test` runs the tests; both set up everything they need first.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 python3,$(if $(shell command -v $(python)),$(python))))
CARGO  := $(shell command -v cargo)
PYTEST := $(BIN)/pytest -n 2 --dist worksteal
CODE   := l2engine rpc p2p genesis

.PHONY: install run test lint bench conformance native native-test clean

install: $(VENV)/.installed native

run: install
	$(BIN)/l2engine dev $(ARGS)

test: install native-test
	$(PYTEST) -m "not slow" $(ARGS)

conformance: install native-test  ## everything, the long suites included
	$(PYTEST) $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@for folder in $(CODE) native/src tests; do \
	  printf '%-12s %6s lines\n' $$folder "$$(find $$folder \( -name '*.py' -o -name '*.rs' \) -exec cat {} + 2>/dev/null | wc -l)"; done
ifneq ($(and $(CARGO),$(wildcard native/Cargo.toml)),)
	cd native && cargo fmt --check && cargo clippy --release -- -D warnings
endif

bench: install  ## engines side by side over HTTP; ARGS="--peer PATH" measures an op-geth binary as well
	$(BIN)/python bench/engines.py $(ARGS)

# ---- set-up ----

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "l2engine needs Python 3.11 or later"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) 2>/dev/null || { $(call apt,$(notdir $(PYTHON))-venv) && $(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@

# The native executor is a distribution of its own under native/. No cargo: one line. A failed build is an error.
ifeq ($(wildcard native/pyproject.toml),)
native:
else ifeq ($(CARGO),)
native:
	@echo "cargo is not installed: l2engine runs on its Python executor alone"
else
native: $(VENV)/.native

$(VENV)/.native: $(VENV)/.installed native/Cargo.toml native/Cargo.lock native/pyproject.toml $(wildcard native/build.rs native/*.cmake) $(shell find native/src -name '*.rs' 2>/dev/null)
	@command -v cmake >/dev/null && command -v g++ >/dev/null || { $(call apt,cmake g++); }
	MATURIN_NO_INSTALL_RUST=1 $(BIN)/pip install --quiet --disable-pip-version-check ./native
	@touch $@
endif

# The core's own unit tests are a program that holds Python, so they need Python as a library.
LIBPYTHON = import os, sysconfig; v = sysconfig.get_config_var; print(v("LIBDIR") if os.path.exists(os.path.join(v("LIBDIR"), v("LDLIBRARY"))) else "")
native-test: native
ifneq ($(and $(CARGO),$(wildcard native/Cargo.toml)),)
	@folder="$$($(BIN)/python -c '$(LIBPYTHON)')"; \
	if [ -z "$$folder" ]; then echo "the native core's unit tests are skipped: this Python has no libpython"; else \
	cd native && PYO3_PYTHON="$(abspath $(BIN)/python)" LD_LIBRARY_PATH="$$folder" cargo test --release --no-default-features --quiet; fi
endif

# Installs Debian packages, as root or through sudo.
apt = echo "installing $(1)"; S=$$([ "$$(id -u)" = 0 ] || echo sudo); $$S apt-get update -qq && $$S apt-get install -y -qq --no-install-recommends $(1) >/dev/null

clean:
	rm -rf $(VENV) native/target .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
