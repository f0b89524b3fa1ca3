"""What comes together is told together, and what is made of it for one listener is made for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Item = TypeVar("Item")
Form = TypeVar("Form")


class Batch(list[Item]):
    """Changes, or events, that came at once: one list for all who are told of the whole of it. It must not be mutated then."""

    __slots__ = ("_forms",)
    _forms: dict[str, Any]

    def form(self, name: str, make: Callable[[Batch[Item]], Form]) -> Form:
        """Another form in which it is taken, made once. It goes when the last has had it."""
        try:
            forms = self._forms
        except AttributeError:
            forms = self._forms = {}
        found: Form | None = forms.get(name)
        if found is None:
            found = forms[name] = make(self)
        return found
