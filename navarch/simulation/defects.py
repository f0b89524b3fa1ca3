"""Takes an exception that nobody has foreseen, which components log and go on, for what it is: a finding."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

COMPONENTS = "navarch"
"""The logger above those of all components."""


class Defects(logging.Handler):
    """Of what runs on one loop: others may live in the same process. A context manager, entered once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, report: Callable[[str, str], None]) -> None:
        """`report` is called with "" and what has happened."""
        super().__init__(logging.ERROR)
        self._loop = loop
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None and asyncio._get_running_loop() is self._loop:
            error = record.exc_info[1]
            self._report("", f"{record.getMessage()}: {type(error).__name__}: {error}")

    def __enter__(self) -> Self:
        logging.getLogger(COMPONENTS).addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logging.getLogger(COMPONENTS).removeHandler(self)
