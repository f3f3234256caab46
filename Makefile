# Two commands: `make demo` runs the main job, `make test` runs every test.
# `make check` is what a change must pass before that.

CARGO ?= cargo
EXAMPLES := hello_apply map dag_diamond pi embedded_service
# Programs written for ipyparallel, with only their import changed.
PORTED := as_completed debug_composite execute_and_pull hub_records joblib_grid option_pricing own_types \
	parallel_decorator parameter_sweep pi_digits ring_of_engines rmt task_farm watched_search wave_equation \
	word_count
PYTHON_EXAMPLES := hello_apply map dag_diamond dag_dependencies pi errors elsewhere $(PORTED:%=ported/%)

.PHONY: python wheel release demo test test-rust test-python check format lint lint-python pyright arrows skips docs guide deny \
	examples examples-rust examples-python simulate bench pgo clean

# The Python package, built and installed in an environment of its own (`target/venv`), as the
# sources stand: a change of a .py file needs no further make. `make python RELEASE=1` optimizes.
PYTHON ?= python3
VENV := target/venv
EXTRAS := test,demo
BUILT = $(or $(CARGO_TARGET_DIR),target)/$(if $(RELEASE),release,debug)
PROFILE_FLAG = $(if $(RELEASE),--release)

# Optimized builds are guided by a profile of what running clusters do (benches/README.md); of functions
# that are newer than it nobody is warned. Flags of one's own, in RUSTFLAGS, replace it.
PGO_PROFILE := $(CURDIR)/benches/pgo.profdata
PGO_FLAGS := -Cprofile-use=$(PGO_PROFILE) -Cllvm-args=-no-pgo-warn-mismatch
PGO = $(if $(RELEASE),CARGO_BUILD_RUSTFLAGS="$(PGO_FLAGS)")
# What the profile was made with: functions are found in it by names that depend on both.
PGO_MADE_WITH = { $(CARGO) --version && cksum < Cargo.lock; }
pgo_notice = $(if $(RELEASE),$(PGO_MADE_WITH) | cmp -s - benches/pgo.made_with || echo >&2 "note: benches/pgo.profdata \
	was made with another compiler or other libraries: this build will be slower than it could be (make pgo)")

$(VENV)/bin/maturin:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet 'maturin>=1.10,<2'

# What the package's extras named need, a line each, for pip: the package need not be built for it.
requirements = $(VENV)/bin/python -c 'import sys, tomllib; \
	extras = tomllib.load(open("client/python/pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	print(*(line for extra in sys.argv[1:] for line in extras[extra]), sep="\n")' $(1)

# The command that the package ships is the compiled one. Built with the module's features, so that the
# module need not build anew what both depend on.
command = $(PGO) $(CARGO) build --locked $(PROFILE_FLAG) -p phalanx -p phalanx-python --bin phalanx \
	&& install -D $(BUILT)/phalanx client/python/phalanx.data/scripts/phalanx

python: $(VENV)/bin/maturin
	@$(pgo_notice)
	$(command)
	$(PGO) VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/maturin develop --quiet --locked $(PROFILE_FLAG) \
		--extras $(EXTRAS) --manifest-path client/python/Cargo.toml

# One file for every Python from 3.11 on: target/wheels.
wheel: RELEASE := 1
wheel: $(VENV)/bin/maturin
	@$(pgo_notice)
	$(command)
	$(PGO) $(VENV)/bin/maturin build --locked --release --strip --manifest-path client/python/Cargo.toml

# The command, and the programs that measure it: target/release.
release: RELEASE := 1
release:
	@$(pgo_notice)
	$(PGO) $(CARGO) build --locked --release -p phalanx -p phalanx-python -p phalanx-benches --bins

# The census of Python's standard library on four Python engines and a Rust one. The same of Rust
# sources, all in Rust: target/release/examples/source_census.
demo: RELEASE := 1
demo:
	$(MAKE) python RELEASE=1 EXTRAS=demo
	$(PGO) $(CARGO) build --release --locked -p phalanx-python -p phalanx-examples --example import_graph
	PYTHONPATH=examples/python $(VENV)/bin/python -m stdlib_census \
		--rust-engine target/release/examples/import_graph --picture target/stdlib_census.svg

test: test-rust test-python examples

test-rust:
	$(CARGO) build --locked -p phalanx -p phalanx-python --bin phalanx
	$(CARGO) test --locked --workspace

# A few of them run under every other Python that is here, too.
test-python: python
	$(VENV)/bin/python -m pytest -q -c client/python/pyproject.toml tests/python
	$(VENV)/bin/python tests/python/other_pythons.py

