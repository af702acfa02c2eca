"""Prepared pictures of garments and accessories: many shoppers try on the same one, which is prepared once."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from wearon.metrics import Metrics

MOST_KEPT_BYTES = 32 * 1024 * 1024
"""Of prepared pictures. A garment's has 30-70 KB, so that some 700 are kept, for a twentieth of what a busy process and
its pools have. Finding them takes 200 bytes each on top: with the smallest JPEGs (630 bytes) a third."""

HASHED_AT_ONCE_BYTES = 128 * 1024
"""0.07 ms of SHA-256, and handing it to a thread costs the loop as much. 10 MB would hold it up for 6 ms."""


class Garments:
    """Prepares with `prepare`, and keeps what comes out; what was not asked for longest goes first.

    A picture is found again by the SHA-256 of the bytes that `prepare` is given. Nothing else decides what comes out:
    a `prepare` that makes pictures of another size has Garments of its own. SHA-256 for two reasons: no attacker can
    make a picture that is taken for another shop's, and with the processor's own instructions for it (every server
    since 2020) it takes half of BLAKE2b's time. Photos of people do not belong here: what this class is given stays.
    """

    def __init__(self, prepare: Callable[[bytes], Awaitable[bytes]], metrics: Metrics) -> None:
        self._prepare = prepare
        self._metrics = metrics
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._under_way: dict[bytes, asyncio.Event] = {}

    async def prepared(self, data: bytes) -> bytes:
        """What `prepare(data)` returns, perhaps made earlier. Raises what `prepare` raises, which is not kept.

        A caller that comes while another is preparing the same picture waits for it, once: if nothing came of it (that
        picture failed, or that job was cancelled), all that waited prepare for themselves, as if there were no others.
        """
        digest = await _digest(data)
        if (under_way := self._under_way.get(digest)) is not None:
            await under_way.wait()
        picture = self._kept.get(digest)
        if picture is None:
            picture = await self._prepare_and_keep(digest, data)
            self._metrics.garments.labels("prepared").inc()
        else:
            self._kept.move_to_end(digest)
            self._metrics.garments.labels("found").inc()
        return picture

    async def _prepare_and_keep(self, digest: bytes, data: bytes) -> bytes:
        # In the caller's own task and told by an event, not in a task that all of them share: cancelled are then
        # exactly those who were, an error is its own job's, and no work goes on that no job waits for.
        ended = asyncio.Event()
        self._under_way.setdefault(digest, ended)
        try:
            picture = await self._prepare(data)
            self._keep(digest, picture)
        finally:
            ended.set()
            if self._under_way.get(digest) is ended:
                del self._under_way[digest]
        return picture

    def _keep(self, digest: bytes, picture: bytes) -> None:
        if digest in self._kept:  # several prepared it for themselves
            return
        self._kept[digest] = picture
        self._kept_bytes += len(picture)
        while self._kept_bytes > MOST_KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)


async def _digest(data: bytes) -> bytes:
    if len(data) <= HASHED_AT_ONCE_BYTES:
        return _sha256(data)
    return await asyncio.to_thread(_sha256, data)  # hashlib lets the loop go on meanwhile


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
