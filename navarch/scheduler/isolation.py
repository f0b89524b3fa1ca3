"""Calls of plugins that are not our own: what they raise fails one pod, and what hangs is given up.

A guarded plugin runs in a thread of its own while the scheduler waits for it, so what it sees does not change under it. One
that takes too long is interrupted, and until it has come to its end every further call of it fails at once.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

CALL_LIMIT_SECONDS = 1.0
"""How long one call of a user's plugin may take."""
INTERRUPTION_LIMIT_SECONDS = 0.1
"""How long to wait for one that has been interrupted."""
TOLD_LIMIT = 100
"""How many different failures of one plugin are logged with their tracebacks."""


WORDS = {
    "Filter": 'running "{plugin}" filter plugin',
    "AddPod": 'running AddPod on PreFilter plugin "{plugin}"',
    "RemovePod": 'running RemovePod on PreFilter plugin "{plugin}"',
    "Score": 'running Score plugins: plugin "{plugin}" failed with',
    "NormalizeScore": 'running Normalize on Score plugins: plugin "{plugin}" failed with',
}
"""What kube-scheduler says at these extension points; at the others the same of each."""


class PluginError(Exception):
    """A plugin failed at an extension point; the text is what the pod's event says."""

    def __init__(self, plugin: str, point: str, problem: str) -> None:
        words = WORDS.get(point, f'running {point} plugin "{{plugin}}"')
        super().__init__(f"{words.format(plugin=plugin)}: {problem}")
        self.plugin = plugin


def described(error: BaseException) -> str:
    """What an exception says, with what it is where its text alone is none."""
    text = str(error)
    speaks = text and isinstance(error, ValueError | RuntimeError | OSError)
    return text if speaks else f"{type(error).__name__}: {text}" if text else type(error).__name__


class Interrupted(BaseException):
    """Thrown into a call that took too long. Not an Exception, lest the plugin catches it by accident."""


class Guard:
    """Calls one plugin's methods within a time limit."""

    def with_default(self, function: Callable[..., T], default: T) -> Callable[..., T]:
        """The same function, guarded; `default` is for when it fails, which is only logged: no pod is the worse for it."""
        told: set[str] = set()

        def guarded(*args: Any) -> T:
            try:
                found: T = self.call(function, *args)
                return found
            except Exception as error:
                if len(told) < TOLD_LIMIT and (text := described(error)) not in told:
                    told.add(text)
                    logger.warning(
                        "a plugin's %s failed: %s", getattr(function, "__qualname__", function), text, exc_info=error
                    )
                return default

        return guarded

    def __init__(self, limit_seconds: float = CALL_LIMIT_SECONDS) -> None:
        self.limit_seconds = limit_seconds
        self._executor: ThreadPoolExecutor | None = None
        self._running: Future[Any] | None = None
        self._thread_id = 0

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Raises whatever `function` raises, or TimeoutError."""
        if self._running is not None and not self._running.done():
            raise TimeoutError("an earlier call has not come back yet")
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="scheduler-plugin")
        self._running = self._executor.submit(self._run, function, args)
        try:
            return self._running.result(self.limit_seconds)
        except TimeoutError:
            if self._running.done():
                raise  # Its own.
            self._interrupt()
            raise TimeoutError(f"gave no answer within {self.limit_seconds:g}s") from None

    def stop(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self._thread_id = threading.get_ident()
        try:
            return function(*args)
        except Interrupted:
            raise TimeoutError("interrupted") from None
        except Exception:
            raise
        except BaseException as error:
            # Such as SystemExit, which would end the process that waits for the answer.
            raise RuntimeError(described(error)) from error

    def _interrupt(self) -> None:
        # Reaches Python code at its next instruction; a call into C that never returns keeps its thread.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), ctypes.py_object(Interrupted))
        assert self._running is not None
        futures.wait((self._running,), INTERRUPTION_LIMIT_SECONDS)
