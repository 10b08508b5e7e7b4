"""What is timed: the cases that tests/shapes.py has for the tests, and single steps."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from reference import reference_of  # noqa: E402
from shapes import CASES, Case, spread  # noqa: E402

__all__ = ["CASES", "ENTRIES", "ROOT", "STEPS", "Case", "reference_of", "spread"]

STEPS = tuple(
    (kind, Case(f"{kind} B{B} H{H}", 1, B, H, H))
    for kind in ("stream", "cell")
    for B, H in ((1, 64), (1, 256), (32, 64), (1000, 64))
)

# (kind, case): a sequence in one call; one step of a stream, whose state the engine
# keeps; one step of a cell, whose state the caller keeps.
ENTRIES = tuple(("sequence", case) for case in CASES) + STEPS
