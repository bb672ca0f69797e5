# make run      build what is missing and serve on http://127.0.0.1:8080 in demo mode
# make test     set up and run every test
# make build    build without running
# make bench    measure the gateway against a bare proxy and a direct call
# make lint     formatting and clippy, warnings as errors

ADAPTERS := openai gemini mistral claude
TARGET := wasm32-wasip2
CARGO ?= cargo
# Where cargo puts what it builds, whatever the environment says.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BUILT := $(TARGET_DIR)/$(TARGET)/adapter
# Always the same packages in one call: with others, cargo would choose other features for what they share, and build it all again.
PACKAGES := --workspace --exclude adapter-hostile --exclude adapter-tagged

.PHONY: run build test bench lint adapters fixtures ui host wasm-target clean

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
	$(TARGET_DIR)/release/llm-gateway-bench --quick

bench: build
	$(TARGET_DIR)/release/llm-gateway-bench

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --release --workspace --all-targets -- -D warnings

clean:
	$(CARGO) clean
	rm -rf ui/dist ui/node_modules plugins/*.wasm
