"""Which requests a webhook or policy is for, as far as the kind decides: rules, and versions that are as good as each other.

- A rule matches operation, group, version, resource and scope; ``*`` stands for all. ``pods/status`` is a subresource,
  ``pods/*`` the pods and all of theirs.
- With the match policy Equivalent a rule for another version (or group) of the same objects matches, too: then the request is
  told in that version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from navarch.api.core import namespace as namespaces
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object

ALL = "*"
Kinds = Callable[[], Iterable[Kind]]
"""All that is served."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A RuleWithOperations, with resourceNames if it is one of a policy's."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    """(resource, subresource)."""
    scope: str
    names: frozenset[str]
    """Of objects; none means all."""

    @classmethod
    def of(cls, source: Object) -> Rule:
        pairs = (text.partition("/") for text in source.get("resources") or ())
        return cls(
            frozenset(source.get("operations") or ()),
            frozenset(source.get("apiGroups") or ()),
            frozenset(source.get("apiVersions") or ()),
            tuple((resource, subresource) for resource, _, subresource in pairs),
            source.get("scope") or ALL,
            frozenset(source.get("resourceNames") or ()),
        )

    def matches(self, operation: str, kind: Kind, subresource: str) -> bool:
        """Whether a request about this kind is meant, if its object's name is."""
        return (
            (self.scope == ALL or (self.scope == "Namespaced") == (kind.namespaced and kind is not namespaces.KIND))
            and (operation in self.operations or ALL in self.operations)
            and (kind.group in self.groups or ALL in self.groups)
            and (kind.version in self.versions or ALL in self.versions)
            and any(resource in (ALL, kind.plural) and below in (ALL, subresource) for resource, below in self.resources)
        )


@dataclass(frozen=True, slots=True)
class Match:
    """A request is told as one about this kind, if its object has one of these names (none: whatever name it has)."""

    kind: Kind
    names: frozenset[str]

    def names_match(self, name: str) -> bool:
        return not self.names or name in self.names


def equivalents(kind: Kind, kinds: Iterable[Kind]) -> list[Kind]:
    """Other kinds under which the same objects are served."""
    return [other for other in kinds if other is not kind and other.key_prefix == kind.key_prefix]


def matches(
    rules: Sequence[Rule], exact: bool, operation: str, kind: Kind, subresource: str, others: Sequence[Kind]
) -> list[Match]:
    """In the order in which they count; `others` are the kind's equivalents."""
    found = [Match(kind, rule.names) for rule in rules if rule.matches(operation, kind, subresource)]
    if not exact:
        for rule in rules:
            found += [Match(other, rule.names) for other in others if rule.matches(operation, other, subresource)]
    return found


def first(found: Sequence[Match], name: str) -> Match | None:
    """The one that counts for an object of that name."""
    return next((match for match in found if match.names_match(name)), None)
