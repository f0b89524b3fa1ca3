"""Service accounts, their tokens, and the certificate by which pods know the server."""

from __future__ import annotations

import itertools
from base64 import urlsafe_b64decode
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import pod
from tests.conformance.world import Space

ACCOUNTS, MAPS = "serviceaccounts", "configmaps"
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
ROOT_CA = "kube-root-ca.crt"


def decoded(text: str) -> bytes:
    """A part of a JSON Web Token or key."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@behaviour("Service Account Tokens Must AutoMount")
def test_pods_are_given_token_authority_and_namespace(space: Space) -> None:
    space.create(ACCOUNTS, {"metadata": {"name": "mount-test"}})
    made = space.create("pods", pod("mounted", serviceAccountName="mount-test"))
    (mount,) = made["spec"]["containers"][0]["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == (MOUNT, True)
    (volume,) = [each for each in made["spec"]["volumes"] if each["name"] == mount["name"]]
    token, authority, namespace = volume["projected"]["sources"]
    assert token["serviceAccountToken"]["path"] == "token"
    assert authority["configMap"] == {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    (item,) = namespace["downwardAPI"]["items"]
    assert (item["path"], item["fieldRef"]["fieldPath"]) == ("namespace", "metadata.namespace")


@behaviour("Service account tokens auto mount optionally")
def test_account_and_pod_may_do_without_a_token(space: Space) -> None:
    choices: tuple[bool | None, ...] = (None, True, False)
    for account in choices:
        fields = {} if account is None else {"automountServiceAccountToken": account}
        space.create(ACCOUNTS, {"metadata": {"name": f"account-{account}".lower()}, **fields})
    for account, asked in itertools.product(choices, choices):
        spec: Object = {} if asked is None else {"automountServiceAccountToken": asked}
        name = f"pod-{account}-{asked}".lower()
        made = space.create("pods", pod(name, serviceAccountName=f"account-{account}".lower(), **spec))
        mounts = made["spec"]["containers"][0].get("volumeMounts") or ()
        expected = asked if asked is not None else account is not False
        assert any(mount["mountPath"] == MOUNT for mount in mounts) == expected, name


@behaviour("ServiceAccount, create and review token")
def test_a_token_is_reviewed(space: Space) -> None:
    made = space.create(ACCOUNTS, {"metadata": {"name": "e2e"}})
    request: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": {}}
    token = space.ask("POST", space.path(ACCOUNTS, "e2e", "token"), request, code=201)["status"]["token"]
    assert token
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    found = space.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review, code=201)["status"]
    assert found["authenticated"] is True and "error" not in found
    assert found["user"]["username"] == f"system:serviceaccount:{space.name}:e2e"
    assert found["user"]["uid"] == made["metadata"]["uid"]


@behaviour("RootCA ConfigMap test")
def test_every_namespace_has_the_root_certificate(space: Space) -> None:
    found = space.until_true(MAPS, ROOT_CA, lambda _: True)
    space.delete(MAPS, ROOT_CA)
    again = space.until_true(MAPS, ROOT_CA, lambda _: True)
    assert again["data"] == found["data"] and again["metadata"]["uid"] != found["metadata"]["uid"]
    space.change(MAPS, ROOT_CA, lambda changed: changed.update(data={"ca.crt": ""}))
    space.until_true(MAPS, ROOT_CA, lambda current: current["data"] == found["data"])


@behaviour("ServiceAccount lifecycle test")
def test_an_account_is_made_patched_listed_and_deleted(space: Space) -> None:
    mark = f"test-serviceaccount-static={space.name}"
    made = {"metadata": {"name": "testserviceaccount", "labels": {"test-serviceaccount-static": space.name}}}
    with space.watching(ACCOUNTS, mark) as watch:
        space.create(ACCOUNTS, made)
        assert watch.next()[0] == "ADDED"
        patch = {"automountServiceAccountToken": False}
        space.patch(ACCOUNTS, "testserviceaccount", patch, content_type="application/strategic-merge-patch+json")
        type_, obj = watch.next()
        assert (type_, obj["automountServiceAccountToken"]) == ("MODIFIED", False)
        (listed,) = space.world.everywhere.list(ACCOUNTS, mark)
        assert listed["automountServiceAccountToken"] is False and listed["metadata"]["namespace"] == space.name
        space.delete_all(ACCOUNTS, mark)
        assert watch.next()[0] == "DELETED"


@behaviour("ServiceAccount, update a ServiceAccount")
def test_an_account_is_updated(space: Space) -> None:
    space.create(ACCOUNTS, {"metadata": {"name": "e2e-sa"}, "automountServiceAccountToken": False})
    space.change(ACCOUNTS, "e2e-sa", lambda found: found.update(automountServiceAccountToken=True))
    assert space.get(ACCOUNTS, "e2e-sa")["automountServiceAccountToken"] is True


@behaviour("OIDC Discovery (ServiceAccountIssuerDiscovery)")
def test_the_issuer_of_tokens_is_discovered(space: Space) -> None:
    request: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": {}}
    token = space.ask("POST", space.path(ACCOUNTS, "default", "token"), request, code=201)["status"]["token"]
    as_pod = {"authorization": f"Bearer {token}"}

    def read(path: str) -> Object:
        reply = space.world.call("GET", path, user=None, headers=as_pod)
        assert reply.status == 200, reply.body
        found: Object = reply.json
        return found

    header, claims, signature = (decoded(part) for part in token.split("."))
    configuration = read("/.well-known/openid-configuration")
    assert configuration["issuer"] == orjson.loads(claims)["iss"]
    keys = read(urlsplit(configuration["jwks_uri"]).path)["keys"]
    (key,) = [each for each in keys if each["kid"] == orjson.loads(header)["kid"]]
    assert (key["kty"], key["crv"], orjson.loads(header)["alg"]) == ("EC", "P-256", "ES256")
    x, y, r, s = (
        int.from_bytes(part, "big") for part in (decoded(key["x"]), decoded(key["y"]), signature[:32], signature[32:])
    )
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(encode_dss_signature(r, s), token.rpartition(".")[0].encode(), ec.ECDSA(SHA256()))
    assert orjson.loads(claims)["sub"] == f"system:serviceaccount:{space.name}:default"
