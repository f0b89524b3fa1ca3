"""Environments and random expressions that several tests use."""

from __future__ import annotations

import random
import re
from typing import Any

from hypothesis import strategies as st

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.environment import Environment

ENVIRONMENT = Environment(
    variables={
        "x": types.INT,
        "f": types.DOUBLE,
        "s": types.STRING,
        "b": types.BOOL,
        "l": types.list_of(types.INT),
        "m": types.map_of(types.STRING, types.INT),
        "d": types.DYN,
        "now": types.TIMESTAMP,
    }
)
VALUES: dict[str, Any] = {
    "x": 3,
    "f": 1.5,
    "s": "aé-z",
    "b": True,
    "l": [1, 2, 3],
    "m": {"k": 1},
    "d": {"k": [1, 2.5, "q", None, True], "n": None},
}


def evaluate(text: str) -> Any:
    """With nothing counted, and counted, which has to be the same."""
    program = ENVIRONMENT.compile(text)
    try:
        quick = program.evaluate(VALUES, cost_limit=2**80)
    except Exception as error:
        try:
            program.measure(VALUES)
        except type(error) as other:
            assert str(other) == str(error)
        raise
    measured = program.measure(VALUES).value
    assert type(measured) is type(quick)
    return quick


class _Writer:
    """Random expressions over `VALUES` whose values and errors are many; `reference` knows all that they use."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def write(self, kind: str, depth: int) -> str:
        forms = _LEAVES[kind] if depth == 0 else _FORMS[kind]
        return _HOLE.sub(lambda hole: self.write(hole.group(1), max(depth - 1, 0)), self._random.choice(forms))


_HOLE = re.compile(r"<(int|bool|list)>")
_LEAVES = {
    "int": ["x", "0", "1", "-3", "9223372036854775807", "l[0]", "l[5]"],
    "bool": ["true", "false", "b"],
    "list": ["l", "[1]", "l.filter(e, false)"],
}
_FORMS = {
    "int": [
        *(f"(<int> {sign} <int>)" for sign in "+-*/%"),
        "-(<int>)",
        "(<bool> ? <int> : <int>)",
        "size(<list>)",
        "<list>[<int>]",
    ],
    "bool": [
        *(f"(<bool> {sign} <bool>)" for sign in ("&&", "||", "&&", "||")),
        *(f"(<int> {sign} <int>)" for sign in ("<", "<=", ">", ">=", "==", "!=")),
        "!(<bool>)",
        "(<int> in <list>)",
        *(f"<list>.{macro}(e, e > <int> || <bool>)" for macro in ("all", "exists", "exists_one")),
        *(f"<list>.{macro}(e, e / (e - 2) == <int>)" for macro in ("all", "exists", "exists_one")),
    ],
    "list": ["(<list> + <list>)", "[<int>, <int>]", "<list>.map(e, e - <int>)", "<list>.filter(e, e < <int> || <bool>)"],
}
ANY = st.builds(
    lambda seed, kind, depth: _Writer(seed).write(kind, depth),
    st.integers(0, 2**32),
    st.sampled_from(tuple(_FORMS)),
    st.integers(1, 5),
)
