"""/healthz, /livez, /readyz (whole, verbose and check by check), /version and /metrics."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence

import orjson

from navarch import __version__
from navarch.apimachinery import errors
from navarch.apiserver.request import APIRequest
from navarch.component import metrics
from navarch.component.httpserver import Response
from navarch.component.metrics import Registry

Check = Callable[[], str]
"""Returns what is wrong, or ""."""

MAJOR, MINOR = "1", "36"
_TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))


class Health:
    """The server's own state."""

    def __init__(self, live: Mapping[str, Check], ready: Mapping[str, Check], registries: Sequence[Registry] = ()) -> None:
        """`registries` hold metrics beside those of the whole process."""
        self._registries = tuple(registries)
        self._checks = {"livez": dict(live), "healthz": dict(live), "readyz": {**live, **ready}}

    @property
    def paths(self) -> list[str]:
        """Everything that is answered here."""
        checks = [f"/{endpoint}/{name}" for endpoint, checks in self._checks.items() for name in checks]
        return ["/metrics", "/version", *(f"/{endpoint}" for endpoint in self._checks), *checks]

    @property
    def is_ready(self) -> bool:
        return not any(check() for check in self._checks["readyz"].values())

    def answer(self, request: APIRequest) -> Response | None:
        """The response for one of these paths, None for any other."""
        parts = request.info.path.strip("/").split("/")
        if parts[0] in self._checks:
            return self._report(request, parts[0], parts[1:])
        match parts:
            case ["version"]:
                return Response(200, (("Content-Type", "application/json"),), orjson.dumps(version()))
            case ["metrics"]:
                return Response(200, (("Content-Type", metrics.CONTENT_TYPE),), metrics.render(*self._registries))
        return None

    def _report(self, request: APIRequest, endpoint: str, rest: list[str]) -> Response:
        checks = self._checks[endpoint]
        excluded = set(request.query.get("exclude", ()))
        if rest:
            check = checks.get("/".join(rest))
            if check is None:
                raise errors.no_such_path()
            problem = check()
            return Response(500 if problem else 200, _TEXT, f"internal server error: {problem}".encode() if problem else b"ok")
        lines, failed = [], False
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif check():
                failed = True
                lines.append(f"[-]{name} failed: reason withheld")
            else:
                lines.append(f"[+]{name} ok")
        if failed:
            return Response(500, _TEXT, "\n".join([*lines, f"{endpoint} check failed", ""]).encode())
        if "verbose" in request.query:
            return Response(200, _TEXT, "\n".join([*lines, f"{endpoint} check passed", ""]).encode())
        return Response(200, _TEXT, b"ok")


def version() -> dict[str, str]:
    """What /version answers: the Kubernetes version whose API is spoken, marked as ours."""
    return {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": f"v{MAJOR}.{MINOR}.0+navarch-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }
