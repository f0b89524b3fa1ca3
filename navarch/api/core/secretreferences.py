"""Which Secrets a pod refers to, and whether its service account lets it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

ENFORCE_ANNOTATION = "kubernetes.io/enforce-mountable-secrets"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_CONTAINERS = {"initContainers": "init container", "containers": "container"}
_EPHEMERAL_CONTAINERS = {"ephemeralContainers": "ephemeral container"}
_VOLUME_SECRETS = (
    ("cephfs", "secretRef"),
    ("cinder", "secretRef"),
    ("flexVolume", "secretRef"),
    ("rbd", "secretRef"),
    ("scaleIO", "secretRef"),
    ("iscsi", "secretRef"),
    ("storageos", "secretRef"),
    ("csi", "nodePublishSecretRef"),
)


def names(spec: Object) -> Iterator[str]:
    """All Secrets that a pod refers to, as often as it does."""
    return filter(None, _names(spec))


def _names(spec: Object) -> Iterator[str]:
    yield from (reference.get("name", "") for reference in spec.get("imagePullSecrets") or ())
    yield from (name for _, name in _of_containers(spec, {**_CONTAINERS, **_EPHEMERAL_CONTAINERS}))
    for volume in spec.get("volumes") or ():
        yield (volume.get("secret") or meta.EMPTY).get("secretName", "")
        yield (volume.get("azureFile") or meta.EMPTY).get("secretName", "")
        for source, field in _VOLUME_SECRETS:
            yield ((volume.get(source) or meta.EMPTY).get(field) or meta.EMPTY).get("name", "")
        for projected in _projected(volume):
            yield (projected.get("secret") or meta.EMPTY).get("name", "")


def projects_tokens(spec: Object) -> bool:
    """Whether a pod has a volume with tokens of its service account."""
    return any("serviceAccountToken" in source for volume in spec.get("volumes") or () for source in _projected(volume))


def _projected(volume: Object) -> list[Object]:
    return (volume.get("projected") or meta.EMPTY).get("sources") or []


def is_enforced(account: Object) -> bool:
    """Whether an account lets its pods have no other Secrets than its own."""
    return meta.annotations(account).get(ENFORCE_ANNOTATION, "") in _TRUE


def not_allowed(spec: Object, account: Object, *, ephemeral: bool = False) -> str:
    """What a pod, or only its ephemeral containers, has of Secrets that are not its account's; "" if nothing."""
    allowed = {reference.get("name", "") for reference in account.get("secrets") or ()}
    not_its = f"is not allowed because service account {meta.name(account)} does not reference that"
    for volume in (spec.get("volumes") or ()) if not ephemeral else ():
        name = (volume.get("secret") or meta.EMPTY).get("secretName", "")
        if "secret" in volume and name not in allowed:
            return f'volume with secret.secretName="{name}" {not_its} secret'
    for where, name in _of_containers(spec, _EPHEMERAL_CONTAINERS if ephemeral else _CONTAINERS):
        if name not in allowed:
            return f'{where} referencing secret.secretName="{name}" {not_its} secret'
    pulling = {reference.get("name", "") for reference in account.get("imagePullSecrets") or ()}
    for index, reference in enumerate((spec.get("imagePullSecrets") or ()) if not ephemeral else ()):
        name = reference.get("name", "")
        if name not in pulling:
            return f'imagePullSecrets[{index}].name="{name}" {not_its} imagePullSecret'
    return ""


def _of_containers(spec: Object, fields: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(where, name) of each reference in the environment of containers."""
    for field, called in fields.items():
        for container in spec.get(field) or ():
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or meta.EMPTY).get("secretKeyRef")
                if reference is not None:
                    yield f"{called} {container['name']} with envVar {variable['name']}", reference.get("name", "")
            for source in container.get("envFrom") or ():
                if source.get("secretRef") is not None:
                    yield f"{called} {container['name']} with envFrom", source["secretRef"].get("name", "")
