# pg_sentiment on the official PostgreSQL image:
#   docker build --tag pg_sentiment .                                   a server that has it, made for trying and for running
#   docker build --target extension --tag pg_sentiment:extension .      only its files, as an image volume (CloudNativePG)
#
# The images built on can be others, of a registry of one's own: --build-arg BASE=... RUST=... They need Debian's packages.
ARG PG_MAJOR=18
ARG CODENAME=trixie
ARG BASE=postgres:${PG_MAJOR}-${CODENAME}
ARG RUST=rust:1.95.0-slim-${CODENAME}

FROM ${RUST} AS rust

# Built where it will run, so that the library fits the server and the C library of the base.
FROM ${BASE} AS build
ARG PG_MAJOR
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev libclang-dev make "postgresql-server-dev-$PG_MAJOR" \
    && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
# The toolchain is the one of RUST: rust-toolchain.toml would have rustup fetch linters too.
ENV PATH=/usr/local/cargo/bin:$PATH CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
ENV PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
# What the server's user reads at the first start gets its mode here: the checkout may have been made under any umask.
RUN make build install DESTDIR=/out \
    && mkdir -p /extension/lib /extension/share/extension /extension/licenses \
    && cp /out/usr/lib/postgresql/*/lib/* /extension/lib \
    && cp /out/usr/share/postgresql/*/extension/* /extension/share/extension \
    && scripts/licences > /extension/licenses/pg_sentiment \
    && install -D -m 644 /extension/licenses/pg_sentiment /out/usr/share/doc/pg_sentiment/copyright \
    && install -D -m 644 packaging/docker/create-extension.sql /out/docker-entrypoint-initdb.d/10-pg_sentiment.sql

# Mounted at /extensions/pg_sentiment by CloudNativePG, which adds share to extension_control_path and lib to dynamic_library_path.
FROM scratch AS extension
COPY --from=build /extension /

# Everything else is the base's: user, entry point, volume, port.
FROM ${BASE} AS server
COPY --from=build /out /
# Over TCP, on which the server that the entry point starts for its own scripts does not listen.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=6 \
    CMD pg_isready --quiet --host=127.0.0.1 --username="${POSTGRES_USER:-postgres}" || exit 1
