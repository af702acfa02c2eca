"""`python -m benchmarks`: run them all, or those that are named; write JSON and a table."""

import argparse
import importlib
import os
import platform
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
    "hammering",
    "strangers",
    "siege",
    "start_up",
    "growth",
    "redis_at_scale",
    "simulation",
)
RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="run everything briefly; the figures mean nothing")
    parser.add_argument("--only", action="append", choices=NAMES, help="this one (can be given several times)")
    parser.add_argument("--out", type=Path, help="folder for the results, instead of benchmarks/results and the page")
    arguments = parser.parse_args()
    scale = Scale(smoke=arguments.smoke)
    out = arguments.out or (None if scale.smoke else RESULTS)
    with ThreadPoolExecutor(scale.pick(1, 3)) as threads:
        found = list(threads.map(partial(_run_or_tell, scale=scale, out=out), arguments.only or NAMES))
    results = [result for result in found if result]
    print("\n" + report.table(results))
    if out is not None:
        kept = report.read(out, NAMES)
        text = f"{report.table(kept)}\n\n{_circumstances(kept)}\n\n{report.notes(kept)}"
        (out / "table.md").write_text(text + "\n")
        if out == RESULTS:
            _show_on_the_page(text)
        print(f"\nwritten to {out}")
    if len(results) < len(found):
        sys.exit(f"{len(found) - len(results)} of {len(found)} benchmarks failed: their errors stand above")


def _run_or_tell(name: str, scale: Scale, out: Path | None) -> report.Result | None:
    """The result; or nothing when the benchmark failed, so that the others go on."""
    try:
        return _run(name, scale, out)
    except Exception:  # noqa: BLE001 # whatever failed, the others are measured, and the exit status tells
        print(f"== {name} FAILED\n{traceback.format_exc()}", flush=True)
        return None


def _run(name: str, scale: Scale, out: Path | None) -> report.Result:
    print(f"-- {name} begins", flush=True)
    began = time.monotonic()
    before = machine.noise(scale.pick(30, 5))
    result: report.Result = uvloop.run(importlib.import_module(f"benchmarks.{name}").run(scale))
    result.noise = max(before, machine.noise(scale.pick(30, 5)))
    result.seconds = time.monotonic() - began
    heading = f"== {name}: {result.seconds:.0f} s, noise of the machine {result.noise:.0%}"
    print("\n".join([heading, *(figure.line() for figure in result.figures)]), flush=True)
    if out is not None:
        report.write(out, result)
    return result


def _circumstances(results: list[report.Result]) -> str:
    noise = ", ".join(f"{result.name} {result.noise:.0%}" for result in results)
    minutes = sum(result.seconds for result in results) / 60
    return (
        f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, {time.strftime('%Y-%m-%d %H:%M')},"
        f" {minutes:.0f} minutes in all. Noise of the machine around each benchmark (spread of equal work, from"
        f" the 10th to the 90th percentile, over the median): {noise}."
    )


def _show_on_the_page(text: str) -> None:
    """Put the table where people read it."""
    page = PAGE.read_text()
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin
    assert end
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


if __name__ == "__main__":
    main()
