"""Expressions that choose devices by ``device.driver``, ``device.attributes``, ``device.capacity``.

Compiling is loaded when the first expression comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required, too_long

if TYPE_CHECKING:
    from navarch.apimachinery.cel.environment import Environment

SELECTORS_LIMIT = 32
EXPRESSION_LIMIT_BYTES = 10 * 1024
COST_LIMIT = 1_000_000
"""Of choosing, at most for any device."""
DOMAIN_LIMIT, ID_LIMIT, VALUE_LIMIT, NAMES_LIMIT = 63, 32, 64, 32


def validate(selector: Object, path: str) -> Iterator[FieldError]:
    cel = selector.get("cel")
    if cel is None:
        yield required(f"{path}.cel")
    elif len(cel.get("expression", "").encode()) > EXPRESSION_LIMIT_BYTES:
        yield too_long(f"{path}.cel.expression", EXPRESSION_LIMIT_BYTES)
    else:
        yield from _compile_errors(cel.get("expression", ""), f"{path}.cel.expression")


def _compile_errors(expression: str, path: str) -> Iterator[FieldError]:
    from navarch.apimachinery.cel import types
    from navarch.apimachinery.cel.errors import CompileError

    try:
        program = environment().compile(expression)
    except CompileError as error:
        yield invalid_value(path, expression, f"compilation failed: {error}")
        return
    if program.type not in (types.BOOL, types.ANY):
        text = f"must evaluate to bool or the unknown type, not {program.type.declared}"
        yield invalid_value(path, expression, text)
    elif program.estimated_cost.max > COST_LIMIT:
        yield forbidden_field(path, "too complex, exceeds cost limit")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Of expressions about a device. Attributes and capacity are maps by domain, of maps by name."""
    from navarch.apimachinery.cel import types
    from navarch.apimachinery.cel.environment import Environment
    from navarch.apimachinery.cel.libraries.quantities import Quantity
    from navarch.apimachinery.cel.types import Field, Type

    def by_domain(value: Type) -> Type:
        by_name = types.map_of(types.STRING.sized(ID_LIMIT), value).sized(NAMES_LIMIT)
        return types.map_of(types.STRING.sized(DOMAIN_LIMIT), by_name).sized(NAMES_LIMIT)

    quantity = replace(Quantity.cel_type, size_limit=0)
    fields = {
        "driver": types.STRING.sized(DOMAIN_LIMIT),
        "attributes": by_domain(types.ANY.sized(VALUE_LIMIT)),
        "capacity": by_domain(quantity),
        "allowMultipleAllocations": types.BOOL.sized(0),
    }
    device = types.object_of("kubernetes.DRADevice", {name: Field(type_, name) for name, type_ in fields.items()})
    return Environment({"device": device}, bindings=True)
