# make help lists the targets. PG_CONFIG=/path/to/pg_config chooses the PostgreSQL; without it scripts/pg_config looks for one.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
# Cargo works in parallel by itself, and the steps of a target are in order.
.NOTPARALLEL:

export PATH := $(PATH):$(HOME)/.cargo/bin
ifdef PG_CONFIG
export PG_CONFIG
endif
DATA ?= ../shared/data
export DATA
SCHEMAS ?= ../shared/schemas
target := $(or $(CARGO_TARGET_DIR),target)

# Begins the recipes that compile the extension. Not asked when this file is read: scripts/requirements may install
# PostgreSQL first.
define for_postgres
PGRX_PG_CONFIG_PATH=$$(scripts/pg_config --path)
feature=pg_sentiment/pg$$(scripts/pg_config --major)
export PGRX_PG_CONFIG_PATH
endef

# The whole number that a variable holds, or what it is without one: $(call number,NAME,DEFAULT)
number = $(if $(shell [[ "$(or $($(1)),$(2))" =~ ^[0-9]+$$ ]] && echo yes),$(or $($(1)),$(2)),$(error $(1)=$($(1)) is no whole number))

.PHONY: all build install uninstall package deb demo demo-stop demo-gateway test test-gateway test-package test-docker test-kubernetes check-majors test-matrix test-majors test-crash test-pg-upgrade test-arm64 test-assertions test-musl test-soak test-sanitized lint models models-check accuracy fuzz deny deny-advisories sbom bench bench-render bench-check bench-gateway requirements prefix clean help

build: ## build the extension for the PostgreSQL of PG_CONFIG
	$(for_postgres)
	cargo build --release --locked --features "$$feature"
	. scripts/postgres.sh
	record_built "$$PGRX_PG_CONFIG_PATH"

# By this name PGXN's client asks for it.
all: build

install: ## install what was built into that PostgreSQL; honours DESTDIR
	@DESTDIR="$(DESTDIR)" scripts/install

uninstall: ## remove what install put there; honours DESTDIR
	@DESTDIR="$(DESTDIR)" scripts/install --remove

package: ## pack what was built into a tarball that a DBA can unpack
	scripts/package

deb: ## make the Debian package postgresql-MAJOR-pg-sentiment of what was built, and check it with lintian
	scripts/deb

test-package: ## build both in a Debian tree (CODENAMES, default trixie), install, use and remove them there, and what make installs; as root
	for codename in $(or $(CODENAMES),trixie); do
		scripts/matrix "$$codename" make build package deb '&&' scripts/check-packages
	done

demo: requirements build prefix ## score sample messages on a throw-away server, which is left running
	demo/run "$(target)/demo"

demo-stop: ## stop that server and remove it
	scripts/server remove "$(target)/demo"

demo-gateway: requirements build prefix ## the same with the gateway: its page open, messages flowing; until Ctrl-C; LISTEN (127.0.0.1:8080)
	cargo build --release --locked -p sentiment-gateway
	demo/gateway "$(target)/demo-gateway"

test: requirements lint ## lints and all tests; CI runs deny and fuzz besides
	cargo test --locked -p sentiment-core -p sentiment-models -p sentiment-bench
	$(MAKE) build prefix
	cargo test --locked --no-fail-fast -p sentiment-tests
	cargo test --locked --no-fail-fast -p sentiment-gateway
	$(MAKE) bench-check
	$(MAKE) models-check

test-gateway: requirements build prefix ## the gateway in a browser, and against its OpenAPI document; installs both tools
	@if ! command -v chromedriver >/dev/null && ((EUID == 0)) && command -v apt-get >/dev/null; then
		apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
	fi
	SCHEMATHESIS=1 cargo test --locked --no-fail-fast -p sentiment-gateway

check-majors: ## type-check the extension for PostgreSQL 14 and 16, which no Debian of today has, for 64-bit ARM, and for musl
	scripts/check-majors 14 16 16/aarch64-unknown-linux-gnu 16/x86_64-unknown-linux-musl

test-matrix: check-majors ## the tests that need a server on PostgreSQL 15, 17 and 18, as CODENAMES of Debian have them; as root
	for codename in $(or $(CODENAMES),bookworm trixie forky); do
		scripts/matrix "$$codename"
	done

test-majors: requirements ## the tests that need a server (TESTS) on PostgreSQL 14 and 16 (MAJORS), whose programs npm and PyPI have
	for major in $(or $(MAJORS),14 16); do
		scripts/test-majors "$$major" $(TESTS)
	done

test-docker: ## build the images and compose.yaml, run them and ask them; needs Docker, or root and Debian's docker.io
	scripts/test-docker

test-kubernetes: ## check deploy/kubernetes against the schemas of Kubernetes and of SCHEMAS (../shared/schemas), and names against each other
	@SCHEMAS="$(SCHEMAS)" scripts/check-kubernetes

test-arm64: requirements ## the core's tests and those against a server (TESTS) on 64-bit ARM, emulated by qemu; as root
	scripts/test-arm64 $(TESTS)

