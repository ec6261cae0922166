# `make` lists the targets.
# Every step prints its commands, and the first failure ends the run.

TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
TOOLS := $(TARGET)/tools
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
PYTHON := $(TOOLS)/venv/bin/python
DENY := $(TOOLS)/bin/cargo-deny
DENY_VERSION := 0.20.2
FUZZ := $(TOOLS)/bin/cargo-fuzz
FUZZ_VERSION := 0.13.2
MUTANTS := $(TOOLS)/bin/cargo-mutants
MUTANTS_VERSION := 27.1.0
# What is checked: every package, with the allocator and the features that ship. The same words everywhere, so that nothing is built twice.
CHECKED := --locked --workspace --features rosterd/jemalloc,rosterd/nats
# What ships, and so what is measured.
SHIPPED := --profile dist --features jemalloc,nats
comma := ,
CHROMIUM ?= /usr/bin/chromium
INSTALL := DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends

export CHROMIUM
.NOTPARALLEL:
.PHONY: help build run fmt lint doc unit check package soak chaos kills upgrade-test abuse fuzz mutants proto deny interop schemathesis sdk python bindings clients-table tabs console console-bench deploy dist static test test-all bundlers bench benchquick performance microbench cluster-table cluster-demo drain-demo chromium promtool proxies nats pgbouncer postgres

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## build the release binary, target/release/rosterd
	cargo build --locked --release

run: ## run a gateway on this machine, in development mode
	cargo run --locked --release

fmt: ## format the code
	cargo fmt --all

lint: ## check format and lints, as `make test` does
	@echo "== format and lints"
	cargo fmt --all --check
	cargo clippy $(CHECKED) --all-targets -- -D warnings
	cargo clippy $(CHECKED) --bench table --bench cluster --test upgrade -- -D warnings

# Private items are included, so links to them resolve.
doc: ## build the code's documentation, target/doc/rosterd
	@echo "== documentation"
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --workspace --no-deps --document-private-items

unit: ## run the Rust tests
	@echo "== tests"
	cargo test $(CHECKED)

check: lint doc unit ## run the checks that need cargo alone: no root, no other tools
	@echo "== all is well, as far as cargo can tell; make test checks the rest"

# Builds each crate from its package, as a user of it would.
package: ## package the library crates into target/package, and build them from there
	cargo package --locked $(if $(DIRTY),--allow-dirty) --package rosterd-engine --package rosterd-protocol --package rosterd-client

soak: ## run new simulated histories for MINUTES=10 minutes, or HISTORIES=2000 pairs of them for each promise of privacy
ifdef HISTORIES
	ROSTERD_SIM_HISTORIES=$(HISTORIES) cargo test --locked --features jemalloc --test sim -- --ignored --nocapture privacy_soak
else
	ROSTERD_SIM_MINUTES=$(or $(MINUTES),10) cargo test --locked --features jemalloc --test sim -- --ignored --nocapture --exact soak soak_of_several_gateways
endif

# Fewer random cases than in a normal run: most of them fail on a mutation that any of them notices.
mutants: $(MUTANTS) ## mutate rosterd-engine, and check that its tests notice; half an hour
	PATH=$(abspath $(TOOLS))/bin:$$PATH PROPTEST_CASES=64 CARGO_PROFILE_DEV_DEBUG=0 \
		cargo mutants --package rosterd-engine --output $(TARGET)/mutants --timeout 60 --jobs 2 -- --lib

proto: ## write the wire types from proto/ again
	cargo run --locked --package rosterd-codegen

deny: $(DENY) ## check the dependencies' licences, banned libraries and sources
	@echo "== licences, bans, sources"
	$(DENY) --locked check -A license-exception-not-encountered licenses bans sources
	$(DENY) --locked --manifest-path crates/ffi/Cargo.toml check -A license-exception-not-encountered licenses bans sources

interop: $(TOOLS)/venv/installed tests/interop/node_modules/.package-lock.json chromium nats ## test clients by other people against a running gateway
	@echo "== interop"
	cargo build $(CHECKED)
	$(PYTHON) tests/interop/run

# SEED=… repeats a run.
schemathesis: $(TOOLS)/venv/installed ## hold the server API to its OpenAPI document with EXAMPLES=50 requests an operation; a few minutes
	@echo "== schemathesis"
	cargo build $(CHECKED)
	EXAMPLES=$(or $(EXAMPLES),50) SEED=$(SEED) $(PYTHON) tests/interop/document

