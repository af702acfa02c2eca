"""Fetch fifty hostile things at once; print how many failed, and by how many MB the process grew meanwhile."""

import asyncio
import resource
import sys

from wearon.metrics import Metrics
from wearon.net.fetch import FetchError, PictureFetcher
from wearon.observability.tracing import Tracing

PATHS = ("endless", "endless-chunks", "gzip-bomb", "tiny-chunks", "slow-drip")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def main(origin: str) -> None:
    fetcher = PictureFetcher(metrics=Metrics(), tracing=Tracing(), trusted_origins=[origin])
    before = peak_mb()
    results = await asyncio.gather(
        *(fetcher.fetch(f"{origin}/{path}", deadline_s=5.0) for path in PATHS * 10), return_exceptions=True
    )
    await fetcher.aclose()
    failures = sum(isinstance(result, FetchError) for result in results)
    sys.stdout.write(f"{failures} {peak_mb() - before}")


asyncio.run(main(sys.argv[1]))
