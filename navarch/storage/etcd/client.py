"""A thin etcd v3 client: calls, one watch, several endpoints.

Rules: every call has a deadline; a failed call raises `EtcdError`, which says whether it may have been done all the same.
An endpoint that does not answer gives way to the next; what cannot have reached etcd is tried at each of them. Calls are all
linearizable. Whoever answers must always be the same etcd cluster.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from navarch.component import clock
from navarch.storage.etcd import etcd_pb2 as pb
from navarch.storage.etcd.config import EtcdConfig

logger = logging.getLogger(__name__)

READ_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 0.05
# etcd wants no more than one ping in 5 s.
KEEPALIVE_SECONDS, KEEPALIVE_TIMEOUT_SECONDS = 10.0, 5.0
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", int(KEEPALIVE_SECONDS * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_SECONDS * 1000)),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)

# What gRPC says of a call that it could not send.
NEVER_SENT = ("failed to connect", "errors resolving", "DNS resolution failed")

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
        self._channels: dict[str, Any] = {}
        self._calls: dict[tuple[str, str], Any] = {}
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

    async def watch(self, start_revision: int) -> AsyncGenerator[pb.WatchResponse, None]:
        """Every change of any key from a revision on; the first response says that the watch stands. Ends with EtcdError."""
        endpoint = self.endpoint
        call = self._channel(endpoint).stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
            # A member that has lost the others ends the watch instead of being silent.
        )(metadata=(("hasleader", "true"),))
        create = pb.WatchCreateRequest(key=EVERYTHING, range_end=EVERYTHING, start_revision=start_revision)
        try:
            await call.write(pb.WatchRequest(create_request=create))
            async for response in call:
                self._check(response.header, endpoint)
                if response.compact_revision:
                    raise EtcdError("OUT_OF_RANGE", f"revision {start_revision} has been compacted", endpoint)
                if response.canceled:
                    raise EtcdError("UNAVAILABLE", response.cancel_reason or "the watch was cancelled", endpoint)
                yield response
            raise EtcdError("UNAVAILABLE", "the watch has ended", endpoint)
        except _rpc_error() as error:
            raise self._failed(error, endpoint) from None
        finally:
            call.cancel()

    @property
    def endpoint(self) -> str:
        """Who is asked next."""
        return self._config.endpoints[self._current]

    def avoid(self, endpoint: str) -> None:
        """Go on with the next endpoint, unless that has been done already."""
        if self.endpoint == endpoint:
            self._current = (self._current + 1) % len(self._config.endpoints)

    async def close(self) -> None:
        self._calls.clear()
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

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
            answer = await self._stub(endpoint, path, type(request), response)(request, timeout=timeout_seconds)
        except _rpc_error() as error:
            raise self._failed(error, endpoint) from None
        except asyncio.CancelledError:
            # grpc.aio also cancels its callers when the channel is closed below them.
            if not self._channels and not _being_cancelled():
                raise EtcdError("UNAVAILABLE", "the connection was closed", endpoint) from None
            raise
        self._check(answer.header, endpoint)
        return answer

    def _failed(self, error: Any, endpoint: str) -> EtcdError:
        details = error.details() or error.code().name
        reached = not details.startswith(NEVER_SENT)
        found = EtcdError(error.code().name, details + self._hint(details), endpoint, reached=reached)
        if found.is_passing:
            self.avoid(endpoint)
        return found

    def _hint(self, details: str) -> str:
        config = self._config
        if self._cluster_id:
            return ""
        if not config.tls and ("Socket closed" in details or "Connection reset" in details):
            return " (does it want TLS? then say etcds:// instead of etcd://)"
        if config.tls and config.certificate_file is None and "CERTIFICATE_VERIFY_FAILED" not in details:
            return " (does it speak TLS? does it want a client certificate?)"
        return ""

    def _check(self, header: Any, endpoint: str) -> None:
        if header.cluster_id == self._cluster_id:
            return
        if self._cluster_id:
            raise EtcdError("FAILED_PRECONDITION", "this is another cluster's member, or it was made anew", endpoint)
        self._cluster_id = header.cluster_id

    def _stub(self, endpoint: str, path: str, request: Any, response: Any) -> Any:
        found = self._calls.get((endpoint, path))
        if found is None:
            found = self._calls[endpoint, path] = self._channel(endpoint).unary_unary(
                path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
            )
        return found

    def _channel(self, endpoint: str) -> Any:
        channel = self._channels.get(endpoint)
        if channel is None:
            # Children that are started call exec at once: gRPC need not prepare for forks, nor warn that it can't.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
            # 19 MB that only a server with an etcd needs.
            from grpc import aio

            if self._config.tls:
                channel = aio.secure_channel(endpoint, self._credentials(), options=CHANNEL_OPTIONS)
            else:
                channel = aio.insecure_channel(endpoint, options=CHANNEL_OPTIONS)
            self._channels[endpoint] = channel
        return channel

    def _credentials(self) -> Any:
        import grpc

        config = self._config
        return grpc.ssl_channel_credentials(
            config.ca_file.read_bytes() if config.ca_file else None,
            config.key_file.read_bytes() if config.key_file else None,
            config.certificate_file.read_bytes() if config.certificate_file else None,
        )


def _rpc_error() -> type[Any]:
    from grpc import aio

    return aio.AioRpcError


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
