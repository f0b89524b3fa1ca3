"""IntOrString: an integer, or a percentage such as "25%"."""

from __future__ import annotations

import math
import re

_PERCENT = re.compile(r"[0-9]+%\Z", re.ASCII)


def is_percent(value: int | str) -> bool:
    return isinstance(value, str) and _PERCENT.match(value) is not None


def scaled(value: int | str, total: int, round_up: bool) -> int:
    """The integer, or that percentage of `total`, rounded up or down.

    Raises ValueError for a string that is no percentage (k8s.io/apimachinery/pkg/util/intstr).
    """
    if isinstance(value, int):
        return value
    if not is_percent(value):
        raise ValueError("invalid value for IntOrString: invalid type: string is not a percentage")
    exact = int(value[:-1]) * total / 100
    return math.ceil(exact) if round_up else math.floor(exact)
