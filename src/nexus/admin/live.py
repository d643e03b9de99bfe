"""What pages see move: one picture a second, made once for all who look.

Laws: nobody looks, nothing is made; a picture that has not changed is not sent again; who does not
take what is sent is dropped, never waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from nexus.observe.events import EventLog
from nexus.tasks import Clock, TaskOwner

_log: Final = EventLog("admin")

TICK_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 15.0
PENDING_MAX: Final = 16
"""Frames that a page may be behind."""
PAGES_MAX: Final = 256

OPENING: Final = b"retry: 2000\n\n"
COMMENT: Final = b": still here\n\n"


class Topic(Protocol):
    """One kind of event."""

    def __call__(self, *, begins: bool) -> Iterable[bytes]:
        """Return the JSON of what is new, or of what a page must know that begins to look."""
        ...


class _Page:
    """One reader.

    Attributes:
        topics: what it asked for.
        frames: what it has not taken yet; ``None`` ends it.
    """

    __slots__ = ("frames", "topics")

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue(PENDING_MAX)

    def give(self, frame: bytes) -> bool:
        """Take one frame; tell whether there was room."""
        try:
            self.frames.put_nowait(frame)
        except asyncio.QueueFull:
            return False
        return True


class Live:
    """Hands pictures of what happens to everyone who looks.

    Args:
        topics: name to what gives its events, in the order in which they are sent.
        clock: the time.

    Attributes:
        dropped: pages that were too slow.
    """

    def __init__(self, topics: Mapping[str, Topic], clock: Clock) -> None:
        self._topics = MappingProxyType(dict(topics))
        self._clock = clock
        self._pages: set[_Page] = set()
        self._tasks = TaskOwner("live")
        self._ticking = False
        self._closed = False
        self.dropped = 0

    @property
    def topics(self) -> tuple[str, ...]:
        """The names of what can be looked at."""
        return tuple(self._topics)

    @property
    def pages(self) -> int:
        """How many are looking."""
        return len(self._pages)

    @property
    def full(self) -> bool:
        """Whether nobody more can look now."""
        return self._closed or len(self._pages) >= PAGES_MAX

    async def frames(self, topics: frozenset[str]) -> AsyncIterator[bytes]:
        """Yield server-sent events until the reader leaves, is too slow, or Nexus ends.

        Args:
            topics: names of what is looked at.
        """
        page = _Page(topics)
        self._pages.add(page)
        if not self._ticking:
            self._ticking = True
            self._tasks.spawn(self._tick(), "tick")
        try:
            yield OPENING
            for name, topic in self._topics.items():
                if name in topics:
                    for payload in topic(begins=True):
                        yield _frame(name, payload)
            while not self._closed and (frame := await page.frames.get()) is not None:
                yield frame
        finally:
            self._pages.discard(page)

    def dismiss(self) -> None:
        """Send everyone away; who comes again meets the door as it is then."""
        for page in tuple(self._pages):
            self._drop(page)

    async def close(self) -> None:
        """Send everyone away for good."""
        self._closed = True
        self.dismiss()
        await self._tasks.close()

    async def _tick(self) -> None:
        quiet = self._clock.now()
        try:
            while self._pages:
                await self._clock.sleep(TICK_SECONDS)
                now = self._clock.now()
                if self._look():
                    quiet = now
                elif now - quiet >= QUIET_SECONDS:
                    self._send(list(self._pages), [COMMENT])
                    quiet = now
        finally:
            # Whoever still looks sees the end of the stream instead of a picture that stands still.
            self._ticking = False
            self.dismiss()

    def _look(self) -> bool:
        """Send what is new of every topic that somebody looks at; tell whether anything was."""
        sent = False
        for name, topic in self._topics.items():
            looking = [page for page in self._pages if name in page.topics]
            if looking:
                sent |= self._send(looking, [_frame(name, payload) for payload in topic(begins=False)])
        return sent

    def _send(self, pages: Iterable[_Page], frames: list[bytes]) -> bool:
        for page in pages:
            if not all(page.give(frame) for frame in frames):
                self.dropped += 1
                _log.info("a page that took no events was dropped")
                self._drop(page)
        return bool(frames)

    def _drop(self, page: _Page) -> None:
        """End a page: what it has not taken by now it will not get."""
        self._pages.discard(page)
        while not page.frames.empty():
            page.frames.get_nowait()
        page.frames.put_nowait(None)


def _frame(name: str, payload: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), payload)
