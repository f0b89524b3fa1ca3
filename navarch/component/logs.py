"""Log lines as people and machines read them: one line an event, UTC time, level, component, text."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

_LEVELS = {logging.DEBUG: "D", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        text = f"{stamp}Z {_LEVELS.get(record.levelno, '?')} {record.name.removeprefix('navarch.')}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure(verbosity: int = 0) -> None:
    """Send logs to standard error; `verbosity` 1 and more shows debug lines of navarch itself."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("navarch").setLevel(logging.DEBUG if verbosity else logging.INFO)
