"""How new what a request is answered from has to be, and what it is answered where the store cannot do its work (KEP-2340).

Reads that name no resourceVersion see whatever was written before they were asked, by any server; "0" is content with
anything, another one with nothing older. Writes build on what is newest, and so do requests about other things than objects.
"""

from __future__ import annotations

import re

from navarch.apimachinery import errors
from navarch.apimachinery.errors import StatusError
from navarch.apiserver.request import APIRequest
from navarch.storage.backend import StorageError, StorageFullError, StorageUnavailableError
from navarch.storage.store import Store

REVISION = re.compile(r"[0-9]{1,19}\Z", re.ASCII)
RETRY_SECONDS = 1


async def catch_up(store: Store, request: APIRequest) -> None:
    """Wait until the store's index is new enough for a request. What is wrong with the request is for others to say."""
    verb = request.info.verb
    reads = verb in ("get", "list", "watch")
    version = request.option("resourceVersion") if reads else ""
    try:
        if not (version or (reads and request.option("continue"))):
            await store.fresh()
        elif REVISION.match(version) and (verb != "watch" or request.flag("sendInitialEvents")):
            await store.reach(int(version))
    except StorageError as error:
        raise _answer(error) from error


class _StorageErrors:
    """Answers to give where the store could not do it."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StorageError):
            raise _answer(error) from error


# One for all, as every write enters it.
storage_errors = _StorageErrors()


def _answer(error: StorageError) -> StatusError:
    if isinstance(error, StorageFullError):
        return errors.status_error(507, "InternalError", str(error))
    if isinstance(error, StorageUnavailableError):
        details = {"retryAfterSeconds": RETRY_SECONDS}
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return errors.status_error(503, "ServiceUnavailable", str(error), details, headers)
    return errors.internal_error(str(error))
