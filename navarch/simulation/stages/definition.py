"""Stages (kwok.x-k8s.io/v1alpha1) as files have them, read and checked: what cannot be done is refused with file and line.

Both ways of writing are read: expressions as ``key`` and ``expressionFrom`` or below ``jq``, what is done as ``next`` or
``steps``. Expressions in CEL, acting as another user, and steps that apply other objects are not supported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.simulation.document import Document, Place, ScenarioError, nearest
from navarch.simulation.stages import functions, gotemplate, jq
from navarch.simulation.stages.gotemplate import Template, TemplateError
from navarch.simulation.stages.jq import JQError, Program

API_VERSION, KIND = "kwok.x-k8s.io/v1alpha1", "Stage"
FROM_CLUSTER = frozenset(
    {"Now", "StartTime", "Version", "NodeConditions", "NodeIP", "NodeName", "NodePort", "PodIP", "NodeIPWith", "PodIPWith"}
)
"""Functions of templates that depend on time and cluster."""
KNOWN_FUNCTIONS = frozenset(functions.FUNCTIONS) | FROM_CLUSTER
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
PATCH_TYPES = ("json", "merge", "strategic")
SUFFIXES = (".yaml", ".yml", ".json")
PASSED_OVER = ("kustomization.yaml", "kustomization.yml")
STAGES_LIMIT = 1000

_SPEC = ("resourceRef", "selector", "weight", "weightFrom", "delay", "next", "steps", "immediateNextStage")
_DELAY = ("durationMilliseconds", "durationFrom", "jitterDurationMilliseconds", "jitterDurationFrom")
_NEXT = ("event", "finalizers", "delete", "statusTemplate", "statusSubresource", "patches")


@dataclass(frozen=True)
class Requirement:
    """One expression of a selector."""

    program: Program
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Selector:
    """What an object must be like."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True)
class Amount:
    """A number, or where in the object it stands; `value` is what holds where nothing stands there."""

    value: int | None
    source: Program | None = None


@dataclass(frozen=True)
class Delay:
    """In milliseconds."""

    duration: Amount
    jitter: Amount | None


@dataclass(frozen=True)
class SendEvent:
    type: str
    reason: str
    message: Template


@dataclass(frozen=True)
class ChangeFinalizers:
    add: tuple[str, ...]
    remove: tuple[str, ...]
    empty: bool


@dataclass(frozen=True)
class Delete:
    """The object is deleted at once."""


@dataclass(frozen=True)
class Patch:
    """What `template` makes, below the field `root`."""

    root: str
    subresource: str
    type: str
    template: Template


Step = SendEvent | ChangeFinalizers | Delete | Patch


@dataclass(frozen=True)
class StageDefinition:
    """One stage."""

    name: str
    kind: Kind
    selector: Selector | None
    """None selects nothing."""
    weight: Amount
    delay: Delay | None
    steps: tuple[Step, ...]


def load(paths: Iterable[Path]) -> list[Object]:
    """The Stage objects of files, and of the files in directories; they are what `of_objects` takes. Raises ScenarioError."""
    found: list[Object] = []
    for path in paths:
        try:
            files = sorted(path.iterdir()) if path.is_dir() else [path]
        except OSError as error:
            raise ScenarioError(f"{path}:1: cannot be read: {error}") from None
        for file in files:
            if not path.is_dir() or (file.suffix in SUFFIXES and file.name not in PASSED_OVER):
                found += _load(file)
    return found


def _load(file: Path) -> list[Object]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{file}:1: cannot be read: {error}") from None
    found = []
    for first, part in _parts(text):
        # Lines before it are left empty: so what is wrong is told with the file's lines.
        document = Document("\n" * first + part, str(file))
        if document.value is not None:
            _Reader(document).stage((), document.value)
            found.append(document.value)
    return found


def _parts(text: str) -> Iterable[tuple[int, str]]:
    """The documents of a file, each with the number of lines before it."""
    lines: list[str] = []
    first = 0
    for number, line in enumerate([*text.splitlines(), "---"], 1):
        if line.rstrip() == "---" or line.startswith("--- "):
            yield first, "\n".join(lines) + "\n"
            lines, first = [], number
        else:
            lines.append(line)


def read(document: Document, place: Place, value: Any) -> StageDefinition:
    """The stage that stands somewhere in a document. Raises ScenarioError."""
    return _Reader(document).stage(place, value)


