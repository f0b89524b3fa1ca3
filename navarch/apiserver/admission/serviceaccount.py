"""ServiceAccount: every pod runs as one, gets a token for it mounted, and no Secrets that the account keeps from it.

Mirror pods run as none: what their kubelet runs it knows without the API.
"""

from __future__ import annotations

from functools import lru_cache

from navarch.api.core import pod as pods
from navarch.api.core import secretreferences
from navarch.api.core import serviceaccount as accounts
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, remember
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.component import clock
from navarch.storage.changes import Record
from navarch.storage.store import Store

TOKEN_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
# A token's life beyond an hour covers clients that read their token only once.
TOKEN_EXPIRATION_SECONDS = 3607
VOLUME_NAMES_LIMIT = 1024
VOLUME_PREFIX = "kube-api-access-"
MARK = secretreferences.ENFORCE_ANNOTATION.encode()
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


class ServiceAccount(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store
        self._volume_names: dict[str, str] = {}
        """By account. Kubernetes draws one for each pod; with one for all of an account's, pods of a template are alike."""

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is pods.KIND and (operation, subresource) in (("CREATE", ""), ("UPDATE", "ephemeralcontainers"))

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.operation != "CREATE" or MIRROR_ANNOTATION in meta.annotations(obj):
            await self.validate(attributes, obj, old)
            return obj
        sent = obj["spec"]
        name = sent.get("serviceAccountName", "default")
        key, record = self._account(attributes, name)
        volume = self._volume_name(key, sent)
        spec = remember.changed(sent, (_for_account, record.data, volume), lambda: _for_account(sent, name, record, volume))
        obj = {**obj, "spec": spec}
        await self.validate(attributes, obj, old)
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        assert obj is not None
        spec, is_new = obj["spec"], attributes.operation == "CREATE"
        name = spec.get("serviceAccountName", "")
        if is_new and MIRROR_ANNOTATION in meta.annotations(obj):
            text = _problem_of_mirror(spec)
        elif not name:
            text = f"no service account specified for pod {attributes.namespace}/{meta.name(obj)}"
        else:
            _, record = self._account(attributes, name)
            if MARK not in record.data or not secretreferences.is_enforced(account := record.object()):
                return
            text = secretreferences.not_allowed(spec, account, ephemeral=not is_new)
        if text:
            raise errors.forbidden("", "pods", attributes.name, text)

    def _account(self, attributes: Attributes, name: str) -> tuple[str, Record]:
        """The key and the newest version of an account."""
        key = accounts.KIND.key(attributes.namespace, name)
        record = self._store.latest(accounts.KIND.key_prefix, key)
        if record is None:
            text = f'error looking up service account {attributes.namespace}/{name}: serviceaccount "{name}" not found'
            raise errors.forbidden("", "pods", attributes.name, text)
        return key, record

    def _volume_name(self, account: str, spec: Object) -> str:
        name = self._volume_names.get(account)
        if name is None:
            if len(self._volume_names) >= VOLUME_NAMES_LIMIT:
                self._volume_names.clear()
            name = self._volume_names[account] = f"{VOLUME_PREFIX}{clock.name_suffix()}"
        # A pod that was written after another's may have its volume already.
        return next((v["name"] for v in spec.get("volumes") or () if v.get("name", "").startswith(VOLUME_PREFIX)), name)


def _problem_of_mirror(spec: Object) -> str:
    """What a mirror pod may not refer to; "" if there is nothing."""
    if spec.get("serviceAccountName"):
        return "a mirror pod may not reference service accounts"
    if any(secretreferences.names(spec)):
        return "a mirror pod may not reference secrets"
    if secretreferences.projects_tokens(spec):
        return "a mirror pod may not use ServiceAccountToken volume projections"
    return ""


def _for_account(spec: Object, name: str, record: Record, volume: str) -> Object:
    """A pod's spec as that account's pods have it."""
    account = record.object()
    spec = {**spec, "serviceAccountName": name, "serviceAccount": name}
    if _wants_token(spec, account):
        spec = _with_token(spec, volume)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    return spec


def _wants_token(spec: Object, account: Object) -> bool:
    mounts = spec.get("automountServiceAccountToken")
    return bool(account.get("automountServiceAccountToken", True) if mounts is None else mounts)


def _with_token(spec: Object, name: str) -> Object:
    """The spec with the projected volume of this name and its mounts, in containers that mount nothing there themselves."""
    containers = {field: [dict(c) for c in spec[field]] for field in ("initContainers", "containers") if spec.get(field)}
    unmounted = [
        container
        for field in containers
        for container in containers[field]
        if all(mount.get("mountPath") != TOKEN_MOUNT_PATH for mount in container.get("volumeMounts") or ())
    ]
    if not unmounted:
        return spec
    volumes = spec.get("volumes") or []
    if all(volume.get("name") != name for volume in volumes):
        volumes = [*volumes, _volume(name)]
    mount = {"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT_PATH}
    for container in unmounted:
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    return {**spec, **containers, "volumes": volumes}


@lru_cache(VOLUME_NAMES_LIMIT)
def _volume(name: str) -> Object:
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_EXPIRATION_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
                    }
                },
            ],
            "defaultMode": 0o644,
        },
    }
