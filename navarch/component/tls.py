"""TLS connections, each on its own socket that does not block.

asyncio's and uvloop's TLS pass every byte through memory buffers between the library and the socket. Here OpenSSL reads from
the socket and writes to it, which costs a third less for each request and half for each event of a watch. And nothing is lost
of what a peer sent before it closed: uvloop gives up what is still in its buffers when the end comes while there is more of it
than a protocol takes at a time. To a protocol (a `BufferedProtocol`) a `TLSTransport` is like any other transport.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

BACKLOG = 1024
HANDSHAKE_TIMEOUT_SECONDS = 10.0
CLOSE_TIMEOUT_SECONDS = 30.0
"""How long a closed connection may take to send what was written before."""
ACCEPT_RETRY_SECONDS = 1.0
"""After the process has run out of file descriptors."""
WRITE_BUFFER_HIGH_BYTES = 64 * 1024
READ_AGAIN_BYTES = 8 * 1024
"""A record so large is likely followed by another."""
READS_IN_A_ROW = 16
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_WAIT = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


def server_context(certificate: str | Path, key: str | Path, client_ca: str | Path | None) -> ssl.SSLContext:
    """TLS for servers; the files are PEM. Whoever has no certificate of `client_ca` is let in, and told so in HTTP.

    No session tickets are given: clients of Kubernetes keep none, and two of them are a third of a handshake's cost.
    Raises OSError or ssl.SSLError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


PLAIN_REQUEST_BYTES = 64 * 1024
PLAIN_ANSWER = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class TLSListener:
    """A listening socket; whoever connects gets a protocol of his own once the handshake is done."""

    def __init__(self, sock: socket.socket, tls: ssl.SSLContext, factory: Callable[[], asyncio.BufferedProtocol]) -> None:
        self.sockets = (sock,)
        self._tls = tls
        self._factory = factory
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[_Handshake] = set()
        self._retry: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept nobody any more. Connections stay."""
        sock = self.sockets[0]
        if self._retry is not None:
            self._retry.cancel()
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        for handshake in list(self._handshakes):
            handshake.fail()

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                accepted, _ = self.sockets[0].accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    raise
                logger.error("cannot accept a connection: %s", error)
                self._loop.remove_reader(self.sockets[0].fileno())
                self._retry = self._loop.call_later(ACCEPT_RETRY_SECONDS, self._resume)
                return
            accepted.setblocking(False)
            with suppress(OSError):
                # It has gone already.
                self._handshakes.add(_Handshake(accepted, self._tls, self._factory, self._handshakes))

    def _resume(self) -> None:
        self._loop.add_reader(self.sockets[0].fileno(), self._accept)


class _Handshake:
    """A connection on its way to being one."""

    def __init__(
        self,
        accepted: socket.socket,
        tls: ssl.SSLContext,
        factory: Callable[[], asyncio.BufferedProtocol],
        under_way: set[_Handshake],
    ) -> None:
        """Raises OSError if the peer has gone."""
        self._socket = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        self._factory = factory
        self._under_way = under_way
        self._loop = asyncio.get_running_loop()
        self._writes = False
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_SECONDS, self.fail)
        self._loop.add_reader(self._socket.fileno(), self._go_on)

    def _go_on(self) -> None:
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._wait_to_write(False)
        except ssl.SSLWantWriteError:
            self._wait_to_write(True)
        except OSError as error:
            # Scanners, clients that do not know our authority, health checks that only connect: their business.
            logger.debug("TLS handshake failed: %s", error)
            if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
                self._answer_plainly()
            self.fail()
        else:
            sock = self._release()
            TLSTransport(sock, self._factory())

    def _answer_plainly(self) -> None:
        """Tell whoever forgot the s of https, in the words of Go's server."""
        with suppress(OSError):
            # What has not been received would break the connection off before the answer is there.
            socket.socket.recv(self._socket, PLAIN_REQUEST_BYTES)
        with suppress(OSError):
            socket.socket.send(self._socket, PLAIN_ANSWER)

    def _wait_to_write(self, wanted: bool) -> None:
        if wanted and not self._writes:
            self._loop.add_writer(self._socket.fileno(), self._go_on)
        elif self._writes and not wanted:
            self._loop.remove_writer(self._socket.fileno())
        self._writes = wanted

    def _release(self) -> ssl.SSLSocket:
        self._under_way.discard(self)
        self._timer.cancel()
        self._wait_to_write(False)
        self._loop.remove_reader(self._socket.fileno())
        return self._socket

    def fail(self) -> None:
        """Give up."""
        self._release().close()


Client = TypeVar("Client", bound=asyncio.BufferedProtocol)


