"""The kernel's packet filter through libnftables, loaded when first used.

A text of commands is one transaction. The library is called in a thread of its own, since the kernel may take its time; calls
are one after the other. It acts in the network namespace of the calling process.
"""

from __future__ import annotations

import asyncio
import ctypes
from concurrent.futures import ThreadPoolExecutor

LIBRARY = "libnftables.so.1"
ERROR_LIMIT_CHARACTERS = 2000


class NftablesError(Exception):
    """The kernel or the library refused a transaction; nothing of it was done."""


class Nftables:
    """One handle of libnftables."""

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._context: ctypes.c_void_p | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nftables")

    async def run(self, commands: str) -> str:
        """Carry out `commands` and return what they print. Raises NftablesError, or OSError without the library."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_now, commands)

    def run_now(self, commands: str) -> str:
        """`run`, in the calling thread."""
        library, context = self._open()
        failed = library.nft_run_cmd_from_buffer(context, commands.encode())
        if failed:
            message = library.nft_ctx_get_error_buffer(context).decode("utf-8", "replace")
            raise NftablesError(message[:ERROR_LIMIT_CHARACTERS].strip() or "the transaction failed")
        output: bytes = library.nft_ctx_get_output_buffer(context)
        return output.decode("utf-8", "replace")

    def close(self) -> None:
        """Give back the handle."""
        self._thread.shutdown()
        if self._library is not None:
            self._library.nft_ctx_free(self._context)
            self._library = self._context = None

    def _open(self) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
        if self._library is None or self._context is None:
            library = ctypes.CDLL(LIBRARY)
            library.nft_ctx_new.restype = ctypes.c_void_p
            library.nft_ctx_new.argtypes = [ctypes.c_uint32]
            library.nft_ctx_free.argtypes = [ctypes.c_void_p]
            library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
            for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
                getattr(library, name).argtypes = [ctypes.c_void_p]
            for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
                getattr(library, name).argtypes = [ctypes.c_void_p]
                getattr(library, name).restype = ctypes.c_char_p
            context = ctypes.c_void_p(library.nft_ctx_new(0))
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            self._library, self._context = library, context
        return self._library, self._context
