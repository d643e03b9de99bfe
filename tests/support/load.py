"""Open-loop load, and what became of each request."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.client import RawReply
from tests.support.process import NexusProcess

SEED = 20261123


@dataclass
class Load:
    """Chats that arrive at their own pace, whatever becomes of those before.

    Attributes:
        nexus: takes them.
        body: makes the next chat; half of them are streamed on top of that.
        arrivals_a_second: on average.
        replies: whether it was streamed, and what came.
    """

    nexus: NexusProcess
    body: Callable[[random.Random], dict[str, Any]]
    arrivals_a_second: float = 20
    replies: list[tuple[bool, RawReply]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def arriving(self) -> AsyncIterator[None]:
        arrivals = asyncio.create_task(self._arrive())
        try:
            yield
        finally:
            arrivals.cancel()
            await asyncio.wait([arrivals])
            await self.settled()

    async def _arrive(self) -> None:
        rng = random.Random(SEED)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = asyncio.create_task(self._ask(self.body(rng), stream=rng.random() < 0.5))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due += rng.expovariate(self.arrivals_a_second)
            await asyncio.sleep(due - loop.time())

    async def _ask(self, body: dict[str, Any], *, stream: bool) -> None:
        async with self.nexus.client() as client:
            client.send("POST", "/v1/chat/completions", body | {"stream": stream})
            self.replies.append((stream, await client.read_reply()))

    async def settled(self) -> None:
        """Wait until everything that has arrived so far has its reply."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    @property
    def lost(self) -> list[tuple[bool, int, bytes]]:
        """What another backend could have answered and did not: streamed, status, body."""
        return [
            (stream, reply.status, reply.body)
            for stream, reply in self.replies
            if not whole(stream, reply) and not cut_after_first_byte(stream, reply)
        ]

    @property
    def cut(self) -> int:
        """Streams that broke when their client had bytes of them."""
        return sum(cut_after_first_byte(stream, reply) for stream, reply in self.replies)

    @property
    def sent_again(self) -> int:
        """Requests that more than one backend was asked."""
        return sum(int(reply.header("x-nexus-attempts") or 1) > 1 for _, reply in self.replies)


def cut_after_first_byte(stream: bool, reply: RawReply) -> bool:
    """A stream that broke when its client had bytes of it: it ends in one typed error event."""
    if not (stream and reply.status == 200 and reply.complete):
        return False
    errors = [json.loads(event)["error"] for event in reply.events if '"error"' in event]
    return [error["code"] for error in errors] == ["upstream_closed"] and "[DONE]" not in reply.events


def whole(stream: bool, reply: RawReply) -> bool:
    """A reply that is complete and no error."""
    if reply.status != 200 or not reply.complete:
        return False
    if stream:
        return reply.events[-1] == "[DONE]" and "error" not in reply.body.decode()
    return bool(reply.json["choices"][0]["finish_reason"])