sdk: sdk/js/node_modules/.package-lock.json chromium proxies ## test the JavaScript SDK: types, built files, Node, a browser, proxies
	@echo "== sdk"
	cargo build $(CHECKED)
	ROSTERD_BIN=$(abspath $(TARGET))/debug/rosterd npm --prefix sdk/js test
	ROSTERD_BIN=$(abspath $(TARGET))/debug/rosterd npm --prefix sdk/js run test:browser
	ROSTERD_BIN=$(abspath $(TARGET))/debug/rosterd npm --prefix sdk/js run test:proxies
	ROSTERD_CLIENTS=js cargo test $(CHECKED) --test suite scenarios::the_javascript

console: sdk/console/node_modules/.package-lock.json chromium ## test the operator's console: types, built files, every page and action in Chromium
	@echo "== console"
	cargo build $(CHECKED)
	ROSTERD_BIN=$(abspath $(TARGET))/debug/rosterd npm --prefix sdk/console test

# Needs `ulimit -n 20000`.
console-bench: sdk/console/node_modules/.package-lock.json chromium ## measure the console's pages with CLIENTS=18000 sessions and a user with 10,000 friends
	cargo build --locked --release --features jemalloc
	ROSTERD_BIN=$(abspath $(TARGET))/release/rosterd CLIENTS=$(or $(CLIENTS),18000) npm --prefix sdk/console run bench

# KILLS=… sets how often the leading tab is killed.
tabs: sdk/js/node_modules/.package-lock.json chromium ## test tabs that share a connection in Chromium, and kill the leading one 50 times; three minutes
	cargo build $(CHECKED)
	ROSTERD_TAB_KILLS=$(or $(KILLS),50) ROSTERD_BIN=$(abspath $(TARGET))/debug/rosterd npm --prefix sdk/js run test:tabs

deploy: promtool ## check deploy/: alert rules, the dashboard, the systemd unit, packaging
	@echo "== deploy"
	promtool check rules deploy/prometheus/alerts.yml
	promtool test rules deploy/prometheus/alerts.test.yml
	deploy/check