# Each example starts what it needs, checks its own output and stops what it started.
examples: examples-rust examples-python

examples-rust:
	$(CARGO) build --locked -p phalanx -p phalanx-python -p phalanx-examples --bin phalanx --examples
	@set -e; for example in $(EXAMPLES); do echo "== $$example"; target/debug/examples/$$example; done
	@echo "== source_census --limit 400"; target/debug/examples/source_census --limit 400

examples-python: python
	$(CARGO) build --locked -p phalanx-python -p phalanx-examples --example import_graph
	@set -e; for example in $(PYTHON_EXAMPLES); do echo "== $$example.py"; \
		$(VENV)/bin/python examples/python/$$example.py; done
	@echo "== pgo_training --scale 0.02"; $(VENV)/bin/python benches/python/pgo_training.py --scale 0.02
	@echo "== stdlib_census --limit 200"; PYTHONPATH=examples/python $(VENV)/bin/python -m stdlib_census \
		--limit 200 --rust-engine target/debug/examples/import_graph --picture target/stdlib_census.svg

check: format lint lint-python pyright arrows skips docs guide deny

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# Types are checked against the libraries' own, so they are installed: without them mypy finds less, or more.
lint-python: $(VENV)/bin/maturin
	$(call requirements,lint test) | $(VENV)/bin/pip install --quiet -r /dev/stdin
	$(VENV)/bin/ruff check client/python tests/python examples/python benches/peers benches/python
	$(VENV)/bin/ruff format --check client/python tests/python examples/python benches/peers benches/python
	cd client/python && $(CURDIR)/$(VENV)/bin/mypy

# Where the tool is installed (npm install -g pyright): the types that users see are clear to it too.
pyright: $(VENV)/bin/maturin
	@if command -v pyright >/dev/null; then cd client/python && pyright --pythonpath $(CURDIR)/$(VENV)/bin/python; \
	else echo "pyright is not installed: types are checked by mypy alone"; fi

arrows:
	.ci/arrows

# A test that is skipped has its reason in tests/skips.txt; Python's run looks at its own.
skips:
	.ci/skips

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# The user guide, into target/guide. A link that leads nowhere is an error. The package itself is read,
# not imported. Not `--quiet`: it counts no warnings.
guide: $(VENV)/bin/maturin
	$(call requirements,docs) | $(VENV)/bin/pip install --quiet -r /dev/stdin
	$(VENV)/bin/mkdocs build --strict

# Where the tool is installed; it needs its advisory database too.
deny:
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check bans licenses sources; \
	else echo "cargo-deny is not installed: deny.toml is not checked"; fi

# More seeds than every test run plays.
simulate:
	$(CARGO) run --release --locked -p phalanx-simulator --bin simulate -- 0..20000

bench:
	$(CARGO) bench --locked -p phalanx-benches

# The profile anew: a build that counts what it runs does a little of everything. It wants the llvm-profdata
# of the compiler's LLVM: `rustup component add llvm-tools`, or LLVM_PROFDATA=llvm-profdata-22 from Debian.
LLVM_PROFDATA ?= $(or $(wildcard $(shell rustc --print sysroot)/lib/rustlib/*/bin/llvm-profdata),llvm-profdata)
LLVM_VERSION = $(shell rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
COUNTING := $(CURDIR)/target/pgo

pgo:
	@$(LLVM_PROFDATA) merge --version | grep -q 'LLVM version $(LLVM_VERSION)[.]' \
		|| { echo >&2 "$(LLVM_PROFDATA) is not of LLVM $(LLVM_VERSION), as the compiler is: set LLVM_PROFDATA"; exit 1; }
	rm -rf $(COUNTING)/wheels
	env -u RUSTFLAGS $(MAKE) wheel CARGO_TARGET_DIR=$(COUNTING) \
		PGO_FLAGS=-Cprofile-generate=$(COUNTING)/counts pgo_notice=true
	rm client/python/phalanx.data/scripts/phalanx
	$(PYTHON) -m venv --clear $(COUNTING)/venv
	$(COUNTING)/venv/bin/pip install --quiet $(COUNTING)/wheels/*.whl
	rm -rf $(COUNTING)/counts
	$(COUNTING)/venv/bin/python benches/python/pgo_training.py
	$(COUNTING)/venv/bin/python benches/python/pgo_training.py --engines 1 --pin
	$(LLVM_PROFDATA) merge --sparse -o $(PGO_PROFILE) $(COUNTING)/counts/*.profraw
	$(PGO_MADE_WITH) > benches/pgo.made_with

clean:
	$(CARGO) clean
