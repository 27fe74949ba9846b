# The image holds one static binary, the certificates of the usual authorities, and nothing to log in to.
FROM golang:1.26-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0
# With .git, from which Go takes the version that the binary reports.
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -ldflags '-s -w' -o /out/carillon ./cmd/carillon
# Time zones are inside the binary. What else it wants are two folders that its user may write to.
RUN mkdir -m 0700 /out/data /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/carillon /usr/local/bin/carillon
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
USER 65532:65532
# In a container loopback is nobody's; whoever starts it chooses what to publish.
ENV CARILLON_LISTEN=0.0.0.0:8080 \
    CARILLON_DATA_DIR=/data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/carillon", "health"]
ENTRYPOINT ["/usr/local/bin/carillon"]
CMD ["serve"]
