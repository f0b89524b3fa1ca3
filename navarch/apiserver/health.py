"""/healthz, /livez, /readyz (whole, verbose and check by check), /version, /metrics and /metrics/slis."""

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
_JSON = (("Content-Type", "application/json"),)
_TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))


class Health:
    """The server's own state."""

    def __init__(
        self,
        live: Mapping[str, Check],
        ready: Mapping[str, Check],
        registries: Sequence[Registry] = (),
        healthy: Mapping[str, Check] | None = None,
    ) -> None:
        """`registries` hold metrics beside those of the whole process; `healthy`: what /healthz asks beside `live`."""
        self._registries = tuple(registries)
        self._checks = {"livez": dict(live), "healthz": {**live, **(healthy or {})}, "readyz": {**live, **ready}}
        self._indicators = indicators = Registry()
        text = "This metric records the result of a single healthcheck."
        self._state = indicators.gauge("kubernetes_healthcheck", text, "name", "type")
        text = "This metric records the results of all healthcheck."
        self._results = indicators.counter("kubernetes_healthchecks_total", text, "name", "status", "type")

    @property
    def paths(self) -> list[str]:
        """Everything that is answered here."""
        checks = [f"/{endpoint}/{name}" for endpoint, checks in self._checks.items() for name in checks]
        return ["/metrics", "/metrics/slis", "/version", *(f"/{endpoint}" for endpoint in self._checks), *checks]

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
                return Response(200, _JSON, orjson.dumps(version(), option=orjson.OPT_INDENT_2))
            case ["metrics"]:
                return Response(200, (("Content-Type", metrics.CONTENT_TYPE),), metrics.render(*self._registries))
            case ["metrics", "slis"]:
                return Response(200, (("Content-Type", metrics.CONTENT_TYPE),), metrics.text(self._indicators))
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
                excluded.remove(name)
                lines.append(f"[+]{name} excluded: ok")
                continue
            is_broken = bool(check())
            failed = failed or is_broken
            lines.append(f"[-]{name} failed: reason withheld" if is_broken else f"[+]{name} ok")
            self._state.set(0 if is_broken else 1, name, endpoint)
            self._results.add(1, name, "error" if is_broken else "success", endpoint)
        if excluded:
            quoted = ", ".join(orjson.dumps(name).decode() for name in sorted(excluded))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
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
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": str(int(MINOR) - 1),
        "gitVersion": f"v{MAJOR}.{MINOR}.0+navarch-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }
