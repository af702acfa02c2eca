"""150 generations under way in one process: what they take in memory, and how punctual the loop stays."""

import json
import os

from benchmarks import machine, pictures
from benchmarks.report import Figure, Result, quantile
from benchmarks.scale import Scale
from benchmarks.scene import open_scene

IN_FLIGHT = 150
"""What 300 requests a minute at 30 s each need."""

OPENAI_S = 20.0
WAVES = 2
PROBED = ("-m", "benchmarks.probed_serve")
MB = 1e6


async def run(scale: Scale) -> Result:
    """Twice as many tasks as slots: the second wave starts while the first one ends."""
    slots = scale.pick(IN_FLIGHT, 8)
    latency_s = scale.pick(OPENAI_S, 1.0)
    person, garment = pictures.three_megapixels()
    most: list[float] = []
    rss: list[float] = []
    pss: list[float] = []
    lags: list[float] = []
    overhead: list[float] = []
    blockers: dict[str, list[float]] = {}
    async with open_scene({"person.jpg": person, "garment.jpg": garment}, pictures.model_answer()) as scene:
        for _ in range(scale.pick(2, 1)):
            file = scene.folder / "probe.json"
            env = {"PROBE_FILE": str(file), "WORKER_CONCURRENCY": str(slots), "POSE_PROCESSES": "2"}
            env |= {name: os.environ[name] for name in ("BLOCKERS",) if name in os.environ}
            worker = scene.serve(*scale.parts, command=PROBED, **env)
            worker.wait_until_up(scale)
            scene.stand_in.reset(latency_s)
            with machine.watching_memory(worker.pid) as peak:
                sessions = await scene.push(slots * WAVES, ["person.jpg", "garment.jpg"])
                ended = await scene.wait_for(sessions)
            moves = scene.stand_in.moves()
            worker.stop()
            probe = json.loads(file.read_text())
            spans = [(moves[session]["processing"], moves[session]["completed"]) for session in sessions]
            began = min(start for start, _ in spans)
            most.append(_most_at_once(spans))
            rss.append(peak.rss / MB)
            pss.append(peak.pss / MB)
            lags.append(1000 * quantile([lag for at, lag in probe["lags"] if began <= at <= ended[-1]], 0.99))
            overhead.append((ended[-1] - began) / (WAVES * latency_s))
            for place, times in probe["blockers"].items():
                blockers.setdefault(place, []).extend(times)
    return Result(
        "in_flight",
        [
            Figure("in flight at once, one process, OpenAI at 20 s", ">= 150", "", most, at_least=IN_FLIGHT),
            Figure(
                "peak memory of the whole tree meanwhile (sum of RSS)",
                "<= 900 MB",
                "MB",
                rss,
                at_most=900,
                note="two pose and two picture processes included; RSS counts pages that processes share in each",
            ),
            Figure("the same as PSS (shared pages counted once)", "", "MB", pss),
            Figure("loop lag meanwhile, p99", "<= 25 ms", "ms", lags, at_most=25, note="a timer every 5 ms"),
            Figure("time for 300 jobs, over that of their two waits", "", "x", overhead),
        ],
        details={"blockers over 5 ms": {place: sorted(times) for place, times in blockers.items()}},
    )


def _most_at_once(spans: list[tuple[float, float]]) -> float:
    """How many of the spans overlap at the fullest moment."""
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return float(most)
