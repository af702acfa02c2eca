"""`python -m benchmarks`: run them all, or those that are named; write JSON and a table."""

import argparse
import importlib
import os
import platform
import time
from pathlib import Path

import uvloop

from benchmarks import machine, report
from benchmarks.scale import Scale

NAMES = (
    "start_latency",
    "throughput",
    "in_flight",
    "redis_commands",
    "prepare",
    "estimate",
    "start_up",
    "growth",
    "simulation",
)
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="run everything briefly; the figures mean nothing")
    parser.add_argument("--only", action="append", choices=NAMES, help="this one (can be given several times)")
    parser.add_argument("--out", type=Path, help=f"folder for the results (default: {RESULTS}; none with --smoke)")
    arguments = parser.parse_args()
    scale = Scale(smoke=arguments.smoke)
    out = arguments.out or (None if scale.smoke else RESULTS)
    results = [_run(name, scale, out) for name in arguments.only or NAMES]
    print("\n" + report.table(results))
    if out is not None:
        kept = report.read(out, NAMES)
        (out / "table.md").write_text(f"{report.table(kept)}\n\n{report.notes(kept)}\n\n{_circumstances(kept)}\n")
        print(f"\nwritten to {out}")


def _run(name: str, scale: Scale, out: Path | None) -> report.Result:
    print(f"== {name}", flush=True)
    began = time.monotonic()
    before = machine.noise()
    result: report.Result = uvloop.run(importlib.import_module(f"benchmarks.{name}").run(scale))
    result.noise = max(before, machine.noise())
    result.seconds = time.monotonic() - began
    for figure in result.figures:
        print(figure.line())
    print(f"   {result.seconds:.0f} s, noise of the machine {result.noise:.0%}", flush=True)
    if out is not None:
        report.write(out, result)
    return result


def _circumstances(results: list[report.Result]) -> str:
    noise = ", ".join(f"{result.name} {result.noise:.0%}" for result in results)
    return (
        f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, {time.strftime('%Y-%m-%d %H:%M')}."
        f" Noise of the machine around each benchmark (spread of equal 10 ms of work): {noise}."
    )


if __name__ == "__main__":
    main()
