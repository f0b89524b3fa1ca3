"""What a serving process does about its garbage."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from navarch.component import garbage

stays = [[n] for n in range(1000)]
garbage.settle()
assert gc.get_freeze_count() > 1000 and gc.isenabled()

class Circle:
    gone = 0
    def __init__(self):
        self.me = self
    def __del__(self):
        Circle.gone += 1

for _ in range(3 * garbage.THRESHOLDS[0]):
    Circle()
assert Circle.gone > garbage.THRESHOLDS[0], "circles are still found"
"""


def test_what_is_there_is_looked_at_no_more_and_circles_are_still_found() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
