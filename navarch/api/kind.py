"""`Kind`: everything there is to say about one kind of object, in one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from navarch.apimachinery.errors import FieldError, Object
from navarch.apimachinery.schema import Schema
from navarch.apimachinery.unmarshal import Decoded

Validate = Callable[[Object], Iterable[FieldError]]
ValidateUpdate = Callable[[Object, Object], Iterable[FieldError]]
"""(new, old)."""
Default = Callable[[Object], Object]
"""Returns the object with defaults; may change the object it is given, which nobody else holds."""
Prepare = Callable[[Object], Object]
Warnings = Callable[[Object, Object | None], Iterable[str]]
"""(new, old or None where the object is being made) -> what whoever wrote it is warned of."""
PrepareUpdate = Callable[[Object, Object], Object]
"""(new, old) -> new."""
Getter = Callable[[Object], Any]


Row = Callable[[Object, datetime], list[Any]]
"""(object, now) -> the cells of its row, one for each of the kind's columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """The head of one printed column."""

    name: str
    type: str = "string"
    priority: int = 0
    """0 is shown always, 1 only in wide output."""
    format: str = ""
    description: str = ""


NAME = Column("Name", format="name")
AGE = Column("Age")


def _unchanged(obj: Object) -> Object:
    return obj


def _never(*_: Object) -> bool:
    return False


def _no_conditions(_: Object) -> list[Object]:
    return []


def _no_errors(*_: Object) -> Iterable[FieldError]:
    return ()


