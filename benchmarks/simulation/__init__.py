"""The fleet on paper (`fleet.py`), its curves (`curves.py`) and a comparison with a real worker (`check.py`)."""

from benchmarks.simulation.check import run

__all__ = ["run"]
