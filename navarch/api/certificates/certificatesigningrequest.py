"""CertificateSigningRequest: somebody wants a certificate; somebody else approves it, and a signer issues it.

Who asked and when conditions changed is written by apiserver/admission/certificates, which knows both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.certificates import pkcs10
from navarch.api.kind import AGE, NAME, Column, Kind, SubresourceUpdate
from navarch.apimachinery import names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
)

LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
APPROVAL_TYPES = ("Approved", "Denied")
LASTING_TYPES = (*APPROVAL_TYPES, "Failed")
EXPIRATION_MIN_SECONDS = 600
SIGNER_NAME_LIMIT = 253 + 1 + 253 + 1 + 63
USAGES = frozenset(
    {
        "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
        "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
        "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
        "microsoft sgc", "netscape sgc",
    }
)  # fmt: skip


def conditions(request: Object) -> list[Object]:
    return list((request.get("status") or {}).get("conditions") or ())


def has_condition(request: Object, type_: str) -> bool:
    """Whether it has a true condition of that type."""
    return any(item.get("type") == type_ and item.get("status") == "True" for item in conditions(request))


def certificate(request: Object) -> str:
    """What was issued, or ""."""
    return str((request.get("status") or {}).get("certificate", ""))


def default(request: Object) -> Object:
    spec = request.setdefault("spec", {})
    spec.setdefault("request", "")
    spec.setdefault("signerName", "")
    return request


def prepare_create(request: Object) -> Object:
    return {**request, "status": {}}


def prepare_update(new: Object, old: Object) -> Object:
    """Nothing but metadata changes otherwise than through the subresources."""
    return {**new, "spec": old["spec"]}


def prepare_status_update(new: Object, old: Object) -> Object:
    """A signer sends the approval back as it read it, or nearly: times may have lost their precision on the way."""
    items = conditions(new)
    for type_ in APPROVAL_TYPES:
        now = [index for index, item in enumerate(items) if item.get("type") == type_]
        before = [item for item in conditions(old) if item.get("type") == type_]
        if len(now) == len(before):
            for index, item in zip(now, before, strict=True):
                items[index] = item
    return {**new, "status": {**(new.get("status") or {}), "conditions": items}} if items else new


def prepare_approval(new: Object, old: Object) -> Object:
    status = {**(old.get("status") or {})}
    status.pop("conditions", None)
    if conditions(new):
        status["conditions"] = conditions(new)
    return {**old, "metadata": new["metadata"], "status": status}


def validate_create(request: Object) -> Iterator[FieldError]:
    """The spec stays as it was made."""
    spec = request["spec"]
    try:
        pkcs10.parse(spec["request"])
    except ValueError as error:
        yield invalid_value("spec.request", spec["request"], str(error))
    usages = spec.get("usages") or []
    if not usages:
        yield required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            yield not_supported(f"spec.usages[{index}]", usage, USAGES)
    seen: set[str] = set()
    for index, usage in enumerate(usages):
        if usage in seen:
            yield duplicate(f"spec.usages[{index}]", usage)
        seen.add(usage)
    if spec["signerName"] == LEGACY_SIGNER:
        text = "the legacy signerName is not allowed via this API version"
        yield invalid_value("spec.signerName", spec["signerName"], text)
    else:
        yield from validate_signer_name(spec["signerName"], "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < EXPIRATION_MIN_SECONDS:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        yield invalid_value("spec.expirationSeconds", seconds, text)


def validate_signer_name(name: str, path: str) -> Iterator[FieldError]:
    """``example.com/signer-name``."""
    if not name:
        yield required(path)
        return
    if name.count("/") != 1:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield invalid_value(path, name, text)
        return
    domain, _, rest = name.partition("/")
    if len(domain) > names.DNS1123_SUBDOMAIN_LIMIT:
        yield too_long(path, names.DNS1123_SUBDOMAIN_LIMIT)
    yield from _first_bad_label(domain, path, names.dns1123_label)
    if "." not in domain:
        yield invalid_value(path, domain, "should be a domain with at least two segments separated by dots")
    yield from _first_bad_label(rest, path, names.dns1123_subdomain)
    if len(name) > SIGNER_NAME_LIMIT:
        yield too_long(path, SIGNER_NAME_LIMIT)


def _first_bad_label(part: str, path: str, check: Callable[[str], Iterable[str]]) -> Iterator[FieldError]:
    for label in part.split("."):
        problems = list(check(label))
        yield from (invalid_value(path, part, f'validating label "{label}": {text}') for text in problems)
        if problems:
            return


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = certificate(new), certificate(old)
    yield from _conditions(conditions(new))
    if now != before and now:
        try:
            pkcs10.check_certificates(now)
        except ValueError as error:
            yield invalid_value("status.certificate", "<certificate data>", str(error))
    yield from _removed(new, old)
    for type_ in APPROVAL_TYPES:
        if _count(new, type_) > _count(old, type_):
            yield forbidden_field("status.conditions", f'updates may not add a condition of type "{type_}"')
    if now != before and before:
        yield forbidden_field("status.certificate", "updates may not modify existing certificate content")


def validate_approval(new: Object, old: Object) -> Iterator[FieldError]:
    yield from _conditions(conditions(new))
    yield from _removed(new, old)


def _count(request: Object, type_: str) -> int:
    return sum(item.get("type") == type_ for item in conditions(request))


def _removed(new: Object, old: Object) -> Iterator[FieldError]:
    for type_ in LASTING_TYPES:
        if _count(new, type_) < _count(old, type_):
            yield forbidden_field("status.conditions", f'updates may not remove a condition of type "{type_}"')


def _conditions(items: Iterable[Object]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        path, type_, status = f"status.conditions[{index}]", item["type"], item["status"]
        if not type_:
            yield required(f"{path}.type")
        allowed = ("True",) if type_ in LASTING_TYPES else ("False", "True", "Unknown")
        if not status:
            yield required(f"{path}.status")
        elif status not in allowed:
            yield not_supported(f"{path}.status", status, allowed)
        if type_ in APPROVAL_TYPES and seen & (set(APPROVAL_TYPES) - {type_}):
            yield invalid_value(f"{path}.type", type_, "Approved and Denied conditions are mutually exclusive")
        if type_ in seen:
            yield duplicate(f"{path}.type", type_)
        seen.add(type_)


def _shown(request: Object) -> str:
    types = {item.get("type") for item in conditions(request)}
    shown = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        shown += ",Failed"
    return f"{shown},Issued" if certificate(request) else shown


def row(request: Object, now: datetime) -> list[Any]:
    spec = request["spec"]
    seconds = spec.get("expirationSeconds")
    return [
        request["metadata"]["name"],
        printing.age(request, now),
        spec.get("signerName") or printing.NONE,
        spec.get("username", ""),
        printing.human_duration(seconds) if seconds is not None else printing.NONE,
        _shown(request),
    ]


KIND = Kind(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    namespaced=False,
    short_names=("csr",),
    subresources=("approval", "status"),
    validate_name=names.path_segment,
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    prepare_status_update=prepare_status_update,
    subresource_updates={"approval": SubresourceUpdate(prepare_approval, validate_approval)},
    validate_create=validate_create,
    validate_status_update=validate_status_update,
    selectable_fields={"spec.signerName": lambda obj: obj["spec"].get("signerName", "")},
    columns=(
        NAME,
        AGE,
        Column("SignerName"),
        Column("Requestor"),
        Column("RequestedDuration"),
        Column("Condition"),
    ),
    row=row,
)
