# syntax=docker/dockerfile:1
# The production worker. Build: docker build -t wearon-worker .   Run: see compose.yaml.

# Python 3.13.16 of 9 October 2026, for all platforms. No registry could be reached where this was written: the digest is
# the newest that several public projects pin together with just this tag, one of them with the registry's answer. The
# content is what the digest says, or it is not pulled. Renew it once a month, for Debian's and Python's repairs:
#   docker buildx imagetools inspect python:3.13-slim-trixie
ARG PYTHON_IMAGE=python:3.13-slim-trixie@sha256:70729b46c69b4f1e97c4822c1af3df53a1476cf5ddc6c087c0c10bc3a5678c2f

FROM ${PYTHON_IMAGE} AS build
# The lock file says what is installed; uv, which reads it, is named by its hash.
COPY .github/workflows/uv.txt ./uv.txt
RUN pip install --no-cache-dir --root-user-action=ignore --require-hashes --requirement uv.txt
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# Dependencies first: they change less often than our code.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --extra otel --no-install-project --no-editable
COPY README.md LICENSE NOTICE hatch_build.py ./
COPY src ./src
# What `wearon --version` says: --build-arg WEARON_COMMIT="$(git rev-parse HEAD)". The clone's .git stays outside.
ARG WEARON_COMMIT=
RUN uv sync --locked --no-dev --extra otel --no-editable

FROM ${PYTHON_IMAGE}
# What mediapipe's library is linked with, and never calls without a graphics card. Unpacked rather than installed: as a
# package, libegl1 brings 150 MB of drivers along.
RUN apt-get update -qq && cd /tmp && apt-get download -qq libegl1 libgles2 libglvnd0 \
    && for package in *.deb; do dpkg-deb --extract "$package" /; done \
    && rm -rf ./*.deb /var/lib/apt/lists/* && ldconfig
RUN groupadd --system --gid 10001 wearon \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent wearon \
    && install --directory --owner=wearon --mode=0700 /data
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WEARON_MODE=production \
    WEARON_HOME=/data \
    HOST=0.0.0.0 \
    PORT=8000
# As a number, so that an orchestrator that allows no root (runAsNonRoot) can see that it is none. It has no home: nothing
# is written but below /data and /tmp.
USER 10001:10001
WORKDIR /data
# Pictures that were paid for wait here until the platform has them: keep it on a volume.
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=2)"]
CMD ["wearon", "serve"]
