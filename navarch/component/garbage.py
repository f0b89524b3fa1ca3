"""The garbage collector of a process that serves: most of what is made for a request is gone with its last reference.

Python looks for circles after every 700 objects that stay, which a server makes for each request or two. What a store holds
is bytes, which the collector does not look at; what it does look at is then little, however seldom it does.

But records of what is stored stay, some for each write. So whatever has stayed is looked at once more, with the next that do,
and then hardly ever: were they left to gather, going through them would stop the loop for 180 ms at a few hundred thousand.
They are looked at in small portions, which cost less altogether: the processor still has them at hand then. Not in smaller
ones: what belongs to requests on their way, of which there may be hundreds, is looked at each time, too. And as Python
counts what was made less what has gone, nothing seems to stay while old changes go as fast as new ones come; so whoever
makes such records says so (`stays`), and they are looked at then.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# The first is for what reading leaves: of writing, whoever keeps the records says so, and everything is looked at but once.
THRESHOLDS = (20_000, 1, 5_000)
# Of each write stay two or three records and, for as long as it is new, what is decoded: so many are looked at in 0.5 to 5 ms.
PORTION = 1000
# As many objects are up to a GB.
RARELY = 5_000_000


def settle() -> None:
    """What was made until now stays, and need not be looked at ever again; what is made from now on, less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


@contextmanager
def rarely() -> Iterator[None]:
    """For work that comes to an end, whose circles may wait for that: they are looked for before it, then hardly ever.

    In a cluster that lives in memory, what stays is most of what is made, and looking at it an eighth of all work. Not for two
    threads at once: there is one collector.
    """
    global _portion
    gc.collect()
    thresholds, portion = gc.get_threshold(), _portion
    gc.set_threshold(RARELY, *thresholds[1:])
    _portion = RARELY
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        _portion = portion


_stayed, _portion = 0, PORTION


def stays(writes: int) -> None:
    """Records of so many writes have come to stay; they, and those before, are looked at now if there are enough of them."""
    global _stayed
    _stayed += writes
    if _stayed >= _portion:
        _stayed = 0
        if gc.isenabled():
            gc.collect(1)