async def connect(host: str, port: int, tls: ssl.SSLContext, server_name: str, factory: Callable[[], Client]) -> Client:
    """Connect to a server whose certificate is for that name. Raises OSError (ssl.SSLError for what TLS refuses)."""
    sock = tls.wrap_socket(await _connected(host, port), server_hostname=server_name, do_handshake_on_connect=False)
    try:
        await _shake_hands(sock)
    except BaseException:
        sock.close()
        raise
    protocol = factory()
    TLSTransport(sock, protocol)
    return protocol


async def _connected(host: str, port: int) -> socket.socket:
    """To the first of the host's addresses that answers."""
    loop, failure = asyncio.get_running_loop(), OSError(f"no address for {host}")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = error
            continue
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _shake_hands(sock: ssl.SSLSocket) -> None:
    loop, fd = asyncio.get_running_loop(), sock.fileno()
    while True:
        ready: asyncio.Future[None] = loop.create_future()
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            loop.add_reader(fd, _set, ready)
        except ssl.SSLWantWriteError:
            loop.add_writer(fd, _set, ready)
        else:
            return
        try:
            await ready
        finally:
            loop.remove_reader(fd)
            loop.remove_writer(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class TLSTransport(asyncio.Transport):
    """One connection after its handshake."""

    def __init__(self, sock: ssl.SSLSocket, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._socket = sock
        self._fd = sock.fileno()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._high = WRITE_BUFFER_HIGH_BYTES
        self._is_paused = False
        """Whether the protocol was asked to stop writing."""
        self._is_reading = True
        self._is_closing = False
        self._is_lost = False
        self._timer: asyncio.TimerHandle | None = None
        self._info: dict[str, Any] = {"socket": sock, "ssl_object": sock}
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._info["peername"] = sock.getpeername()
            self._info["sockname"] = sock.getsockname()
        protocol.connection_made(self)
        if not self._is_lost and self._is_reading and not self._is_closing:
            self._loop.add_reader(self._fd, self._readable)

    # Reading

    def _readable(self) -> None:
        for _ in range(READS_IN_A_ROW):
            try:
                size = self._socket.recv_into(self._protocol.get_buffer(-1))
            except _WAIT:
                return
            except OSError as error:
                self._lose(error)
                return
            if not size:
                self._ended()
                return
            try:
                self._protocol.buffer_updated(size)
            except Exception:
                logger.exception("a protocol failed: its connection is closed")
                self.abort()
                return
            if size < READ_AGAIN_BYTES or not self._is_reading or self._is_closing:
                return

    def _ended(self) -> None:
        self._loop.remove_reader(self._fd)
        self._is_reading = False
        if not self._protocol.eof_received():
            self.close()

    def pause_reading(self) -> None:
        if self._is_reading and not self._is_closing:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.add_reader(self._fd, self._readable)

    def is_reading(self) -> bool:
        return self._is_reading and not self._is_closing

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep for when the peer takes more. Nothing is sent once the connection is closing."""
        if self._is_closing:
            return
        if not self._unsent:
            sent = self._send(data)
            if sent == len(data) or self._is_lost:
                return
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._fd, self._writable)
        else:
            self._unsent += data
        if len(self._unsent) > self._high and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """Give a record at a time to the socket; how many bytes it has taken."""
        sent = 0
        try:
            sent = size = self._socket.send(data)
            while sent < len(data):
                size = self._socket.send(memoryview(data)[sent:])
                sent += size
        except _WAIT:
            pass
        except OSError as error:
            self._lose(error)
        return sent

    def _writable(self) -> None:
        with memoryview(self._unsent) as view:
            sent = self._send(view)
        if self._is_lost:
            return
        del self._unsent[:sent]
        if self._is_paused and len(self._unsent) <= self._high // 4:
            self._is_paused = False
            self._protocol.resume_writing()
        if not self._unsent and not self._is_lost:
            self._loop.remove_writer(self._fd)
            if self._is_closing:
                self._finish()

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = WRITE_BUFFER_HIGH_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    # The end

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._info.get(name, default)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Send what was written, say goodbye, close."""
        if self._is_closing:
            return
        self._is_closing = True
        self._loop.remove_reader(self._fd)
        if self._unsent:
            self._timer = self._loop.call_later(CLOSE_TIMEOUT_SECONDS, self.abort)
        else:
            self._finish()

    def abort(self) -> None:
        """Close now."""
        self._lose(None)

    def _finish(self) -> None:
        with suppress(OSError, ValueError):
            # The peer is told; its own farewell is not waited for.
            self._socket.unwrap()
        self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        if self._timer is not None:
            self._timer.cancel()
        self._loop.call_soon(self._lost, error)

    def _lost(self, error: OSError | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._unsent.clear()
            self._socket.close()
