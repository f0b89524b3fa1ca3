"""IngressClass: which controller looks after an Ingress."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.networking.ingress import validate_reference
from navarch.api.objectmeta import immutable
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required, too_long

DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
CONTROLLER_LIMIT = 250
SCOPES = ("Cluster", "Namespace")


def default(ingress_class: Object) -> Object:
    parameters = ingress_class.setdefault("spec", {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")
    return ingress_class


def validate(ingress_class: Object) -> Iterator[FieldError]:
    spec = ingress_class["spec"]
    controller, parameters = spec.get("controller", ""), spec.get("parameters")
    if not controller:
        yield required("spec.controller")
    else:
        if len(controller.encode()) > CONTROLLER_LIMIT:
            yield too_long("spec.controller", CONTROLLER_LIMIT)
        yield from (invalid_value("spec.controller", part, text) for part, text in names.domain_prefixed_path(controller))
    if parameters is not None:
        yield from _parameters(parameters, "spec.parameters")


def _parameters(parameters: Object, path: str) -> Iterator[FieldError]:
    yield from validate_reference(parameters, path)
    scope, namespace = parameters["scope"], parameters.get("namespace")
    if scope not in SCOPES:
        yield not_supported(f"{path}.scope", scope, SCOPES)
    elif scope == "Cluster" and namespace is not None:
        yield forbidden_field(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif scope == "Namespace" and namespace is None:
        yield required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif namespace is not None:
        yield from (invalid_value(f"{path}.namespace", namespace, text) for text in names.dns1123_label(namespace))


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from immutable("spec.controller", new["spec"].get("controller", ""), old["spec"].get("controller", ""))


def row(ingress_class: Object, now: datetime) -> list[Any]:
    spec = ingress_class["spec"]
    parameters = spec.get("parameters")
    shown = printing.NONE
    if parameters is not None:
        group = f".{parameters['apiGroup']}" if "apiGroup" in parameters else ""
        shown = f"{parameters['kind']}{group}/{parameters['name']}"
    return [ingress_class["metadata"]["name"], spec.get("controller", ""), shown, printing.age(ingress_class, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    namespaced=False,
    default=default,
    validate=validate,
    validate_update=validate_update,
    has_generation=True,
    columns=(NAME, Column("Controller"), Column("Parameters"), AGE),
    row=row,
)