test-assertions: requirements ## the tests against a server (TESTS) on a PostgreSQL with its assertions on, built from the sources in SOURCE
	scripts/test-assertions "$(SOURCE)" $(TESTS)

test-musl: requirements ## the same (TESTS) with PostgreSQL and the extension built for musl, the C library of Alpine, from the sources in SOURCE
	scripts/test-assertions --musl "$(SOURCE)" $(TESTS)

test-crash: requirements build prefix ## kill sessions and the server at random moments, ROUNDS (100) times; SEED repeats a run
	ROUNDS=$(call number,ROUNDS,100) cargo test --locked -p sentiment-tests --test crash -- --nocapture

test-pg-upgrade: requirements build prefix ## pg_upgrade from this PostgreSQL to that of CODENAME (trixie), in its Debian tree; as root
	scripts/pg_upgrade $(or $(CODENAME),trixie)

test-soak: requirements build prefix ## 32 sessions that do everything at once, for MINUTES (10)
	MINUTES=$(call number,MINUTES,10) cargo test --locked -p sentiment-tests --test soak -- --nocapture

lint: ## formatting, clippy and shellcheck, with warnings as errors
	@cargo fmt --all --check
	# A workspace of its own, whose lock is forgotten easily.
	cargo metadata --locked --manifest-path core/fuzz/Cargo.toml --format-version 1 >/dev/null
	$(for_postgres)
	cargo clippy --workspace --all-targets --locked --features "$$feature" -- -D warnings
	if command -v shellcheck >/dev/null; then
		shellcheck -x scripts/* packaging/install tests/docker/docker-entrypoint.sh demo/run demo/gateway \
			gateway/bench/run gateway/tests/schemathesis benches/peers .ci/run
	else
		echo "skipped: shellcheck is not installed, the scripts were not checked"
	fi

models: ## train the shipped model again from DATA (default ../shared/data)
	cargo run --release --locked -p sentiment-models -- "$(DATA)"

models-check: ## train it again and compare it with the one in the tree, byte for byte
	@if [[ ! -d "$(DATA)/en" ]]; then
		echo "skipped: models-check, for there is no $(DATA)/en"
		exit 0
	fi
	mkdir -p "$(target)/models"
	cargo run --release --locked -p sentiment-models -- "$(DATA)" "$(target)/models"
	for file in models/*-*.bin models/*-*.md; do
		cmp "$$file" "$(target)/models/$${file##*/}"
	done
	echo "the shipped models are what $(DATA) makes, byte for byte"

accuracy: ## train on the training tweets of DATA alone and print the targets with what that reaches on others
	cargo run --release --locked -p sentiment-models -- accuracy "$(DATA)"

test-sanitized: ## the core's tests under the address sanitizer
	host=$$(rustc -vV | sed -n 's/^host: //p')
	# (A test asks for more memory than any machine has.)
	ASAN_OPTIONS=allocator_may_return_null=1 RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
		cargo test --locked -p sentiment-core --target "$$host" --target-dir "$(target)/sanitized"

fuzz: ## fuzz whatever reads what is not trusted, SECONDS_EACH (60) each; before a release SECONDS_EACH=3600
	@SECONDS_EACH=$(call number,SECONDS_EACH,60) scripts/fuzz

deny: ## hold the dependencies against deny.toml: licences, bans, sources
	@"$$(scripts/cargo-tool cargo-deny)" --locked --workspace check licenses bans sources

deny-advisories: ## hold them against the advisories of RustSec, where these can be reached
	@scripts/advisories

sbom: ## write the extension's bill of materials, target/pg_sentiment.cdx.json (CycloneDX)
	@scripts/sbom

bench: requirements build prefix ## what all costs, beside its peers; ROWS, ROUNDS, FULL=1, ONLY=groups, UPDATE=1
	cargo build --release --locked -p sentiment-bench
	"$(target)/release/sentiment-bench"

bench-render: ## write the README's figures again from benches/results.json
	cargo run --release --locked -p sentiment-bench -- render

bench-check: ## compare instruction counts with the committed ones; UPDATE=1 writes them anew
	@if ! command -v valgrind >/dev/null && ((EUID == 0)) && command -v apt-get >/dev/null; then
		apt-get install -y -qq --no-install-recommends valgrind >/dev/null || true
	fi
	cargo build --release --locked -p sentiment-bench
	"$(target)/release/sentiment-bench" check

bench-gateway: requirements build prefix ## what the gateway does in a second, beside Flask and scikit-learn, and what faults cost; DURATION, ROUNDS
	cargo build --release --locked -p sentiment-gateway --bins --example broker
	gateway/bench/run "$(target)/bench-gateway"
	cargo test --locked --quiet -p sentiment-gateway --test gateway -- faults:: x::the_stream_goes_on

requirements: ## install what the machine lacks (apt-get), or name it
	scripts/requirements

# A private copy of PostgreSQL with the extension in it: demo, tests and benches install nothing into the machine.
prefix:
	@scripts/prefix >/dev/null

clean: demo-stop ## remove everything that was built
	scripts/server remove "$(target)/demo-gateway"
	scripts/prefix --remove
	benches/peers --remove "$(target)/bench/python"
	cargo clean

help:
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14
