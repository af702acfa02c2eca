"""Pictures of rendered people whose measurements are known, to fit the reader of photos to (docs/sizing.md).

    uv run --with moderngl python research/renders MAKEHUMAN PHONES OUT [--people 800] [--processes 2]

MAKEHUMAN is a checkout of github.com/makehumancommunity/makehuman (its makehuman/data is used), PHONES the folder of
synthetic_dev2, whose truth.csv says how bodies vary and what poses, clothes and cameras there are. Writes into OUT a
front and a side picture of each person, NNNN.jpg and NNNN_side.jpg, and truth.csv with the columns of synthetic_dev2
that are known. The same inputs give the same pictures, and more people do not change the ones before.

Needs OpenGL without a window: on Debian libegl1 and libgl1-mesa-dri.
"""

import argparse
import csv
import os
from pathlib import Path

from pairs import COLUMNS
from workers import Folders, rendered


def main(folders: Folders, people: int, processes: int) -> None:
    # Each process keeps one core busy; threads of NumPy and of Mesa's renderer would only fight for it.
    os.environ |= dict.fromkeys(("LP_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    folders.out.mkdir(parents=True, exist_ok=True)
    with (folders.out / "truth.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rendered(folders, people, processes):
            writer.writerow(row)
            print(f"\r{int(row['person']) + 1} of {people} people", end="", flush=True)
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Render people whose measurements are known.")
    parser.add_argument("makehuman", type=Path, help="checkout of MakeHuman's repository")
    parser.add_argument("phones", type=Path, help="folder of synthetic_dev2")
    parser.add_argument("out", type=Path, help="folder for the pictures and truth.csv")
    parser.add_argument("--people", type=int, default=800)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    main(Folders(asked.makehuman / "makehuman/data", asked.phones, asked.out), asked.people, asked.processes)
