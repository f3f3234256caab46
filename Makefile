# Two commands: `make demo` runs the main job, `make test` runs every test.
# `make check` is what a change must pass before that.

CARGO ?= cargo
EXAMPLES := hello_apply map dag_diamond pi embedded_service

.PHONY: demo test check format lint arrows docs deny examples simulate bench clean

demo:
	$(CARGO) build --release --locked -p phalanx -p phalanx-examples --bin phalanx --example source_census
	target/release/examples/source_census

test:
	$(CARGO) build --locked -p phalanx --bin phalanx
	$(CARGO) test --locked --workspace
	$(MAKE) examples

# Each example starts what it needs, checks its own output and stops what it started.
examples:
	$(CARGO) build --locked -p phalanx -p phalanx-examples --bin phalanx --examples
	@set -e; for example in $(EXAMPLES); do echo "== $$example"; target/debug/examples/$$example; done
	@echo "== source_census --limit 400"; target/debug/examples/source_census --limit 400

check: format lint arrows docs deny

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

arrows:
	.ci/arrows

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# Where the tool is installed; it needs its advisory database too.
deny:
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check bans licenses sources; \
	else echo "cargo-deny is not installed: deny.toml is not checked"; fi

# More seeds than every test run plays.
simulate:
	$(CARGO) run --release --locked -p phalanx-simulator --bin simulate -- 0..20000

bench:
	$(CARGO) bench --locked -p phalanx-benches

clean:
	$(CARGO) clean
