"""Which volume a claim gets on which node: FindMatchingVolume of all nodes at once.

A volume that was reserved for the claim is taken, or none; else the smallest that is available, large enough and of the right
class, modes, labels and place. Most volumes are tied to a node or a zone by one label; such are looked up by the label's
value, so it does not take a look at every volume for every node. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from navarch.api.core.storageaccess import class_of
from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object
from navarch.scheduler.framework import BoolArray, IntArray
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.plugins.nodeaffinity import any_term_nodes, requirement_nodes
from navarch.scheduler.podinfo import NodeTerm
from navarch.scheduler.volumes import access_modes, affinity_terms, capacity_bytes, is_reserved_for, requested_bytes

NONE = np.iinfo(np.int64).max
"""No volume, among numbers of volumes of which the lowest is the best."""


@dataclass(frozen=True)
class Volume:
    """A persistent volume, read for matching."""

    volume: Object

    @property
    def name(self) -> str:
        return meta.name(self.volume)

    @cached_property
    def bytes(self) -> int:
        return capacity_bytes(self.volume)

    @cached_property
    def terms(self) -> tuple[NodeTerm, ...] | None:
        return affinity_terms(self.volume)

    @cached_property
    def tied_to(self) -> tuple[str, tuple[str, ...]] | None:
        """(label, values) if that is all there is to its place."""
        if self.terms is None or len(self.terms) != 1 or self.terms[0].names or len(self.terms[0].labels) != 1:
            return None
        (requirement,) = self.terms[0].labels
        return (requirement.key, requirement.values) if requirement.operator == "in" else None

    def nodes(self, nodes: Nodes) -> BoolArray:
        """Where it can be used. Only labels count here: by its name no node is found."""
        if self.terms is None:
            return nodes.valid
        terms = [NodeTerm(t.labels, ()) for t in self.terms if t.labels and not any(r.operator == "in" for r in t.names)]
        return any_term_nodes(terms, nodes)


def candidates(claim: Object, volumes: Iterable[Volume]) -> list[Volume]:
    """Volumes that would do wherever they are, the best first; only that one if one is reserved for the claim."""
    wanted, modes, mode = requested_bytes(claim) or 0, access_modes(claim), _mode(claim)
    of_class, attributes = class_of(claim), _attributes_class(claim)
    selector = meta.get_path(claim, "spec", "selector")
    chosen = None if selector is None else selectors.from_label_selector(selector)
    found = []
    for item in volumes:
        volume = item.volume
        is_reserved = is_reserved_for(volume, claim)
        if (volume["spec"].get("claimRef") is not None and not is_reserved) or item.bytes < wanted:
            continue
        if _mode(volume) != mode or _attributes_class(volume) != attributes or meta.being_deleted(volume):
            continue
        if is_reserved:
            return [item]
        if (volume.get("status") or meta.EMPTY).get("phase") != "Available" or class_of(volume) != of_class:
            continue
        if modes <= access_modes(volume) and (chosen is None or chosen.matches(meta.labels(volume))):
            found.append(item)
    return sorted(found, key=lambda item: item.bytes)


def _mode(of: Object) -> str:
    return (of.get("spec") or meta.EMPTY).get("volumeMode") or "Filesystem"


def _attributes_class(of: Object) -> str:
    return (of.get("spec") or meta.EMPTY).get("volumeAttributesClassName") or ""


class Places:
    """The candidates of one claim, by where they can be used."""

    def __init__(self, found: Sequence[Volume]) -> None:
        self.found = found
        self._by_label: dict[str, dict[str, list[int]]] = {}
        self._others: list[int] = []
        for number, volume in enumerate(found):
            tied = volume.tied_to
            if tied is None:
                self._others.append(number)
                continue
            values = self._by_label.setdefault(tied[0], {})
            for value in set(tied[1]):
                values.setdefault(value, []).append(number)

    def choices(self, nodes: Nodes) -> IntArray:
        """The number of the best candidate on each node; NONE where there is none."""
        best = np.full(nodes.size, NONE)
        for key, values in self._by_label.items():
            column = nodes.snapshot.label_column(key)
            table = np.full(len(column.values), NONE)
            for value, numbers in values.items():
                table[column.find(value)] = numbers[0]
            table[0] = NONE  # Also what `find` says of values that no node has.
            best = np.minimum(best, table[nodes.take(column.codes)])
        for number in self._others:
            if not (best > number).any():
                break
            best[self.found[number].nodes(nodes) & (best > number)] = number
        return best

    def choice_without(self, row: Nodes, taken: frozenset[str]) -> int:
        """The same on one node, where some volumes are taken already."""
        numbers = list(self._others)
        for key, values in self._by_label.items():
            column = row.snapshot.label_column(key)
            value = column.values[int(row.take(column.codes)[0])]
            numbers += values.get(value, []) if value is not None else []
        for number in sorted(numbers):
            volume = self.found[number]
            if volume.name not in taken and bool(volume.nodes(row)[0]):
                return number
        return int(NONE)


def static_choices(claims: Sequence[Object], places: Sequence[Places], nodes: Nodes) -> list[IntArray]:
    """Of each claim, in their order, the number of the candidate it gets on each node; no volume serves two claims."""
    chosen: list[IntArray] = []
    for claim_number in range(len(claims)):
        place = places[claim_number]
        best = place.choices(nodes)
        clashes = nodes.none()
        for before, other in zip(places, chosen, strict=False):
            clashes |= _same(place, best, before, other)
        for position in np.flatnonzero(clashes).tolist():
            row = nodes.narrowed(nodes.rows[position : position + 1])
            taken = frozenset(
                before.found[other[position]].name
                for before, other in zip(places, chosen, strict=False)
                if other[position] != NONE
            )
            best[position] = place.choice_without(row, taken)
        chosen.append(best)
    return chosen


def _same(one: Places, numbers: IntArray, other: Places, other_numbers: IntArray) -> BoolArray:
    """Where two claims would get the same volume."""
    known = {volume.name: number for number, volume in enumerate(other.found)}
    translated = np.array([known.get(volume.name, -1) for volume in one.found] + [-1])
    found: BoolArray = translated[np.minimum(numbers, len(one.found))] == other_numbers
    return found


def allowed_by_topologies(terms: Sequence[Object], nodes: Nodes) -> BoolArray:
    """Nodes that a class's allowedTopologies allow; without any, all."""
    if not terms:
        return nodes.valid
    found = nodes.none()
    for term in terms:
        expressions = term.get("matchLabelExpressions") or ()
        if expressions:
            matching = nodes.valid
            for expression in expressions:
                matching = matching & nodes.label_in(expression["key"], expression.get("values") or ())
            found |= matching
    return found


def selected_by_labels(selector: Object | None, nodes: Nodes) -> BoolArray:
    """Nodes that a label selector matches; no selector matches none."""
    if selector is None:
        return nodes.none()
    parsed = selectors.from_label_selector(selector)
    found = nodes.none() if parsed.nothing else nodes.valid
    for requirement in parsed.requirements:
        found = found & requirement_nodes(requirement, nodes)
    return found
