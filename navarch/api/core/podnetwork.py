"""How a pod is called and whom it asks for other names; validation (k8s.io/kubernetes/pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required, too_long

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
NAMESERVERS_LIMIT = 3
SEARCHES_LIMIT = 32
SEARCH_CHARACTERS_LIMIT = 2048
HOST_NAME_LIMIT = 64


def validate_dns_policy(policy: str, path: str) -> Iterator[FieldError]:
    if not policy:
        yield required(path)
    elif policy not in DNS_POLICIES:
        yield not_supported(path, policy, DNS_POLICIES)


def validate_dns_config(config: Object | None, policy: str, path: str) -> Iterator[FieldError]:
    if policy == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            yield required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
            return
    if not config:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > NAMESERVERS_LIMIT:
        yield invalid_value(f"{path}.nameservers", servers, f"must not have more than {NAMESERVERS_LIMIT} nameservers")
    for index, server in enumerate(servers):
        for text in names.ip_address(server):
            yield invalid_value(f"{path}.nameservers[{index}]", server, text)
    if len(searches) > SEARCHES_LIMIT:
        yield invalid_value(f"{path}.searches", searches, f"must not have more than {SEARCHES_LIMIT} search paths")
    if len(" ".join(searches)) > SEARCH_CHARACTERS_LIMIT:
        text = f"must not have more than {SEARCH_CHARACTERS_LIMIT} characters (including spaces) in the search list"
        yield invalid_value(f"{path}.searches", searches, text)
    for index, search in enumerate(searches):
        # The root, and names with underscores, may be looked in (KEP-4427).
        if search != ".":
            for text in names.dns1123_subdomain_with_underscore(search.removesuffix(".")):
                yield invalid_value(f"{path}.searches[{index}]", search, text)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield required(f"{path}.options[{index}]", "must not be empty")


def validate_host_name_override(spec: Object, path: str) -> Iterator[FieldError]:
    """`spec.hostnameOverride`, at `path` (KEP-4762)."""
    name = spec.get("hostnameOverride")
    if name is None:
        return
    if spec.get("setHostnameAsFQDN"):
        yield forbidden_field(path, "may not be specified when setHostnameAsFQDN is true")
    if spec.get("hostNetwork"):
        yield forbidden_field(path, "may not be specified when hostNetwork is true")
    if len(name) > HOST_NAME_LIMIT:
        yield too_long(path, HOST_NAME_LIMIT)
    for text in names.dns1123_subdomain(name):
        yield invalid_value(path, name, text)


def validate_host_aliases(aliases: Iterable[Object], path: str) -> Iterator[FieldError]:
    for index, alias in enumerate(aliases):
        address = alias.get("ip", "")
        for text in names.ip_address(address):
            yield invalid_value(f"{path}[{index}].ip", address, text)
        for position, name in enumerate(alias.get("hostnames") or ()):
            for text in names.dns1123_subdomain(name):
                yield invalid_value(f"{path}[{index}].hostnames[{position}]", name, text)
