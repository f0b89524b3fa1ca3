"""Whether what concurrent clients saw of one object can have happened one after the other (the search of Wing and Gong)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Operation:
    """One operation on one register, between the two moments at which its client began it and had its answer."""

    began: int
    ended: int
    kind: str
    """"read" (of `value`), "swap" (of `expected` for `value`, done) or "refused" (a swap: `expected` was not there)."""
    value: Any = None
    expected: Any = None

    def applied(self, state: Any) -> tuple[bool, Any]:
        """Whether it can have happened in this state, and the state after it."""
        if self.kind == "read":
            return state == self.value, state
        if self.kind == "swap":
            return state == self.expected, self.value
        return state != self.expected, state


def is_linearizable(history: list[Operation], initial: Any = None) -> bool:
    """Whether some order of the operations explains all answers, none before one that had ended when it began."""
    operations = sorted(history, key=lambda operation: operation.began)
    everything = (1 << len(operations)) - 1
    seen: set[tuple[int, Any]] = set()
    waiting = [(0, initial)]
    while waiting:
        done, state = waiting.pop()
        if done == everything:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        left = [number for number in range(len(operations)) if not done >> number & 1]
        # Whatever is next began before any of what is left had ended.
        first_end = min(operations[number].ended for number in left)
        for number in left:
            if operations[number].began > first_end:
                break
            is_possible, after = operations[number].applied(state)
            if is_possible:
                waiting.append((done | 1 << number, after))
    return False
