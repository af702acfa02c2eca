"""`wearon doctor`: checks that everything the worker needs is there and as it should be, and changes nothing.

`diagnose` runs the checks; each finding is ok, a warning or a fault, and a fault says which promise of
`docs/guarantees.md` it breaks. Imports whatever it checks; only the command (`cli`) imports it.
"""

from wearon.doctor.doctor import Check, Diagnosis, diagnose, run_checks
from wearon.doctor.findings import Finding, Level, Promise

__all__ = ["Check", "Diagnosis", "Finding", "Level", "Promise", "diagnose", "run_checks"]
