# The gateway with its four adapters and its page, in one image.
#
#   docker build -t llm-gateway . && docker run --rm -p 127.0.0.1:8080:8080 -e ALLOW_ANONYMOUS=true llm-gateway
#
# Without ALLOW_ANONYMOUS callers need gateway keys, which are made at /admin with the key that ADMIN_KEY is set to.

FROM node:22-bookworm-slim AS ui
# Node.js has its own list of certificate authorities. One that the base image adds, as companies do, counts too; without the file this is ignored.
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
WORKDIR /src/ui
COPY ui/package.json ui/package-lock.json ui/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY ui ./
RUN npm run build

FROM rust:1.95-bookworm AS build
RUN rustup target add wasm32-wasip2
WORKDIR /src
COPY . .
COPY --from=ui /src/ui/dist ui/dist
RUN cargo build --locked --profile adapter --target wasm32-wasip2 -p adapter-openai -p adapter-gemini -p adapter-mistral -p adapter-claude \
 && cargo build --locked --release -p llm-gateway \
 && mkdir -p /out/plugins /out/data \
 && cp target/release/llm-gateway /out/ \
 && for name in openai gemini mistral claude; do cp target/wasm32-wasip2/adapter/adapter_$name.wasm /out/plugins/$name.wasm; done

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin gateway
WORKDIR /app
COPY --from=build --chown=gateway:gateway /out/ /app/
USER gateway
ENV HOST=0.0.0.0 PORT=8080 PLUGINS_DIR=/app/plugins DATA_DIR=/app/data
EXPOSE 8080
VOLUME /app/data
ENTRYPOINT ["/app/llm-gateway"]
# Providers without a key are simulated; `serve` alone never simulates.
CMD ["serve", "--demo"]
