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
SECONDS_EACH ?= 60
target := $(or $(CARGO_TARGET_DIR),target)

# Begins the recipes that compile the extension. Not asked when this file is read: scripts/requirements may install
# PostgreSQL first.
define for_postgres
PGRX_PG_CONFIG_PATH=$$(scripts/pg_config --path)
feature=pg_sentiment/pg$$(scripts/pg_config --major)
export PGRX_PG_CONFIG_PATH
endef

.PHONY: build install demo demo-stop demo-gateway test test-gateway test-matrix lint models models-check accuracy fuzz bench bench-render bench-check requirements prefix clean help

build: ## build the extension for the PostgreSQL of PG_CONFIG
	$(for_postgres)
	cargo build --release --locked --features "$$feature"

install: ## install what was built into that PostgreSQL; honours DESTDIR
	@test -f $(target)/release/libpg_sentiment.so || { echo "nothing is built yet: run make first" >&2; exit 1; }
	library="$(DESTDIR)$$(scripts/pg_config --pkglibdir)"
	extension="$(DESTDIR)$$(scripts/pg_config --sharedir)/extension"
	install -d "$$library" "$$extension"
	install -s -m 755 $(target)/release/libpg_sentiment.so "$$library/pg_sentiment.so"
	install -m 644 pg_sentiment.control sql/pg_sentiment--*.sql "$$extension"

demo: requirements build prefix ## score sample messages on a throw-away server, which is left running
	demo/run $(target)/demo

demo-stop: ## stop that server and remove it
	scripts/server remove $(target)/demo

demo-gateway: requirements build prefix ## the same with the gateway: its page open, messages flowing; until Ctrl-C
	cargo build --release --locked -p sentiment-gateway
	demo/gateway $(target)/demo-gateway

test: requirements lint ## everything CI runs
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

test-matrix: ## the tests that need a server on PostgreSQL 15, 17 and 18, as CODENAMES of Debian have them; as root
	for codename in $(or $(CODENAMES),bookworm trixie forky); do
		scripts/matrix "$$codename"
	done

lint: ## formatting, clippy and shellcheck, with warnings as errors
	@cargo fmt --all --check
	$(for_postgres)
	cargo clippy --workspace --all-targets --locked --features "$$feature" -- -D warnings
	if command -v shellcheck >/dev/null; then
		shellcheck -x scripts/* demo/run demo/gateway gateway/tests/schemathesis benches/peers .ci/run
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
	mkdir -p $(target)/models
	cargo run --release --locked -p sentiment-models -- "$(DATA)" $(target)/models
	for file in models/*-*.bin models/*-*.md; do
		cmp "$$file" "$(target)/models/$${file##*/}"
	done
	echo "the shipped models are what $(DATA) makes, byte for byte"

accuracy: ## train on the training tweets of DATA alone and print the targets with what that reaches on others
	cargo run --release --locked -p sentiment-models -- accuracy "$(DATA)"

fuzz: ## fuzz whatever reads what is not trusted, SECONDS_EACH (60) each; needs a nightly compiler and cargo-fuzz
	cd core
	for fuzz_target in tokenizer model_bytes parts options; do
		cargo +nightly fuzz run "$$fuzz_target" -- -max_total_time=$(SECONDS_EACH) -max_len=4096 -timeout=10
	done

bench: requirements build prefix ## what all costs, beside its peers; ROWS, ROUNDS, FULL=1, ONLY=groups, UPDATE=1
	cargo build --release --locked -p sentiment-bench
	$(target)/release/sentiment-bench

bench-render: ## write the README's figures again from benches/results.json
	cargo run --release --locked -p sentiment-bench -- render

bench-check: ## compare instruction counts with the committed ones; UPDATE=1 writes them anew
	@if ! command -v valgrind >/dev/null && ((EUID == 0)) && command -v apt-get >/dev/null; then
		apt-get install -y -qq --no-install-recommends valgrind >/dev/null || true
	fi
	cargo build --release --locked -p sentiment-bench
	$(target)/release/sentiment-bench check

requirements: ## install what the machine lacks (apt-get), or name it
	scripts/requirements

# A private copy of PostgreSQL with the extension in it: demo, tests and benches install nothing into the machine.
prefix:
	@scripts/prefix >/dev/null

clean: demo-stop ## remove everything that was built
	scripts/prefix --remove
	benches/peers --remove $(target)/bench/python
	cargo clean

help:
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14
