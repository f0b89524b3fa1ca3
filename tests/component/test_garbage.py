"""What a serving process does about its garbage."""

from __future__ import annotations

import subprocess
import sys

CIRCLE = """
class Circle:
    gone = 0
    def __init__(self):
        self.me = self
    def __del__(self):
        Circle.gone += 1
"""
PROGRAM = f"""{CIRCLE}
import gc
from navarch.component import garbage

stays = [[n] for n in range(1000)]
garbage.settle()
assert gc.get_freeze_count() > 1000 and gc.isenabled()

for _ in range(3 * garbage.THRESHOLDS[0]):
    Circle()
assert Circle.gone > garbage.THRESHOLDS[0], "circles are still found"
"""


REPLACED = """
import gc
from collections import deque
from navarch.component import garbage

class Record:
    pass

window = deque(Record() for _ in range(20 * garbage.PORTION))
garbage.settle()
young = []
def note(phase, details):
    if phase == "start":
        young.append(len(gc.get_objects(0)) + len(gc.get_objects(1)))

gc.callbacks.append(note)
for _ in range(10 * garbage.PORTION):
    window.append(Record())
    window.popleft()
    garbage.stays(1)
assert young and max(young) < 2 * garbage.PORTION, young
"""


RARELY = f"""{CIRCLE}
import gc
from navarch.component import garbage

before = gc.get_threshold()
Circle()
with garbage.rarely():
    assert Circle.gone == 1, "of what came before, the circles are found first"
    for _ in range(3 * garbage.THRESHOLDS[0]):
        Circle()
        garbage.stays(1)
    assert Circle.gone == 1
assert gc.get_threshold() == before
for _ in range(garbage.PORTION):
    garbage.stays(1)
assert Circle.gone > garbage.THRESHOLDS[0], "afterwards they are"
"""


def test_what_is_there_is_looked_at_no_more_and_circles_are_still_found() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)


def test_what_comes_as_fast_as_something_goes_is_looked_at_in_small_portions() -> None:
    subprocess.run([sys.executable, "-c", REPLACED], check=True, timeout=60)


def test_of_work_that_ends_circles_are_looked_for_before_and_after() -> None:
    subprocess.run([sys.executable, "-c", RARELY], check=True, timeout=60)
