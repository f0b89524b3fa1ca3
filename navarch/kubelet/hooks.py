"""Lifecycle hooks of containers, postStart and preStop, and the words for those that fail."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.cri.client import CRIError, RuntimeService
from navarch.kubelet import handlers, httpget
from navarch.kubelet.handlers import Target
from navarch.kubelet.httpget import RequestError

USER_AGENT = "kube-lifecycle/1.36"
HTTP_FALLBACK = "LifecycleHTTPFallback"

Warn = Callable[[str, str], None]
"""(reason, message) of a Warning event about the pod."""


async def run(runtime: RuntimeService, pod: Object, target: Target, handler: Object, timeout_seconds: float, warn: Warn) -> str:
    """Run a handler; returns "" or why it failed."""
    metadata, name = pod["metadata"], target.container["name"]
    where = f'for Container "{name}" in Pod "{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})" failed'
    if "sleep" in handler:
        await clock.sleep(min(float(handler["sleep"].get("seconds") or 0), timeout_seconds))
        return ""
    if "exec" in handler:
        command = list(handler["exec"].get("command") or ())
        error, output = await _exec(runtime, target.container_id, command, int(timeout_seconds))
        shown = " ".join(command)
        return f'Exec lifecycle hook ([{shown}]) {where} - error: {error}, message: "{output}"' if error else ""
    if "httpGet" in handler:
        try:
            await _get(target, handler["httpGet"], timeout_seconds, warn)
        except (ValueError, RequestError) as refused:
            return f"HTTP lifecycle hook ({handler['httpGet'].get('path') or ''}) {where} - error: {refused}"
        return ""
    return f"Cannot run handler: invalid handler: {handler}"


async def _exec(runtime: RuntimeService, container_id: str, command: list[str], timeout_seconds: int) -> tuple[str, str]:
    """("" or what went wrong, the output)."""
    try:
        answer = await runtime.exec_sync(container_id, command, timeout_seconds)
    except CRIError as error:
        return error.rpc_text, ""
    output = (answer.stdout + answer.stderr)[: handlers.OUTPUT_LIMIT_BYTES].decode("utf-8", "replace")
    if answer.exit_code == 0:
        return "", output
    errors = answer.stderr[: handlers.OUTPUT_LIMIT_BYTES].decode("utf-8", "replace")
    return f"command '{' '.join(command)}' exited with {answer.exit_code}: {errors}", output


async def _get(target: Target, action: Object, timeout_seconds: float, warn: Warn) -> None:
    """Any answer will do. Raises ValueError, and RequestError where there is none."""
    url, headers = handlers.url_of(target, action), handlers.headers_of(action, USER_AGENT)
    try:
        await httpget.fetch(url, headers, timeout_seconds)
    except RequestError as error:
        if httpget.PLAIN_ANSWER not in str(error):
            raise
        headers = [(name, value) for name, value in headers if name.lower() != "authorization"]
        try:
            await httpget.fetch(f"http{url.removeprefix('https')}", headers, timeout_seconds)
        except RequestError:
            # What counts is what was asked for.
            raise error from None
        host = urlsplit(url).netloc
        warn(HTTP_FALLBACK, f"request to HTTPS lifecycle hook {host} got HTTP response, retry with HTTP succeeded")
