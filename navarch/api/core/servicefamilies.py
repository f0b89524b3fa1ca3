"""Which addresses a Service is to have, and of which families, as far as it is known before any is handed out
(pkg/registry/core/service/storage).

These are no defaults: whoever wrote the Service does not manage them. This cluster has IPv4 addresses for Services, and no
others; only a headless Service without a selector, behind which may be anything, is of both families.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from navarch.apimachinery.errors import FieldError, Object, invalid_value

PRIMARY, SECONDARY = "IPv4", "IPv6"
SINGLE, REQUIRE_DUAL = "SingleStack", "RequireDualStack"
UNCONFIGURED = "not configured on this cluster"


def is_headless(spec: Object) -> bool:
    """Whether a Service is told to have no address."""
    return spec.get("clusterIPs") == ["None"]


def is_open(spec: Object) -> bool:
    """Whether a Service neither has an address nor says what is behind it."""
    return spec.get("clusterIP") == "None" and not spec.get("selector")


def settle(spec: Object, before: Object | None) -> None:
    """Bring the fields in line with one another, and with the Service that there was (None: it is new). Changes `spec`."""
    _addresses(spec, before or {})
    if spec["type"] != "ExternalName":
        _families(spec, before or {})


def _addresses(spec: Object, before: Object) -> None:
    """The first address stands in two fields, of which clients may know one only."""
    if before and "ExternalName" not in (spec["type"], before["type"]):
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
    one, many = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    was, were = before.get("clusterIP", ""), before.get("clusterIPs") or []
    if not before:
        if one and not many:
            spec["clusterIPs"] = [one]
    elif one == was:
        if were and not many:
            spec["clusterIPs"] = were
    elif many == were:
        spec.pop("clusterIPs", None)
        if one:
            spec["clusterIPs"] = [one]


def _families(spec: Object, before: Object) -> None:
    if spec.get("ipFamilyPolicy") is None:
        spec["ipFamilyPolicy"] = before.get("ipFamilyPolicy") or (REQUIRE_DUAL if is_open(spec) else SINGLE)
    is_single, families = spec["ipFamilyPolicy"] == SINGLE, list(spec.get("ipFamilies") or ())
    if before and is_single and families == before.get("ipFamilies"):
        families = families[:1]
    for address in spec.get("clusterIPs") or ():
        if not families and _family(address) in ("", PRIMARY):
            families = [PRIMARY]
    if not families and not spec.get("clusterIPs"):
        families = [PRIMARY]
    if is_open(spec) and len(families) == 1 and not is_single:
        families.append(SECONDARY if families[0] == PRIMARY else PRIMARY)
    if families:
        spec["ipFamilies"] = families


def _family(address: str) -> str:
    """Of an address; "" of what is none."""
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        return ""


def validate(spec: Object) -> Iterator[FieldError]:
    """What the cluster does not have. The fields make sense by themselves, and are settled."""
    families, addresses, policy = spec.get("ipFamilies") or [], spec.get("clusterIPs") or [], spec.get("ipFamilyPolicy")
    problems = []
    if policy == SINGLE:
        for what, values in (("cluster IPs", addresses), ("IP families", families)):
            if len(values) == 2:
                text = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                problems.append(invalid_value("spec.ipFamilyPolicy", policy, text))
    for index, address in enumerate(addresses):
        if index >= len(families) and _family(address) == SECONDARY:
            text = f"{SECONDARY} is {UNCONFIGURED}"
            problems.append(invalid_value(f"spec.clusterIPs[{index}]", addresses, text))
    yield from problems
    if problems or is_open(spec):
        return
    if policy == REQUIRE_DUAL:
        yield invalid_value("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    for index, family in enumerate(families):
        if family != PRIMARY:
            yield invalid_value(f"spec.ipFamilies[{index}]", family, UNCONFIGURED)


def validate_update(now: Object, before: Object) -> Iterator[FieldError]:
    """That the first address and family stay, and a second one goes only with the policy that asked for it."""
    if "ExternalName" in (now["type"], before["type"]):
        return
    policy = now.get("ipFamilyPolicy")
    for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        if policy != SINGLE and 0 < len(now.get(field) or ()) < len(before.get(field) or ()):
            yield invalid_value("spec.ipFamilyPolicy", policy, f"must be 'SingleStack' to release the secondary {what}")
    if is_headless(now) and is_headless(before):
        return
    yield from _unchanged(now, before, "clusterIPs", "primary clusterIP can not be unset")
    if not is_headless(now) and not is_headless(before):
        yield from _unchanged(now, before, "ipFamilies", "primary ipFamily can not be unset")


def _unchanged(now: Object, before: Object, field: str, unset: str) -> Iterator[FieldError]:
    values, former = now.get(field) or [], before.get(field) or []
    if former and not values:
        yield invalid_value(f"spec.{field}[0]", values, unset)
    elif former and values[0] != former[0]:
        yield invalid_value(f"spec.{field}[0]", values, "may not change once set")
    elif len(values) == len(former) == 2 and values[1] != former[1]:
        where = f"spec.{field}[1]" if field == "clusterIPs" else f"spec.{field}[0]"
        yield invalid_value(where, values, "may not change once set")