def of_objects(objects: Sequence[Object]) -> tuple[StageDefinition, ...]:
    """Stages of objects that were read before. Raises ScenarioError."""
    if len(objects) > STAGES_LIMIT:
        raise ScenarioError(f"stages:1: there are more than {STAGES_LIMIT}")
    return tuple(_Reader(Document("", str((obj.get("metadata") or {}).get("name", "stage")))).stage((), obj) for obj in objects)


class _Reader:
    """Makes a stage of a document."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def stage(self, place: Place, value: Any) -> StageDefinition:
        document = self._document
        said = document.mapping(place, value, ("apiVersion", "kind", "metadata", "spec", "status"))
        if (said.get("apiVersion"), said.get("kind")) != (API_VERSION, KIND):
            what = f"{said.get('kind')!r} of {said.get('apiVersion')!r}"
            raise document.error(place, f"it should be a {KIND} of {API_VERSION}, not {what}")
        name = (said.get("metadata") or {}).get("name")
        if not isinstance(name, str) or not name:
            raise document.error((*place, "metadata"), "a stage has a name")
        place = (*place, "spec")
        spec = document.mapping(place, said.get("spec"), _SPEC)
        return StageDefinition(
            name=name,
            kind=self._kind((*place, "resourceRef"), spec.get("resourceRef")),
            selector=self._selector((*place, "selector"), spec["selector"]) if spec.get("selector") is not None else None,
            weight=self._amount(place, spec, "weight", "weightFrom", 0),
            delay=self._delay((*place, "delay"), spec["delay"]) if spec.get("delay") is not None else None,
            steps=tuple(self._steps(place, spec)),
        )

    def _kind(self, place: Place, value: Any) -> Kind:
        said = self._document.mapping(place, value, ("apiGroup", "kind"))
        group = said.get("apiGroup") or "v1"
        for kind in registry.kinds():
            if kind.kind == said.get("kind") and group in (kind.api_version, kind.group):
                return kind
        known = sorted({kind.kind for kind in registry.kinds()})
        raise self._document.error(
            (*place, "kind"), f"no built-in kind of {group} is {said.get('kind')!r}{nearest(str(said.get('kind')), known)}"
        )

    # Selectors

    def _selector(self, place: Place, value: Any) -> Selector:
        said = self._document.mapping(place, value, ("matchLabels", "matchAnnotations", "matchExpressions"))
        expressions = self._document.items((*place, "matchExpressions"), said.get("matchExpressions"))
        return Selector(
            self._strings((*place, "matchLabels"), said.get("matchLabels")),
            self._strings((*place, "matchAnnotations"), said.get("matchAnnotations")),
            tuple(self._requirement(where, item) for where, item in expressions),
        )

    def _strings(self, place: Place, value: Any) -> Mapping[str, str]:
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._document.error(place, "it should be a mapping of strings")
        return value

    def _requirement(self, place: Place, item: Any) -> Requirement:
        document = self._document
        if isinstance(item, dict) and "jq" in item:
            document.mapping(place, item, ("jq",))
            place, item = (*place, "jq"), item["jq"]
        if isinstance(item, dict) and ("cel" in item or "expression" in item):
            raise document.error(place, "expressions in CEL are not supported, only those in jq")
        said = document.mapping(place, item, ("key", "operator", "values"))
        operator = said.get("operator")
        if operator not in OPERATORS:
            raise document.error((*place, "operator"), f"unknown operator {operator!r}{nearest(str(operator), OPERATORS)}")
        values = said.get("values") or []
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise document.error((*place, "values"), "values: it should be a list of strings")
        if operator in ("In", "NotIn") and not values:
            raise document.error(place, "for 'in', 'notin' operators, values set can't be empty")
        if operator in ("Exists", "DoesNotExist") and values:
            raise document.error((*place, "values"), "values set must be empty for exists and does not exist")
        return Requirement(self._program((*place, "key"), said.get("key")), operator, tuple(values))

    def _program(self, place: Place, value: Any) -> Program:
        try:
            return jq.compile(value if isinstance(value, str) else "")
        except JQError as error:
            raise self._document.error(place, f"{place[-1]}: jq: {error}") from None

    # Numbers

    def _delay(self, place: Place, value: Any) -> Delay:
        said = self._document.mapping(place, value, _DELAY)
        has_jitter = any(said.get(key) is not None for key in _DELAY[2:])
        return Delay(
            self._amount(place, said, _DELAY[0], _DELAY[1], 0),
            self._amount(place, said, _DELAY[2], _DELAY[3], None) if has_jitter else None,
        )

    def _amount(self, place: Place, said: Mapping[str, Any], key: str, from_key: str, default: int | None) -> Amount:
        value = said.get(key, default)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise self._document.error((*place, key), f"{key}: {value!r} should be a whole number, 0 or more")
        source = said.get(from_key)
        if source is None:
            return Amount(value)
        place = (*place, from_key)
        source = self._document.mapping(place, source, ("expressionFrom", "jq", "cel"))
        if "cel" in source:
            raise self._document.error((*place, "cel"), "expressions in CEL are not supported, only those in jq")
        if "jq" in source:
            place = (*place, "jq")
            return Amount(
                value,
                self._program(
                    (*place, "expression"), self._document.mapping(place, source["jq"], ("expression",)).get("expression")
                ),
            )
        return Amount(value, self._program((*place, "expressionFrom"), source.get("expressionFrom")))

    # What is done

    def _steps(self, place: Place, spec: Mapping[str, Any]) -> Iterable[Step]:
        if spec.get("steps") is not None:
            for where, item in self._document.items((*place, "steps"), spec["steps"]):
                if isinstance(item, dict) and "apply" in item:
                    raise self._document.error((*where, "apply"), "steps that apply other objects are not supported")
                said = self._document.mapping(where, item, ("event", "finalizers", "delete", "patch"))
                yield from self._changes(where, said)
                if said.get("patch") is not None:
                    yield self._patch((*where, "patch"), said["patch"])
        if spec.get("next") is None:
            return
        place = (*place, "next")
        if isinstance(spec["next"], dict) and "statusPatchAs" in spec["next"]:
            raise self._document.error((*place, "statusPatchAs"), "acting as another user is not supported")
        said = self._document.mapping(place, spec["next"], _NEXT)
        yield from self._changes(place, said)
        if said.get("statusTemplate"):
            template = self._template((*place, "statusTemplate"), said["statusTemplate"])
            yield Patch("status", said.get("statusSubresource", "status"), "", template)
        for where, item in self._document.items((*place, "patches"), said.get("patches")):
            yield self._patch(where, item)

    def _changes(self, place: Place, said: Mapping[str, Any]) -> Iterable[Step]:
        if said.get("event") is not None:
            event = self._document.mapping((*place, "event"), said["event"], ("type", "reason", "message"))
            message = self._template((*place, "event", "message"), event.get("message") or "")
            yield SendEvent(str(event.get("type") or "Normal"), str(event.get("reason") or ""), message)
        if said.get("finalizers") is not None:
            where = (*place, "finalizers")
            change = self._document.mapping(where, said["finalizers"], ("add", "remove", "empty"))
            yield ChangeFinalizers(
                self._finalizers((*where, "add"), change.get("add")),
                self._finalizers((*where, "remove"), change.get("remove")),
                change.get("empty") is True,
            )
        if said.get("delete") is True:
            yield Delete()

    def _finalizers(self, place: Place, value: Any) -> tuple[str, ...]:
        items = self._document.items(place, value)
        return tuple(str(self._document.mapping(where, item, ("value",)).get("value")) for where, item in items)

    def _patch(self, place: Place, value: Any) -> Patch:
        document = self._document
        if isinstance(value, dict) and "impersonation" in value:
            raise document.error((*place, "impersonation"), "acting as another user is not supported")
        said = document.mapping(place, value, ("subresource", "root", "template", "type"))
        type_ = said.get("type") or ""
        if type_ not in ("", *PATCH_TYPES):
            raise document.error((*place, "type"), f"unknown patch type {type_!r}{nearest(str(type_), PATCH_TYPES)}")
        template = self._template((*place, "template"), said.get("template") or "")
        return Patch(str(said.get("root") or ""), str(said.get("subresource") or ""), type_, template)

    def _template(self, place: Place, value: Any) -> Template:
        document = self._document
        if not isinstance(value, str):
            raise document.error(place, f"{place[-1]}: it should be a string")
        try:
            return gotemplate.parse(value, KNOWN_FUNCTIONS)
        except TemplateError as error:
            # A text of several lines begins on the line after its key.
            within = error.line if "\n" in value else 0
            raise ScenarioError(f"{document.file}:{document.line(place) + within}: {place[-1]}: {error}") from None
