"""Names of drivers and the parameters they are given: what classes of storage share."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required, too_long

PARAMETERS_LIMIT = 512
PARAMETERS_LIMIT_BYTES = 256 * 1024


def validate_driver(driver: str, path: str) -> Iterator[FieldError]:
    """A qualified name, in any case."""
    if not driver:
        yield required(path)
    else:
        yield from (invalid_value(path, driver.lower(), text) for text in names.qualified_name(driver.lower()))


def validate(parameters: Object, path: str) -> Iterator[FieldError]:
    if len(parameters) > PARAMETERS_LIMIT:
        yield too_long(path, PARAMETERS_LIMIT)
        return
    if "" in parameters:
        yield invalid_value(path, "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > PARAMETERS_LIMIT_BYTES:
        yield too_long(path, PARAMETERS_LIMIT_BYTES)
