#!/usr/bin/env bash
# Make the environment of LiteLLM's proxy for tests/e2e/test_litellm.py: apart from the project's own, since it pins
# other versions of the same libraries. Does nothing where it is there already; 5 s from uv's cache.
# The date fixes every package below it, and lies before the LiteLLM release that was withdrawn from PyPI (1.107.0).
set -euo pipefail
cd "$(dirname "$0")/.."

package='litellm[proxy]==1.104.3'
not_after='2026-10-12'
folder=tests/.litellm

if [ -x "$folder/bin/litellm" ] && [ "$(cat "$folder/made-of" 2>/dev/null)" = "$package $not_after" ]; then
    exit 0
fi
uv venv --quiet --clear --no-project "$folder"
uv pip install --quiet --python "$folder/bin/python" --exclude-newer "$not_after" --only-binary :all: "$package"
echo "$package $not_after" >"$folder/made-of"
