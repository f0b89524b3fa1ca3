"""Rules of schemas (x-kubernetes-validations) as programs: what `self` and `oldSelf` are at the place of a schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.environment import Environment, Program, ResultTypeError
from navarch.apimachinery.cel.errors import CompileError
from navarch.apimachinery.cel.structural import object_type
from navarch.apimachinery.cel.types import Convert
from navarch.apimachinery.errors import Object
from navarch.apimachinery.structural.walking import INT_OR_STRING, RULES, Schema, items, values

SELF, OLD_SELF = "self", "oldSelf"


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its programs, or with what is wrong with them."""

    source: Object
    """As the schema has it."""
    convert: Convert | None
    """Makes a value of what stands at the rule's place; None if that is one."""
    program: Program | None = None
    error: str = ""
    message: Program | None = None
    message_error: str = ""

    @property
    def is_transition(self) -> bool:
        """Whether it compares with what was there before."""
        return self.program is not None and OLD_SELF in self.program.uses

    @property
    def is_optional(self) -> bool:
        """Whether what was there before may be nothing."""
        return bool(self.source.get("optionalOldSelf"))


def has_type(schema: Schema) -> bool:
    """Whether a schema says enough for expressions about its values."""
    if schema.get(INT_OR_STRING):
        return True
    match schema.get("type"):
        case None | "":
            return False
        case "array":
            below = items(schema)
        case "object":
            below = values(schema)
            if below is None:
                return True
        case _:
            return True
    return below is not None and has_type(below)


def compiled(schema: Schema, *, is_root: bool) -> Iterator[CompiledRule]:
    """The rules of a schema that has a type, not those below. `is_root`: whether its values are whole objects."""
    own = object_type(schema, root=is_root)
    assert own is not None
    plain = Environment({SELF: own, OLD_SELF: own})
    for source in schema.get(RULES) or ():
        environment = plain
        if source.get("optionalOldSelf"):
            environment = plain.extend({OLD_SELF: types.optional_of(own)})
        yield _compiled(source, environment, own.convert)


def _compiled(source: Object, environment: Environment, convert: Any) -> CompiledRule:
    try:
        program = environment.compile(source["rule"], result=(types.BOOL,))
    except ResultTypeError:
        return CompiledRule(source, convert, error="cel expression must evaluate to a bool")
    except CompileError as error:
        return CompiledRule(source, convert, error=f"compilation failed: {error}")
    expression = source.get("messageExpression")
    if not expression:
        return CompiledRule(source, convert, program)
    try:
        message = environment.compile(expression, result=(types.STRING,))
    except ResultTypeError:
        return CompiledRule(source, convert, program, message_error="messageExpression must evaluate to a string")
    except CompileError as error:
        return CompiledRule(source, convert, program, message_error=f"messageExpression compilation failed: {error}")
    return CompiledRule(source, convert, program, message=message)
