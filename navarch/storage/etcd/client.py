"""A thin etcd v3 client: calls, one watch, several endpoints.

Rules: every call has a deadline; a failed call raises `EtcdError`, which says whether it may have been done all the same.
An endpoint that does not answer gives way to the next; what cannot have reached etcd is tried at each of them. Calls are all
linearizable. Whoever answers must always be the same etcd cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from navarch.component import clock
from navarch.storage.etcd import etcd_pb2 as pb
from navarch.storage.etcd.config import EtcdConfig
from navarch.storage.etcd.connection import CallError, Connection, connect

if TYPE_CHECKING:
    import ssl

READ_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 0.05
CONNECT_TIMEOUT_SECONDS = 3.0
# Nobody is asked again sooner whether he takes connections now.
CONNECT_BACKOFF_SECONDS = 0.05

EVERYTHING = b"\0"
"""As the beginning and the end of a range: all keys there are. As a key: none that there is."""

Response = TypeVar("Response")


class EtcdError(Exception):
    """A call that failed. `code` is a gRPC status name such as ``UNAVAILABLE``, the text says what and where."""

    def __init__(self, code: str, message: str, endpoint: str, *, reached: bool = True) -> None:
        super().__init__(f"etcd at {endpoint}: {message}")
        self.code = code
        self.message = message
        self.reached = reached
        """False: etcd cannot have got it."""

    @property
    def is_passing(self) -> bool:
        """Whether etcd, or the way to it, is out of order; not the request."""
        return self.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "INTERNAL")

    @property
    def is_overload(self) -> bool:
        """etcd has more to do than it can, and has not done it."""
        return self.code == "RESOURCE_EXHAUSTED" and "too many requests" in self.message

    @property
    def is_compacted(self) -> bool:
        return self.code == "OUT_OF_RANGE" and "compacted" in self.message

    @property
    def is_full(self) -> bool:
        return self.code == "RESOURCE_EXHAUSTED" and "space" in self.message

    @property
    def is_too_large(self) -> bool:
        return (self.code == "INVALID_ARGUMENT" and "too large" in self.message) or (
            self.code == "RESOURCE_EXHAUSTED" and "larger than max" in self.message
        )


class EtcdClient:
    """Calls to one etcd cluster. Belongs to one event loop, from the first call on."""

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        self._current = 0
        self._connections: dict[str, Connection] = {}
        self._open: set[Connection] = set()
        """Also those that take no more calls, but have some under way."""
        self._connecting: dict[str, asyncio.Task[Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._is_closed = False
        self._cluster_id = 0

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        return await self._reading("/etcdserverpb.KV/Range", request, pb.RangeResponse)

    async def revision(self) -> int:
        """The newest revision, as of some moment during this call."""
        # There is no such key; asking for one is the cheapest of all reads.
        response = await self.range(pb.RangeRequest(key=EVERYTHING, count_only=True))
        return int(response.header.revision)

    async def status(self) -> pb.StatusResponse:
        return await self._reading("/etcdserverpb.Maintenance/Status", pb.StatusRequest(), pb.StatusResponse)

    async def txn(self, request: pb.TxnRequest, timeout_seconds: float) -> pb.TxnResponse:
        """Tried once; at other endpoints only if it cannot have reached etcd."""
        for attempt in range(len(self._config.endpoints)):
            try:
                response: pb.TxnResponse = await self._call("/etcdserverpb.KV/Txn", request, pb.TxnResponse, timeout_seconds)
                return response
            except EtcdError as error:
                if error.reached or attempt == len(self._config.endpoints) - 1:
                    raise
        raise AssertionError("unreachable")

    async def compact(self, revision: int) -> None:
        """Forget what was before a revision. It is no error if that has been done already."""
        try:
            request = pb.CompactionRequest(revision=revision)
            await self._reading("/etcdserverpb.KV/Compact", request, pb.CompactionResponse)
        except EtcdError as error:
            if not error.is_compacted:
                raise

    async def watch(self, start_revision: int) -> AsyncGenerator[Sequence[pb.WatchResponse], None]:
        """Every change of any key from a revision on, as many as have come each time; the first says that the watch stands.

        Ends with EtcdError.
        """
        endpoint = self.endpoint
        create = pb.WatchCreateRequest(key=EVERYTHING, range_end=EVERYTHING, start_revision=start_revision)
        try:
            connection = await self._connection(endpoint)
            # A member that has lost the others ends the watch instead of being silent.
            request, headers = pb.WatchRequest(create_request=create).SerializeToString(), (("hasleader", "true"),)
            async with aclosing(connection.stream("/etcdserverpb.Watch/Watch", request, headers)) as batches:
                async for messages in batches:
                    responses = [pb.WatchResponse.FromString(message) for message in messages]
                    for response in responses:
                        self._check(response.header, endpoint)
                        if response.compact_revision:
                            raise EtcdError("OUT_OF_RANGE", f"revision {start_revision} has been compacted", endpoint)
                        if response.canceled:
                            raise EtcdError("UNAVAILABLE", response.cancel_reason or "the watch was cancelled", endpoint)
                    yield responses
            raise EtcdError("UNAVAILABLE", "the watch has ended", endpoint)
        except CallError as error:
            raise self._failed(error, endpoint) from None

    @property
    def endpoint(self) -> str:
        """Who is asked next."""
        return self._config.endpoints[self._current]

    def avoid(self, endpoint: str) -> None:
        """Go on with the next endpoint, unless that has been done already."""
        if self.endpoint == endpoint:
            self._current = (self._current + 1) % len(self._config.endpoints)

    async def close(self) -> None:
        self._is_closed = True
        connecting, self._connecting = list(self._connecting.values()), {}
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        self._connections.clear()
        connections = list(self._open)
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.wait_closed() for connection in connections))

    async def _reading(self, path: str, request: Any, response: type[Response]) -> Response:
        """A call that may be made again, at whatever endpoint, as long as there is time."""
        deadline = clock.monotonic() + READ_TIMEOUT_SECONDS
        unreachable: set[int] = set()
        while True:
            endpoint = self._current
            try:
                answer: Response = await self._call(path, request, response, max(0.001, deadline - clock.monotonic()))
                return answer
            except EtcdError as error:
                if not error.reached:
                    unreachable.add(endpoint)
                if not error.is_passing or len(unreachable) == len(self._config.endpoints):
                    raise
                if clock.monotonic() + RETRY_SECONDS > deadline:
                    raise
                if error.reached:
                    await clock.sleep(RETRY_SECONDS)

    async def _call(self, path: str, request: Any, response: Any, timeout_seconds: float) -> Any:
        endpoint = self.endpoint
        try:
            connection = self._connections.get(endpoint)
            if connection is None or connection.problem is not None:
                began = clock.monotonic()
                try:
                    connection = await asyncio.wait_for(self._connection(endpoint), timeout_seconds)
                except TimeoutError:
                    raise CallError("DEADLINE_EXCEEDED", "failed to connect: it does not answer", reached=False) from None
                timeout_seconds = max(0.001, timeout_seconds - (clock.monotonic() - began))
            answer = response.FromString(await connection.unary(path, request.SerializeToString(), timeout_seconds))
        except CallError as error:
            raise self._failed(error, endpoint) from None
        self._check(answer.header, endpoint)
        return answer

    async def _connection(self, endpoint: str) -> Connection:
        """One that is, or is being, made; who asks soon after one has failed is told so too. Raises CallError."""
        found = self._connections.get(endpoint)
        if found is not None and found.problem is None:
            return found
        if self._is_closed:
            raise CallError("UNAVAILABLE", "the connection was closed", reached=False)
        task = self._connecting.get(endpoint)
        if task is None:
            task = self._connecting[endpoint] = asyncio.get_running_loop().create_task(self._connect(endpoint))
            task.add_done_callback(lambda task: self._connected(endpoint, task))
        try:
            # Others wait for it too.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            # Only `close` cancels it.
            if task.cancelled() and current is not None and not current.cancelling():
                raise CallError("UNAVAILABLE", "the connection was closed", reached=False) from None
            raise

    async def _connect(self, endpoint: str) -> Connection:
        if self._config.tls and self._tls is None:
            self._tls = self._tls_context()
        return await connect(endpoint, self._tls, CONNECT_TIMEOUT_SECONDS)

    def _connected(self, endpoint: str, task: asyncio.Task[Connection]) -> None:
        if task.cancelled():
            return
        if task.exception() is None:
            connection = self._connections[endpoint] = task.result()
            self._open.add(connection)
            connection.closed.add_done_callback(lambda _: self._open.discard(connection))
            self._connecting.pop(endpoint, None)
            if self._is_closed:
                connection.close()
        else:
            asyncio.get_running_loop().call_later(CONNECT_BACKOFF_SECONDS, self._connecting.pop, endpoint, None)

    def _failed(self, error: CallError, endpoint: str) -> EtcdError:
        found = EtcdError(error.code, error.details + self._hint(error.details), endpoint, reached=error.reached)
        if found.is_passing:
            self.avoid(endpoint)
        return found

    def _hint(self, details: str) -> str:
        config = self._config
        if self._cluster_id or "CERTIFICATE_VERIFY_FAILED" in details or "refused" in details:
            return ""
        if not config.tls:
            return " (does it want TLS? then say etcds:// instead of etcd://)" if not details.startswith("failed") else ""
        return " (does it speak TLS? does it want a client certificate?)" if config.certificate_file is None else ""

    def _check(self, header: Any, endpoint: str) -> None:
        if header.cluster_id == self._cluster_id:
            return
        if self._cluster_id:
            raise EtcdError("FAILED_PRECONDITION", "this is another cluster's member, or it was made anew", endpoint)
        self._cluster_id = header.cluster_id

    def _tls_context(self) -> ssl.SSLContext:
        import ssl

        config = self._config
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.certificate_file is not None:
            context.load_cert_chain(config.certificate_file, config.key_file)
        context.set_alpn_protocols(["h2"])
        return context
