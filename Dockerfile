# syntax=docker/dockerfile:1
# docker build --tag tollgate .

FROM rust:1.95-bookworm AS build
# For libpq, which is built into the binary.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends pkg-config libssl-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The caches outlive the build, so a change of the source does not build the dependencies again; they are no part of the
# image, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --profile dist --locked \
    && cp target/dist/tollgate /usr/local/bin/tollgate

# The same Debian, hence the same libssl.
FROM debian:bookworm-slim
# ca-certificates: sslmode=verify-full with sslrootcert=system checks the certificate of Postgres against them.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libssl3 ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/tollgate /usr/local/bin/tollgate
# A number, so that Kubernetes can tell that it is not root. It owns no file and needs to write none.
USER 65532:65532
WORKDIR /
# All addresses of the container, IPv4 only: it works where Docker has no IPv6. [::]:8080 listens on both.
ENV TOLLGATE_LISTEN=0.0.0.0:8080
EXPOSE 8080
# There is no curl here; bash, which Debian always has, opens the socket itself.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=2 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${TOLLGATE_LISTEN##*:} && printf 'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
# SIGTERM, which `docker stop` sends, lets requests finish: up to 10 s, so stop with --time 15.
ENTRYPOINT ["tollgate"]
CMD ["serve"]
