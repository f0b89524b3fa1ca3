"""Configuration for a driver, which only the driver understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from navarch.api.resource.devicenames import validate_driver
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required, too_long

CONFIGURATIONS_LIMIT = 32
PARAMETERS_LIMIT_BYTES = 10 * 1024


def validate(configuration: Object, path: str) -> Iterator[FieldError]:
    """Configuration of the one kind that there is."""
    opaque = configuration.get("opaque")
    if opaque is None:
        yield required(f"{path}.opaque")
        return
    yield from validate_driver(opaque.get("driver", ""), f"{path}.opaque.driver")
    yield from validate_parameters(opaque.get("parameters"), PARAMETERS_LIMIT_BYTES, f"{path}.opaque.parameters")


def validate_parameters(parameters: Any, limit_bytes: int, path: str) -> Iterator[FieldError]:
    """Whatever a driver is told or tells: a JSON object."""
    if parameters is None:
        yield required(path)
    elif len(orjson.dumps(parameters)) > limit_bytes:
        yield too_long(path, limit_bytes)
    elif not isinstance(parameters, dict):
        yield invalid_value(path, "<value omitted>", "must be a valid JSON object")