def _no_warnings(*_: Object | None) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class SubresourceUpdate:
    """What PUT and PATCH of a subresource other than status mean, where the subresource speaks the kind itself."""

    prepare: PrepareUpdate
    """(new, old) -> `old` with what the subresource may change taken from `new`."""
    validate: ValidateUpdate = _no_errors


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a kind has what its Scale is made of: the steps of each path."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """One kind. Functions on it are pure."""

    group: str
    """"" is the core group."""
    version: str
    kind: str
    plural: str
    singular: str = ""
    listed_as: str = ""
    """The kind of its lists; "" derives it."""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    subresources: tuple[str, ...] = ()
    """``status``, ``scale``, and those that a module of apiserver/subresources serves."""
    schema: str = ""
    """Name of the schema definition, e.g. ``io.k8s.api.core.v1.Pod``; "" derives it from group, version and kind."""
    typed: Callable[[], Schema] | None = None
    """What gives the schema of the objects where it is no definition; it says which lists are merged."""
    structural: Mapping[str, Any] | None = None
    """The schema that a CustomResourceDefinition has for its objects."""
    is_custom: bool = False
    """Whether a CustomResourceDefinition defines it: then there are no strategic merge patches of it, and no protobuf."""
    family: Callable[[], tuple[Kind, ...]] | None = None
    """All kinds under which the same objects are served, where the registry does not list them."""
    stored_as: Kind | None = None
    """The kind under which the objects are stored, where this is another version or group of it: then all rules are that
    kind's, but for `default` and `validate`, which are asked first, and for `validate_create`, `validate_update` and
    `selectable_fields`, which stand in for that kind's if they say anything; these are given the stored form. None: objects
    are stored as they are served."""
    to_stored: Prepare = _unchanged
    from_stored: Prepare = _unchanged
    """Between this kind's objects and those of `stored_as`; nothing may be lost on the way there and back."""
    by_webhook: bool = False
    """Whether these two may raise `api.apiextensions.conversion.ConversionNeeded`, since others do it."""
    storage_prefix: str = ""
    """Where objects are stored under /registry, e.g. ``services/specs``; "" means the plural."""

    any_finalizer: bool = False
    """Whether finalizers need not be fully qualified."""
    decode: Callable[[Any], Decoded] | None = None
    """How a body is read as this kind, pruned and normalised; None means by its schema. Raises DecodeError."""
    default: Default = _unchanged
    validate: Validate = _no_errors
    """Of an object to be stored, defaults applied; metadata is checked for every kind alike."""
    validate_create: Validate | None = None
    """Of an object to be created, beside `validate`: what only a new object must keep to."""
    validate_update: ValidateUpdate | None = None
    """Of an update, beside `validate` of the new object: what may not change."""
    validate_status_update: ValidateUpdate = _no_errors
    is_slow: Callable[[], bool] | None = None
    """Whether `validate_create`, `validate_update` and `validate_status_update` may take so long that others would notice; then
    they must be able to run in a thread. None: never."""
    warnings: Warnings = _no_warnings
    """Of a valid object that is to be stored."""
    early_warnings: Callable[[Object], Iterable[str]] = _no_warnings
    """Of a new object as it was sent, before `prepare_create`, valid or not."""
    status_warnings: Warnings = _no_warnings
    """Of a valid object the status of which is to be stored."""
    validate_name: Callable[[str], Iterable[str]] | None = None
    """Yields what is wrong with a name; None means a DNS-1123 subdomain."""
    prepare_create: Prepare = _unchanged
    """What the server sets or clears when an object is made; `status` of kinds with that subresource is cleared already."""
    prepare_update: PrepareUpdate | None = None
    prepare_status_update: PrepareUpdate | None = None
    stamp_status_update: Callable[[Object, Object, str], Object] | None = None
    """(new, old, now) -> new: what a status update sets to the time at which it is made."""
    status_keeps_metadata: tuple[str, ...] = ()
    """Fields of metadata that a write of the status leaves as they are."""
    subresource_updates: Mapping[str, SubresourceUpdate] = field(default_factory=dict)
    is_lazy_update: Callable[[Object, Object], bool] = _never
    """(new, old) -> whether the change may be stored with the next commit instead of at once."""
    spec_fields: tuple[str, ...] = ("spec",)
    """Fields whose change counts up `metadata.generation`, by their paths."""
    has_generation: bool = False
    deprecation: str = ""
    """What every client that uses the kind is warned of."""
    selectable_fields: Mapping[str, Getter] = field(default_factory=dict)
    """Field selectors beside metadata.name and metadata.namespace."""
    unselectable: str = "field label not supported: {}"
    """What is said of other fields than these."""
    indexed_fields: tuple[str, ...] = ()
    """Those of them by which watches are found: many watch, each for a value of its own. They are the fields that they name."""
    scale_paths: ScalePaths | None = None
    """Where a custom kind has what its Scale is made of."""
    columns: tuple[Column, ...] = ()
    """Of printed tables; () means Name and Created At."""
    row: Row | None = None
    row_conditions: Callable[[Object], list[Object]] = _no_conditions
    """What a client is told of an object's row beside its cells."""
    row_order: Getter | None = None
    """By what the rows of a table are sorted; None leaves them in the order of their names."""
    keeps_status_on_create: bool = False
    """Whether whoever makes an object may bring its status along, as a kubelet does with its Node."""
    allow_create_on_update: bool = False
    """Whether PUT of a missing object creates it."""
    allow_unconditional_update: bool = True
    """Whether PUT without a resourceVersion is taken."""
    graceful_seconds: Callable[[Object], int | None] | None = None
    """Grace period of a deletion where none is asked for; None means objects go at once."""
    default_propagation: str = "Background"
    returns_deleted: bool = False
    """Whether DELETE answers with the object that is gone instead of a Status."""
    holds_deletion: Callable[[Object], bool] = _never
    """Whether something other than metadata.finalizers keeps an object that is being deleted."""
    prepare_deletion: Prepare = _unchanged
    """What changes when a deletion that must wait begins."""

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def api_path(self) -> str:
        """``/api/v1`` or ``/apis/group/version``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def list_kind(self) -> str:
        return self.listed_as or f"{self.kind}List"

    @cached_property
    def resource(self) -> str:
        """``plural.group``, or ``plural`` in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def stored(self) -> Kind:
        """The kind whose rules hold for the stored objects: itself, or `stored_as`."""
        return self.stored_as or self

    @cached_property
    def key_prefix(self) -> str:
        """Where this kind's objects are in the store: ``/registry/pods/``."""
        return f"/registry/{self.stored.storage_prefix or self.stored.plural}/"

    def key(self, namespace: str, name: str) -> str:
        """The store's key of an object."""
        return f"{self.key_prefix}{namespace}/{name}" if self.namespaced else f"{self.key_prefix}{name}"
