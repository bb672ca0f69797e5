# make run      build what is missing and serve on http://127.0.0.1:8080 in demo mode
# make test     set up and run every test (needs redis-server and Postgres installed; the tests start their own)
# make build    build without running
# make clients  the official OpenAI and Anthropic SDKs against the gateway
# make features the same, and write what they prove into the README's table
# make bench    measure the gateway against a bare proxy and a direct call
# make bench-ledger  how fast ten million requests of the ledger are read
# make soak     an hour of faults, swaps and edits; SOAK_SECONDS=60 make soak is shorter
# make fuzz     fuzz every adapter, a minute each (needs nightly Rust and cargo-fuzz)
# make lint     formatting and clippy, warnings as errors

ADAPTERS := openai gemini mistral claude
TARGET := wasm32-wasip2
CARGO ?= cargo
# Where cargo puts what it builds, whatever the environment says.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BUILT := $(TARGET_DIR)/$(TARGET)/adapter
# Always the same packages in one call: with others, cargo would choose other features for what they share, and build it all again.
PACKAGES := --workspace --exclude adapter-hostile --exclude adapter-tagged

# The SDKs have a Python of their own.
VENV := $(TARGET_DIR)/clients-venv
PROOFS := $(TARGET_DIR)/features.json

.PHONY: run build test clients features bench bench-ledger soak fuzz lint adapters fixtures ui host wasm-target clean

run: build
	exec $(TARGET_DIR)/release/llm-gateway serve --demo

build: adapters host

wasm-target:
	@rustup target list --installed 2>/dev/null | grep -qx $(TARGET) || test -d "$$(rustc --print sysroot)/lib/rustlib/$(TARGET)" || rustup target add $(TARGET)

# A file that is in place already is left alone, so that a gateway which watches the folder sees no change.
adapters: wasm-target
	$(CARGO) build --locked --profile adapter --target $(TARGET) $(ADAPTERS:%=-p adapter-%)
	@for name in $(ADAPTERS); do \
	  cmp -s $(BUILT)/adapter_$$name.wasm plugins/$$name.wasm || \
	  { cp $(BUILT)/adapter_$$name.wasm plugins/.$$name.new && mv plugins/.$$name.new plugins/$$name.wasm; } || exit 1; \
	done

# Adapters that only tests use. Built in a folder apart: the tagged one takes the OpenAI adapter without its component, which would overwrite the other.
fixtures: wasm-target
	$(CARGO) build --locked --profile adapter --target $(TARGET) --target-dir $(TARGET_DIR)/fixtures -p adapter-hostile -p adapter-tagged

ui: ui/dist/index.html

ui/node_modules/.package-lock.json: ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund

ui/dist/index.html: ui/node_modules/.package-lock.json ui/package.json ui/index.html ui/vite.config.ts $(shell find ui/src ui/public -type f 2>/dev/null)
	cd ui && npm run build

host: ui
	$(CARGO) build --locked --release $(PACKAGES)

test: build fixtures
	cd ui && npm run check && npm test
	$(CARGO) test --locked --release $(PACKAGES)
	$(MAKE) clients
	$(VENV)/bin/python tests/clients/table.py --check $(PROOFS)
	$(TARGET_DIR)/release/llm-gateway-bench --quick

$(VENV)/installed: tests/clients/requirements.txt
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

clients: build $(VENV)/installed
	$(VENV)/bin/python -m pytest tests/clients --features $(PROOFS)

features: clients
	$(VENV)/bin/python tests/clients/table.py $(PROOFS)

bench: build
	$(TARGET_DIR)/release/llm-gateway-bench

# LEDGER_ROWS=1000000 make bench-ledger is quicker.
bench-ledger: ui
	$(CARGO) test --locked --release $(PACKAGES) --lib ledger::read::bench -- --ignored --nocapture

SOAK_SECONDS ?= 3600

soak: build
	SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked --release $(PACKAGES) --test load soak -- --nocapture

# FUZZ_SECONDS=600 make fuzz looks longer. There is no unsafe code, so no sanitizer is needed, and without one it is far quicker.
FUZZ_SECONDS ?= 60

fuzz:
	@command -v cargo-fuzz >/dev/null || { echo "make fuzz needs cargo-fuzz: cargo install cargo-fuzz --locked"; exit 1; }
	@for target in encode $(ADAPTERS); do \
	  cargo +nightly fuzz run --sanitizer none --fuzz-dir tests/fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -len_control=0 || exit 1; \
	done

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --release --workspace --all-targets -- -D warnings

clean:
	$(CARGO) clean
	rm -rf ui/dist ui/node_modules plugins/*.wasm
