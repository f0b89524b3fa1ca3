"""Probes of containers, and what is done after they start and before they stop: defaults and validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from navarch.api.core.nonnegative import nonnegative
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
HOOKS = ("postStart", "preStop")
SCHEMES = ("HTTP", "HTTPS")
_DEFAULTS = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")

# Defaults


def default(container: Object) -> None:
    """Fill in what the probes and hooks of a container leave open. Changes it."""
    for name in PROBES:
        probe = container.get(name)
        if probe is not None:
            for field, value in _DEFAULTS:
                if not probe.get(field):
                    probe[field] = value
            _default_http(probe.get("httpGet"))
            if probe.get("grpc") is not None:
                probe["grpc"].setdefault("service", "")
    lifecycle = container.get("lifecycle")
    if lifecycle is not None:
        # An alpha interface that is not offered (KEP-4960).
        if lifecycle.pop("stopSignal", None) is not None and not lifecycle:
            del container["lifecycle"]
        for hook in HOOKS:
            if lifecycle.get(hook) is not None:
                _default_http(lifecycle[hook].get("httpGet"))


def _default_http(action: Object | None) -> None:
    if action is not None:
        if not action.get("path"):
            action["path"] = "/"
        if not action.get("scheme"):
            action["scheme"] = "HTTP"


# Validation


def validate(probe: Object, kind: str, grace_seconds: int | None, path: str) -> Iterator[FieldError]:
    """One probe; `kind` is the name of its field."""
    yield from _handler(probe, grace_seconds, path)
    for field in _COUNTS:
        if probe.get(field, 0) < 0:
            yield nonnegative(f"{path}.{field}", probe[field])
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield invalid_value(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if kind == "readinessProbe":
        if grace is not None:
            yield invalid_value(f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
    elif probe["successThreshold"] != 1:
        yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def validate_lifecycle(lifecycle: Object, grace_seconds: int | None, path: str) -> Iterator[FieldError]:
    for hook in HOOKS:
        if lifecycle.get(hook) is not None:
            yield from _handler(lifecycle[hook], grace_seconds, f"{path}.{hook}")


def _handler(action: Object, grace_seconds: int | None, path: str) -> Iterator[FieldError]:
    found = [kind for kind in HANDLERS if action.get(kind) is not None]
    if not found:
        yield required(path, "must specify a handler type")
        return
    kind, where = found[0], f"{path}.{found[0]}"
    if kind == "sleep":
        seconds = action["sleep"].get("seconds", 0)
        if seconds < 0 or (grace_seconds is not None and seconds > grace_seconds):
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
            yield invalid_value(where, seconds, text)
    else:
        yield from _CHECKS[kind](action[kind], where)
    for extra in found[1:]:
        yield forbidden_field(f"{path}.{extra}", "may not specify more than 1 handler type")


def _exec(action: Object, path: str) -> Iterator[FieldError]:
    if not action.get("command"):
        yield required(f"{path}.command")


def _http(action: Object, path: str) -> Iterator[FieldError]:
    if not action.get("path"):
        yield required(f"{path}.path")
    yield from _port(action, path)
    if action.get("scheme") not in SCHEMES:
        yield not_supported(f"{path}.scheme", action.get("scheme", ""), SCHEMES)
    for header in action.get("httpHeaders") or ():
        for text in names.http_header_name(header.get("name", "")):
            yield invalid_value(f"{path}.httpHeaders", header.get("name", ""), text)


def _port(action: Object, path: str) -> Iterator[FieldError]:
    port = action.get("port", 0)
    for text in names.port_number(port) if isinstance(port, int) else names.port_name(port):
        yield invalid_value(f"{path}.port", port, text)


_CHECKS: Mapping[str, Callable[[Object, str], Iterator[FieldError]]] = {
    "exec": _exec,
    "httpGet": _http,
    "tcpSocket": _port,
    "grpc": _port,
}
