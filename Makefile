# `make` prints what there is. Every step shows its commands, and the first failure ends it.

TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS := $(TARGET)/tools
PYTHON := $(TOOLS)/venv/bin/python
DENY := $(TOOLS)/bin/cargo-deny
DENY_VERSION := 0.20.2
FUZZ := $(TOOLS)/bin/cargo-fuzz
FUZZ_VERSION := 0.13.2
MUTANTS := $(TOOLS)/bin/cargo-mutants
MUTANTS_VERSION := 27.1.0
comma := ,
CHROMIUM ?= /usr/bin/chromium
INSTALL := DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends

export CHROMIUM
.NOTPARALLEL:
.PHONY: help build run fmt lint doc unit soak chaos fuzz mutants proto deny interop sdk deploy test bench benchquick performance microbench drain-demo chromium promtool

help: ## print this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## the release binary, target/release/rosterd
	cargo build --locked --release

run: ## a gateway for this machine, in development mode
	cargo run --locked --release

fmt: ## format the code
	cargo fmt --all

lint: ## format and lints, as `make test` wants them
	@echo "== format and lints"
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Private items are in it too, so links to them are good.
doc: ## the code's documentation, target/doc/rosterd
	@echo "== documentation"
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --workspace --no-deps --document-private-items

unit: ## the Rust tests
	@echo "== tests"
	cargo test --locked --workspace

soak: ## new simulated histories for MINUTES=10 minutes, or as many as are said
	ROSTERD_SIM_MINUTES=$(or $(MINUTES),10) cargo test --locked --test sim -- --ignored --nocapture soak

# Fewer random cases than in a normal run: what a change breaks, it breaks in most.
mutants: $(MUTANTS) ## rosterd-engine, changed in every small way: do its tests notice? half an hour
	PATH=$(abspath $(TOOLS))/bin:$$PATH PROPTEST_CASES=64 CARGO_PROFILE_DEV_DEBUG=0 \
		cargo mutants --package rosterd-engine --output $(TARGET)/mutants --timeout 60 --jobs 2 -- --lib

proto: ## writes the wire types anew from proto/
	cargo run --locked --package rosterd-codegen

deny: $(DENY) ## licences, banned libraries and sources
	@echo "== licences, bans, sources"
	$(DENY) --locked check licenses bans sources

interop: $(TOOLS)/venv/installed tests/interop/node_modules/.package-lock.json chromium ## other people's clients against a running gateway
	@echo "== interop"
	cargo build --locked
	$(PYTHON) tests/interop/run

sdk: sdk/js/node_modules/.package-lock.json chromium ## the JavaScript SDK: types, its built files, in Node and in a browser
	@echo "== sdk"
	cargo build --locked
	ROSTERD_BIN=$(abspath $(TARGET))/debug/rosterd npm --prefix sdk/js test
	ROSTERD_BIN=$(abspath $(TARGET))/debug/rosterd npm --prefix sdk/js run test:browser

deploy: promtool ## what is in deploy/: alert rules, the dashboard, the systemd unit
	@echo "== deploy"
	promtool check rules deploy/prometheus/alerts.yml
	promtool test rules deploy/prometheus/alerts.test.yml
	deploy/check

test: lint doc unit deny interop sdk deploy ## everything that is checked; installs what it needs
	@echo "== all is well"

# INTO=FILE.md writes the table into a document as well; ONLY=fanout,login makes a part of it.
bench: ## a gateway measured beside the machine's floor, against its goals; a quarter of an hour
	cargo bench --locked --bench table -- $(if $(INTO),--into $(abspath $(INTO))) $(if $(ONLY),--only $(ONLY))

benchquick: ## the same in three minutes, not to be quoted
	cargo bench --locked --bench table -- --quick $(if $(ONLY),--only $(ONLY))

# The same again with SEED=…; more or less of it with KILLS=… and CLIENTS=…. A full disk takes root, to mount a small one.
chaos: ## kill -9, stops, full disks, slow and half-open peers, storms: the release binary under all of it; five minutes
	CHAOS=full CHAOS_SEED=$(SEED) CHAOS_KILLS=$(KILLS) CHAOS_CLIENTS=$(CLIENTS) cargo test --locked --release --test chaos -- --nocapture

# Takes a nightly compiler. What is found lies in fuzz/artifacts. ONLY=frames,tokens for a part of it.
fuzz: $(FUZZ) ## what comes from outside, met with anything at all; SECONDS=600 for each of the targets
	SECONDS_EACH=$(or $(SECONDS),600) CARGO_FUZZ=$(abspath $(FUZZ)) INTO=$(abspath $(TARGET))/fuzz fuzz/run $(subst $(comma), ,$(ONLY))

performance: ## measures anew what docs/performance.md shows: its table and its plots
	cargo bench --locked --bench table -- --into $(abspath docs/performance.md)
	cargo bench --locked --bench table -- grow $(abspath docs/images)

microbench: ## the hot paths, one by one
	cargo bench --locked

drain-demo: ## a stop under load on this terminal: closes and logins for every second; CLIENTS=10000 RATE=500
	cargo bench --locked --bench drain -- $(CLIENTS) $(RATE)

# What the steps need. apt-get takes root; a machine that has it all needs none.

chromium:
	@test -x "$(CHROMIUM)" || { set -x; $(INSTALL) chromium || { apt-get update && $(INSTALL) chromium; }; }
	@test -x "$(CHROMIUM)" || { echo "there is no Chromium at $(CHROMIUM); set CHROMIUM=PATH"; exit 1; }

promtool:
	@command -v promtool >/dev/null || { set -x; $(INSTALL) prometheus || { apt-get update && $(INSTALL) prometheus; }; }

$(TOOLS)/venv/installed: tests/interop/requirements.txt
	python3 -m venv $(@D) || { $(INSTALL) python3-venv || { apt-get update && $(INSTALL) python3-venv; }; }
	python3 -m venv $(@D)
	$(PYTHON) -m pip install --quiet --requirement $<
	touch $@

tests/interop/node_modules/.package-lock.json: tests/interop/package-lock.json
	npm ci --prefix tests/interop --no-audit --no-fund
	touch $@

# Not optimised: it is built more often than it is waited for.
sdk/js/node_modules/.package-lock.json: sdk/js/package-lock.json
	npm ci --prefix sdk/js --no-audit --no-fund
	touch $@

$(FUZZ):
	cargo install --debug --locked --root $(TOOLS) --version $(FUZZ_VERSION) cargo-fuzz

$(DENY):
	cargo install --debug --locked --root $(TOOLS) --version $(DENY_VERSION) cargo-deny

$(MUTANTS):
	cargo install --debug --locked --root $(TOOLS) --version $(MUTANTS_VERSION) cargo-mutants
