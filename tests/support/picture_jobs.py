"""Functions for the picture pool to run: in a module that its processes can import by name."""

import time


def hang(data: bytes) -> bytes:
    """As a decoder would that loops for ever."""
    time.sleep(600)
    return data
