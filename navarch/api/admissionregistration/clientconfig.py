"""How a webhook is reached: by a URL or through a Service."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery import gourl, names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

PORT = 443
_FORM = "; desired format: https://host[/path]"


def default(config: Object) -> None:
    if config.get("service") is not None and config["service"].get("port") is None:
        config["service"]["port"] = PORT


def validate(config: Object, path: str) -> Iterator[FieldError]:
    address, service = config.get("url"), config.get("service")
    if (address is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif address is not None:
        yield from url(address, f"{path}.url")
    elif service is not None:
        yield from _service(service, f"{path}.service")


def url(address: str, path: str) -> Iterator[FieldError]:
    try:
        found = gourl.parse(address)
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    if found.scheme != "https":
        yield invalid_value(path, found.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not found.host:
        yield invalid_value(path, found.host, f"host must be provided{_FORM}")
    if found.user is not None:
        yield invalid_value(path, found.user, "user information is not permitted in the URL")
    if found.fragment:
        yield invalid_value(path, found.fragment, "fragments are not permitted in the URL")
    if found.query:
        yield invalid_value(path, found.query, "query parameters are not permitted in the URL")


def _service(service: Object, path: str) -> Iterator[FieldError]:
    # Upstream takes the two for each other: it is the other one that is missing.
    if not service["namespace"]:
        yield required(f"{path}.name", "service name is required")
    if not service["name"]:
        yield required(f"{path}.namespace", "service namespace is required")
    problems = ", ".join(names.port_number(service["port"]))
    if problems:
        yield invalid_value(f"{path}.port", service["port"], f"port is not valid: {problems}")
    yield from _path(service.get("path") or "", f"{path}.path")


def _path(path: str, where: str) -> Iterator[FieldError]:
    if path in ("", "/"):
        return
    if path == "//":
        yield invalid_value(where, path, "segment[0] may not be empty")
        return
    if not path.startswith("/"):
        yield invalid_value(where, path, "must start with a '/'")
    for index, segment in enumerate(path[1:].removesuffix("/").split("/")):
        if not segment:
            yield invalid_value(where, path, f"segment[{index}] may not be empty")
        else:
            yield from (invalid_value(where, path, f"segment[{index}]: {text}") for text in names.dns1123_subdomain(segment))