python: $(TOOLS)/python/installed sdk/js/node_modules/.package-lock.json ## test the Python client: wheel, types, scenarios, the README in an empty project
	@echo "== python"
	cargo build $(CHECKED)
	rm -rf $(TARGET)/wheels
	cd sdk/python && PATH=$(abspath $(TOOLS))/python/bin:$$PATH maturin build --profile dev --locked --out $(abspath $(TARGET))/wheels
	$(TOOLS)/python/bin/pip install --quiet --force-reinstall $(TARGET)/wheels/*.whl
	cd sdk/python && $(abspath $(TOOLS))/python/bin/mypy src/rosterd_client tests/driven.py examples/bot.py
	ROSTERD_WHEEL=$$(ls $(abspath $(TARGET))/wheels/*.whl) $(TOOLS)/python/bin/python sdk/python/tests/checks.py
	ROSTERD_CLIENTS=python ROSTERD_PYTHON=$(abspath $(TOOLS))/python/bin/python cargo test $(CHECKED) --test suite scenarios::the_python
	ROSTERD_CLIENTS=rust,js,python ROSTERD_PYTHON=$(abspath $(TOOLS))/python/bin/python cargo test $(CHECKED) --test suite scenarios::soak

# FRIENDS=…, CHANGES=…, RUNS=… and PROFILE=dev try it with less.
clients-table: $(TOOLS)/venv/installed sdk/js/node_modules/.package-lock.json ## measure the Rust and the JavaScript client with 10,000 friends
	cargo build --locked --package rosterd
	cargo build --locked --profile $(or $(PROFILE),library) --package rosterd-client --package rosterd-ffi \
		--no-default-features --features rosterd-client/cache,rosterd-client/platform-trust,rosterd-client/ring --lib --example footprint
	PROFILE=$(patsubst dev,debug,$(or $(PROFILE),library)) $(PYTHON) tests/interop/clients_table.py

# LANGUAGES=… chooses some.
bindings: $(TOOLS)/python/installed ## write bindings of the client for LANGUAGES="kotlin swift" into target/bindings
	cargo build --locked --package rosterd-ffi
	for language in $(or $(LANGUAGES),kotlin swift); do $(TOOLS)/python/bin/uniffi-bindgen generate --no-format --language $$language \
		--out-dir $(TARGET)/bindings/$$language $$(ls $(TARGET)/debug/librosterd_ffi.so $(TARGET)/debug/librosterd_ffi.dylib 2>/dev/null) || exit 1; done

bundlers: sdk/js/node_modules/.package-lock.json chromium ## build and drive applications with the packed SDK in webpack and Next; a minute
	@echo "== bundlers"
	cargo build $(CHECKED)
	ROSTERD_BIN=$(abspath $(TARGET))/debug/rosterd npm --prefix sdk/js run test:bundlers

# The program writes its own manual pages and completions; they go into the tarball and the Debian package.
dist: ## build the release files into target/packages: a tarball, a .deb, an SBOM and checksums
	cargo build --locked $(SHIPPED)
	rm -rf $(TARGET)/extras
	$(TARGET)/dist/rosterd man --into $(TARGET)/extras
	$(TARGET)/dist/rosterd completions bash > $(TARGET)/extras/rosterd.bash
	$(TARGET)/dist/rosterd completions zsh > $(TARGET)/extras/_rosterd
	$(TARGET)/dist/rosterd completions fish > $(TARGET)/extras/rosterd.fish
	deploy/dist $(TARGET)/dist/rosterd $(VERSION) $(TARGET)/packages $(TARGET)/extras

# Naming the host as the target keeps the flag from build scripts and macros, which cannot be linked statically.
static: ## build a static binary into target/packages; see docs/operations.md
	RUSTFLAGS="$(RUSTFLAGS) -C target-feature=+crt-static" cargo build --locked $(SHIPPED) --target $(HOST) --bin rosterd
	mkdir -p $(TARGET)/packages
	strip --strip-debug -o $(TARGET)/packages/rosterd-$(VERSION)-$(HOST)-static $(TARGET)/$(HOST)/dist/rosterd

test: postgres nats pgbouncer lint doc unit deny interop sdk python console deploy ## run every check; installs what it needs
	@echo "== all is well"

test-all: test bundlers tabs schemathesis soak chaos kills upgrade-test abuse ## run every check, and what takes long: half an hour more than `make test`, and root for the full disk
	@echo "== all is well, also what takes long"

# INTO=FILE.md also writes the table into a document; ONLY=fanout,login measures a part of it.
bench: ## measure a gateway beside the machine's floor, against its goals; a quarter of an hour
	cargo bench --locked $(SHIPPED) --bench table -- $(if $(INTO),--into $(abspath $(INTO))) $(if $(ONLY),--only $(ONLY))

benchquick: ## the same in three minutes; do not quote its figures
	cargo bench --locked $(SHIPPED) --bench table -- --quick $(if $(ONLY),--only $(ONLY))

# SEED=… repeats a run; KILLS=… and CLIENTS=… set its size.
# The full disk needs root, to mount a small file system.
chaos: postgres ## test the release binary under kill -9, stops, full disks, slow and half-open peers, and storms, then three of them on PostgreSQL under failovers and cuts
	CHAOS=full CHAOS_SEED=$(SEED) CHAOS_KILLS=$(KILLS) CHAOS_CLIENTS=$(CLIENTS) cargo test --locked $(SHIPPED) --test chaos -- --nocapture

# KILLS=… sets how often.
kills: ## kill a gateway 200 times while it delivers events to a webhook, and look that none is missing; five minutes
	ROSTERD_WEBHOOK_KILLS=$(or $(KILLS),200) cargo test $(CHECKED) --test suite -- --nocapture --exact webhooks::after_a_kill_nothing_is_missing_and_first_arrivals_are_in_order

# The old version is built from the history, which a shallow clone does not have; SEED=… repeats a run.
upgrade-test: postgres ## test two gateways of different versions on one database, with real builds; ten minutes the first time
	CHAOS_SEED=$(SEED) cargo test $(CHECKED) --test upgrade -- --nocapture

# ONLY=ClientHellos,repairs runs the attacks whose names have such a part.
abuse: ## attack the release binary beside a client that behaves, and print what that client notices; four minutes
	ABUSE=full ABUSE_ONLY="$(ONLY)" cargo test --locked $(SHIPPED) --test abuse -- --nocapture

# Needs a nightly compiler.
# Findings are in fuzz/artifacts; ONLY=frames,tokens runs some of the targets.
fuzz: $(FUZZ) ## fuzz all input from outside; SECONDS=600 for each target
	SECONDS_EACH=$(or $(SECONDS),600) CARGO_FUZZ=$(abspath $(FUZZ)) INTO=$(abspath $(TARGET))/fuzz fuzz/run $(subst $(comma), ,$(ONLY))

performance: ## measure again the table and the plots of docs/performance.md, and write them there
	cargo bench --locked $(SHIPPED) --bench table -- --into $(abspath docs/performance.md)
	cargo bench --locked $(SHIPPED) --bench table -- grow $(abspath docs/images)

# Needs `ulimit -n 20000`.
# INTO=FILE.md also writes the table into a document; ONLY=writes,pace,killed measures a part of it, and QUICK=1 tries it small.
cluster-table: postgres nats ## measure several gateways on one PostgreSQL database, beside stores alone and PostgreSQL alone; six minutes
	cargo bench --locked $(SHIPPED) --bench cluster -- $(if $(INTO),--into $(abspath $(INTO))) $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

cluster-demo: postgres ## show two gateways on one PostgreSQL database, with a demo page on each
	cargo build --locked --release
	deploy/cluster-demo.sh target/release/rosterd

microbench: ## benchmark the hot paths, one by one
	cargo bench --locked $(SHIPPED)

drain-demo: ## show a stop under load on this terminal, with closes and logins for every second; CLIENTS=10000 RATE=500
	cargo bench --locked $(SHIPPED) --bench drain -- $(CLIENTS) $(RATE)

# The tools that the targets need.
# apt-get needs root; a machine that has them all does not.

chromium:
	@test -x "$(CHROMIUM)" || { set -x; $(INSTALL) chromium || { apt-get update && $(INSTALL) chromium; }; }
	@test -x "$(CHROMIUM)" || { echo "there is no Chromium at $(CHROMIUM); set CHROMIUM=PATH"; exit 1; }

promtool:
	@command -v promtool >/dev/null || { set -x; $(INSTALL) prometheus || { apt-get update && $(INSTALL) prometheus; }; }

# The packages of these also start services, which the tests do not need.

nats:
	@PATH=$$PATH:/usr/sbin command -v nats-server >/dev/null || { set -x; $(INSTALL) nats-server || { apt-get update && $(INSTALL) nats-server; }; \
		test ! -d /run/systemd/system || systemctl disable --now nats-server || true; }

pgbouncer:
	@PATH=$$PATH:/usr/sbin command -v pgbouncer >/dev/null || { set -x; $(INSTALL) pgbouncer || { apt-get update && $(INSTALL) pgbouncer; }; \
		test ! -d /run/systemd/system || systemctl disable --now pgbouncer || true; }

# Tests start a server of their own. Debian's cluster is neither made nor started.
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { set -e -x; $(INSTALL) postgresql-common || { apt-get update && $(INSTALL) postgresql-common; }; \
		echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf; $(INSTALL) postgresql; }

proxies:
	@missing=; for program in nginx caddy haproxy openssl; do PATH=$$PATH:/usr/sbin command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	test -z "$$missing" || { set -x; $(INSTALL) $$missing || { apt-get update && $(INSTALL) $$missing; }; \
		test ! -d /run/systemd/system || systemctl disable --now $$missing || true; }

$(TOOLS)/python/installed: sdk/python/requirements.txt
	python3 -m venv $(@D) || { $(INSTALL) python3-venv || { apt-get update && $(INSTALL) python3-venv; }; }
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	touch $@

$(TOOLS)/venv/installed: tests/interop/requirements.txt
	python3 -m venv $(@D) || { $(INSTALL) python3-venv || { apt-get update && $(INSTALL) python3-venv; }; }
	python3 -m venv $(@D)
	$(PYTHON) -m pip install --quiet --requirement $<
	touch $@

tests/interop/node_modules/.package-lock.json: tests/interop/package-lock.json
	npm ci --prefix tests/interop --no-audit --no-fund
	touch $@

sdk/js/node_modules/.package-lock.json: sdk/js/package-lock.json
	npm ci --prefix sdk/js --no-audit --no-fund
	touch $@

sdk/console/node_modules/.package-lock.json: sdk/console/package-lock.json
	npm ci --prefix sdk/console --no-audit --no-fund
	touch $@

# Built with --debug: building these tools takes more time than waiting for them.
$(FUZZ):
	cargo install --debug --locked --root $(TOOLS) --version $(FUZZ_VERSION) cargo-fuzz

$(DENY):
	cargo install --debug --locked --root $(TOOLS) --version $(DENY_VERSION) cargo-deny

$(MUTANTS):
	cargo install --debug --locked --root $(TOOLS) --version $(MUTANTS_VERSION) cargo-mutants
