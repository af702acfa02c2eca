"""CPU seconds that pictures cost which are made to be all work: each is to be answered or refused within one.

uv run python -m benchmarks.hostile_pictures
"""

import sys
import time
from pathlib import Path

from wearon.pictures.decode import PictureError, prepare

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support import lossless_webp
from support.odd_pictures import all_work

GROUPS = {
    "WebP of codes": lossless_webp.many_groups,
    "WebP of codes, cut off": lossless_webp.many_groups_cut_off,
    "WebP of codes for its alpha, 24 megapixels": lossless_webp.alpha_of_many_groups,
}


def main() -> None:
    """Prepare each of them once, in this process."""
    for name, make in {**all_work(), **GROUPS}.items():
        data = make()
        began = time.process_time()
        try:
            outcome = f"prepared, {len(prepare(data))} bytes"
        except PictureError as error:
            outcome = error.reason
        took = time.process_time() - began
        print(f"{took:5.2f} s  {len(data) / 2**20:5.2f} MB  {name}: {outcome}", flush=True)


if __name__ == "__main__":
    main()
