"""Memory that is freed and wanted again costs no page faults once the allocator was told to keep it."""

import ctypes
import subprocess
import sys

import pytest

PIECE = """
import resource
from wearon.processes.heap import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        # Left to itself, the allocator keeps twice the largest piece that it has seen, so it takes three.
        pieces = [bytearray(b"x") * 5_000_000 for _ in range(3)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults())
keep_freed_memory()
page_faults()
print(page_faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_freed_memory_is_kept_for_the_next_picture() -> None:
    ran = subprocess.run([sys.executable, "-c", PIECE], capture_output=True, text=True, check=True)

    by_default, kept = map(int, ran.stdout.split())
    assert by_default > 10_000
    assert kept < by_default / 20
