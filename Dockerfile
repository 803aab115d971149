# fhir-anchor: the gateway and its jobs in one image, as `fhir-anchor serve` runs them. How to use it: compose.yaml.
# The base is pinned by version. Pin it by digest as well where images are built: `docker buildx imagetools inspect` shows it.
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
WORKDIR /source
RUN python -m venv --without-pip /opt/fhir-anchor
COPY requirements requirements
RUN pip --python /opt/fhir-anchor/bin/python install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r requirements/run.txt \
 && pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY benchmarks benchmarks
COPY chain chain
COPY fhir_adapters fhir_adapters
COPY gateway gateway
COPY jobs jobs
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir /wheel . \
 && pip --python /opt/fhir-anchor/bin/python install --no-cache-dir --no-deps --no-index /wheel/*.whl

FROM ${BASE}
# What installs software has no business in a service.
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore setuptools wheel pip \
 && groupadd --gid 10001 anchor \
 && useradd --uid 10001 --gid anchor --no-create-home --home-dir /var/lib/fhir-anchor --shell /usr/sbin/nologin anchor \
 && install --directory --owner=anchor --group=anchor --mode=0700 /var/lib/fhir-anchor
COPY --from=build /opt/fhir-anchor /opt/fhir-anchor
# The home is a folder of the volume, not the volume: `init` makes it whole or not at all, by renaming it.
ENV PATH=/opt/fhir-anchor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    FHIR_ANCHOR_HOME=/var/lib/fhir-anchor/gateway
USER 10001:10001
WORKDIR /var/lib/fhir-anchor
VOLUME /var/lib/fhir-anchor
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, not ready: whoever restarts what is unhealthy must not do so because the database or the bucket is away.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["fhir-anchor"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
