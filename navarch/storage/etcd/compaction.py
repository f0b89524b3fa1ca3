"""etcd's past is forgotten as kube-apiserver does it: of all servers, one at a time, what is older than an interval.

The key `compact_rev_key` is changed by whoever compacts; its version counts compactions. A server that finds the version it
expects has its turn; the others see it, and that somebody else does the work.
"""

from __future__ import annotations

import logging

from navarch.component import clock
from navarch.storage.etcd import etcd_pb2 as pb
from navarch.storage.etcd.client import EtcdClient, EtcdError

logger = logging.getLogger(__name__)

KEY = b"compact_rev_key"
INTERVAL_SECONDS = 300.0
TIMEOUT_SECONDS = 10.0


class Compactor:
    """One server's part in it."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._version = 0
        """Of the key, when it was last looked at."""
        self._revision = 0
        """etcd's, then; 0: it has not been looked at yet."""

    async def run(self) -> None:
        """Forget what is to be forgotten, until cancelled."""
        while True:
            await clock.sleep(INTERVAL_SECONDS)
            try:
                await self.compact()
            except EtcdError as error:
                logger.warning("not compacted this time: %s", error)

    async def compact(self) -> None:
        """Forget what was before the last look, if it is our turn. Raises EtcdError."""
        request = pb.TxnRequest(
            compare=[
                pb.Compare(result=pb.Compare.EQUAL, target=pb.Compare.VERSION, key=KEY, version=self._version),
            ],
            success=[pb.RequestOp(request_put=pb.PutRequest(key=KEY, value=str(self._revision).encode()))],
            failure=[pb.RequestOp(request_range=pb.RangeRequest(key=KEY))],
        )
        response = await self._client.txn(request, TIMEOUT_SECONDS)
        before, self._revision = self._revision, int(response.header.revision)
        if not response.succeeded:
            (found,) = response.responses[0].response_range.kvs
            self._version = int(found.version)
            return
        self._version += 1
        if before:
            await self._client.compact(before)
            logger.info("etcd has forgotten what was before revision %d", before)
