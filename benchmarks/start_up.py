"""From starting the process to `/health` saying ok, and what our own imports take of it."""

import subprocess
import sys

from benchmarks import pictures
from benchmarks.machine import timed
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from benchmarks.scene import open_scene

IMPORTS = "import wearon.cli.app, wearon.serve"


async def run(scale: Scale) -> Result:
    """A start with all parts in production mode, an import, an interpreter that imports nothing; and again."""
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
        imports.append(timed(lambda: _python(IMPORTS)) - timed(lambda: _python("pass")))
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


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)
