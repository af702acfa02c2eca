"""LiteLLM's real proxy on loopback, in the environment that scripts/litellm-proxy.sh makes."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.processes import wait_until

LITELLM = Path(__file__).parents[1] / ".litellm" / "bin" / "litellm"
KEY = "sk-of-the-proxy"
UPSTREAM_KEY = "sk-of-openai"

START_LIMIT_S = 240.0
"""It imports for 15 s on an idle core, and others may be at work."""


@contextmanager
def litellm_proxy(upstream: str, models: Sequence[str], folder: Path) -> Iterator[str]:
    """Its base URL. Left out where the environment is not there; CI makes it, and fails without."""
    if not LITELLM.exists():
        reason = "no LiteLLM: run scripts/litellm-proxy.sh"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    config = folder / "litellm.json"  # JSON is YAML
    config.write_text(json.dumps(_configuration(upstream, models)))
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)],
            env=_environment(folder),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(
                lambda: _answers(url),
                lambda: (folder / "litellm.log").read_text(errors="replace"),
                lambda: process.poll() is None,
                START_LIMIT_S,
            )
            yield f"{url}/v1"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _configuration(upstream: str, models: Sequence[str]) -> dict[str, object]:
    """Its own retries and cool-downs off, as docs/image-servers.md says: the worker has its own."""
    return {
        "model_list": [
            {
                "model_name": model,
                "litellm_params": {"model": f"openai/{model}", "api_base": upstream, "api_key": UPSTREAM_KEY},
            }
            for model in models
        ],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": KEY},
    }


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours, and nothing that asks the network: prices and the like come from the package."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
        "DISABLE_ADMIN_UI": "True",
        "NO_PROXY": "*",
    }


def _answers(url: str) -> bool | None:
    try:
        return httpx.get(f"{url}/health/liveliness", trust_env=False).is_success or None
    except httpx.HTTPError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
