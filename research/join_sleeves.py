"""The column `sleeveoutseam_cm` of research/data/ansur2.csv.gz, from ANSUR II's public files.

    uv run python research/join_sleeves.py ANSUR_II_FEMALE_Public.csv ANSUR_II_MALE_Public.csv

The sample carries no subject's number: a row is found by its sex and all its other lengths, which no two people share.
Only rows of the sample are used; the survey's other rows stay unseen.
"""

import csv
import sys
from pathlib import Path

from tables import read_packed, write_packed

SAMPLE = "ansur2.csv.gz"
SLEEVE = "sleeveoutseam"


def main(female: Path, male: Path) -> None:
    rows = read_packed(SAMPLE)
    lengths = [name for name in rows[0] if name.endswith("_cm") and not name.startswith(SLEEVE)]
    sleeves = {}
    for sex, path in (("F", female), ("M", male)):
        with path.open(newline="", encoding="latin-1") as file:
            for person in csv.DictReader(file):
                key = (sex, *(int(person[name.removesuffix("_cm")]) for name in lengths))
                if key in sleeves:
                    raise ValueError("two people with the same lengths")
                sleeves[key] = int(person[SLEEVE]) / 10
    for row in rows:
        row[f"{SLEEVE}_cm"] = str(sleeves[row["sex"], *(round(float(row[name]) * 10) for name in lengths)])
    write_packed(SAMPLE, list(rows[0]), rows)
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
