"""The kernel's packet filter through libnftables, loaded when first used; whether a table is there through netlink.

A text of commands is one transaction. The library is called in a thread of its own, since the kernel may take its time; calls
are one after the other. It acts in the network namespace of the calling process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

from navarch.network.netlink import attribute, request

LIBRARY = "libnftables.so.1"
# After a transaction of this size the library leaves much memory free, but not to others.
TRIM_TEXT_BYTES = 100_000
ERROR_LIMIT_CHARACTERS = 2000


_NETLINK_NETFILTER = 12
_GET_TABLE = 10 << 8 | 1
_TABLE_NAME = 1


def has_table(name: str) -> bool:
    """Whether there is an `ip` table of that name. libnftables would read every rule of the machine to say so."""
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + attribute(_TABLE_NAME, name.encode() + b"\0")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as connection:
        connection.bind((0, 0))
        try:
            request(connection, _GET_TABLE, body)
        except FileNotFoundError:
            return False
    return True


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
        text = commands.encode()
        failed = library.nft_run_cmd_from_buffer(context, text)
        if len(text) >= TRIM_TEXT_BYTES:
            with contextlib.suppress(AttributeError, OSError):
                ctypes.CDLL(None).malloc_trim(0)
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
