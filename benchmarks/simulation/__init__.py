"""The fleet on paper (`fleet.py`), its curves (`curves.py`) and a comparison with a real worker (`check.py`)."""

from benchmarks.report import Result
from benchmarks.scale import Scale


async def run(scale: Scale) -> Result:
    """Compare a simulated worker with a real one."""
    # Imported here, so that the fleet on paper is tested without what the other benchmarks need.
    from benchmarks.simulation import check

    return await check.run(scale)
