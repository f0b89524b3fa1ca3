"""The garbage collector of a process that serves: most of what is made for a request is gone with its last reference.

Python looks for circles after every 700 objects that stay, which a server makes for each request or two. What a store holds
is bytes, which the collector does not look at; what it does look at is then little, however seldom it does.

But records of what is stored stay, some for each write. So whatever has stayed is looked at once more, with the next that do,
and then hardly ever: were they left to gather, going through them would stop the loop for 180 ms at a few hundred thousand.
"""

from __future__ import annotations

import gc

THRESHOLDS = (10_000, 1, 1_000)


def settle() -> None:
    """What was made until now stays, and need not be looked at ever again; what is made from now on, less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
