"""From starting the process to `/health` saying ok, and what our own imports take of it."""

import subprocess
import sys

from benchmarks import pictures
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from benchmarks.scene import open_scene

IMPORTS = """
import wearon.cli.app
from wearon.cli.lazy import load, nothing_collected
load("serve")
with nothing_collected():
    import wearon.app.serve
"""
"""All of them, as `wearon serve` makes them."""


async def run(scale: Scale) -> Result:
    """A start with all parts in production mode, one in local mode, the imports alone; and again."""
    starts: list[float] = []
    local: list[float] = []
    imports: list[float] = []
    for _ in range(scale.runs):
        async with open_scene({"tiny.jpg": pictures.tiny()}, pictures.tiny()) as scene:
            worker = scene.serve()
            starts.append(worker.wait_until_healthy())
            worker.stop()
            if not scale.smoke:
                worker = scene.serve(WEARON_MODE="local", REDIS_URL="", LOCAL_REDIS_PORT="0", **NO_SECRETS)
                local.append(worker.wait_until_healthy())
        imports.append(_seconds_of(IMPORTS))
    in_local_mode = Figure("the same in local mode, embedded Redis included", "<= 4 s", "s", local, at_most=4)
    return Result(
        "start_up",
        [
            Figure("start of `wearon serve` to `/health` ok", "<= 4 s", "s", starts, at_most=4),
            *([in_local_mode] if local else []),
            Figure("of which our own imports", "<= 1.2 s", "s", imports, at_most=1.2),
        ],
    )


NO_SECRETS = {"SUPABASE_URL": "", "SUPABASE_SERVICE_ROLE_KEY": "", "OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}


def _seconds_of(code: str) -> float:
    """How long it takes in an interpreter that has just started."""
    timing = f"import time\nbegan = time.perf_counter()\n{code}\nprint(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", timing], check=True, capture_output=True).stdout)
