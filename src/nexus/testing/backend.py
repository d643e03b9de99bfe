"""One fake server: what it serves, what it does wrong, and what it has seen."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from nexus.domain.backend import BackendType
from nexus.tasks import Clock, TaskOwner
from nexus.testing.connection import Connection, reset
from nexus.testing.dialects.base import Dialect
from nexus.testing.faults import Exchange, Fault, Refuse, Stage, Stall
from nexus.testing.faults.base import End, Step
from nexus.testing.listener import Listener
from nexus.testing.log import RequestLog
from nexus.testing.models import FakeModel, RecordedRequest, ServerState

Policy = Callable[[RecordedRequest], Fault | None]


class FakeBackend(RequestLog):
    """A server of one type on a real socket. Made by :meth:`FakeFleet.add`.

    Attributes:
        name: unique in the fleet; its replies carry it.
        pace: seconds between the events of a stream; 0 sends them at once.
        policy: chooses the fault of each request that no scripted one waits for.
    """

    def __init__(
        self, dialect: Dialect, state: ServerState, *, listener: Listener, clock: Clock, tasks: TaskOwner
    ) -> None:
        super().__init__(state.name)
        self.pace = 0.0
        self.policy: Policy | None = None
        self._dialect = dialect
        self._state = state
        self._listener = listener
        self._clock = clock
        self._tasks = tasks
        self._queue: deque[Fault] = deque()
        self._standing: Fault | None = None
        self._probes_too = False
        self._open: dict[Connection, asyncio.Transport] = {}
        self._killed = False

    # -- where it is

    @property
    def kind(self) -> str:
        """The type of server, as the fleet names it: the value of a backend type."""
        return self._dialect.kind

    @property
    def type(self) -> BackendType:
        """The backend type."""
        return BackendType(self.kind)

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._listener.host

    @property
    def port(self) -> int:
        """Its port; it stays the same over :meth:`stop` and :meth:`start`."""
        return self._listener.port

    @property
    def url(self) -> str:
        """``http://host:port``."""
        return self._listener.url

    # -- what it serves

    @property
    def models(self) -> tuple[FakeModel, ...]:
        """What it serves now."""
        return self._state.models

    def set_models(self, models: Iterable[FakeModel | str]) -> None:
        """Serve these from now on; a string is a model with default abilities."""
        self._state.models = tuple(FakeModel(model) if isinstance(model, str) else model for model in models)

    def set_loading(self, loading: bool) -> None:
        """Begin or end the loading of its model."""
        self._state.loading = loading

    def set_key(self, key: str | None) -> None:
        """Ask for this key from now on, or for none."""
        self._state.key = key

    @property
    def side_effects(self) -> list[str]:
        """What probes have caused that a probe must not: generating, loading, waking, log errors."""
        return self._state.side_effects

    # -- what goes wrong

    def next(self, *faults: Fault) -> None:
        """Queue faults: each is used once, in order, by requests to OpenAI surfaces.

        A fault that only streams can have waits for a streamed request.
        """
        self._queue.extend(faults)

    def always(self, fault: Fault | None, *, probes: bool = False) -> None:
        """Meet every request to a surface with this fault until told otherwise.

        Args:
            fault: the fault; ``None`` ends it.
            probes: whether probes (model lists, health) meet it too.
        """
        self._standing = fault
        self._probes_too = probes

    def clear(self) -> None:
        """Forget every scripted fault, standing fault and policy."""
        self._queue.clear()
        self._standing = self.policy = None
        self._probes_too = False

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._killed = False
        await self._listener.start(self._accept)

    async def stop(self) -> None:
        """Stop listening, so that connecting is refused; open connections stay."""
        await self._listener.stop()

    async def kill(self) -> None:
        """Die as with -9: stop listening and reset every connection, those just accepted too."""
        self._killed = True
        self._listener.refuse()
        for transport in list(self._open.values()):
            reset(transport)
        await self._listener.stop()

    async def ignore_connects(self) -> None:
        """Let connecting hang: no SYN is answered. Linux only; :meth:`start` ends it."""
        await self._listener.hang()

    def close_idle(self) -> None:
        """End (FIN) the connections on which no request is being served."""
        for connection in [connection for connection in self._open if connection.idle]:
            connection.finish(End.FIN)

    async def close(self) -> None:
        """Kill it and give up its port."""
        await self.kill()
        await self._listener.close()

    # -- the connections' side

    def opened(self, connection: Connection, transport: asyncio.Transport) -> Stall | None:
        """Note a connection; return the fault that leaves it unread, if there is one."""
        self._open[connection] = transport
        self.open_sockets = len(self._open)
        self.changed()
        if self._killed:
            reset(transport)
            return None
        fault = self._queue[0] if self._queue else self._standing
        if not isinstance(fault, Stall) or fault.stage is not Stage.ACCEPT:
            return None
        if self._queue:
            self._queue.popleft()
        self.served[fault.kind] += 1
        return fault

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.pop(connection, None)
        self.open_sockets = len(self._open)
        self.changed()

    def begin(self, request: RecordedRequest, *, close: bool) -> Iterator[Step]:
        """Record a request and choose what happens on the wire."""
        reply = self._dialect.respond(request, self._state)
        fault = self._choose(request, streamed=reply.stream)
        request.fault = fault.kind if fault is not None else ""
        self.requests.append(request)
        self.served[request.fault or "none"] += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.changed()
        exchange = Exchange(request, reply, self._dialect, self._state, close=close)
        if fault is None:
            return exchange.paced(self.pace) if self.pace else exchange.send(reply)
        if isinstance(fault, Refuse):
            self._refuse(fault)
        return fault.steps(exchange)

    def ended(self, *, departed: bool) -> None:
        """Note that a reply ended or that its client left."""
        self.in_flight -= 1
        self.departures += departed
        self.changed()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task that the fleet owns."""
        return self._tasks.spawn(coroutine, f"{self.name}:{name}")

    async def sleep(self, seconds: float) -> None:
        """Sleep by the fleet's clock."""
        await self._clock.sleep(seconds)

    # -- inside

    def _choose(self, request: RecordedRequest, *, streamed: bool) -> Fault | None:
        if not request.surface:
            return self._standing if self._probes_too else None
        if self._queue and (streamed or not self._queue[0].streams_only):
            return self._queue.popleft()
        fault = self._standing
        if fault is None and self.policy is not None:
            fault = self.policy(request)
        return None if fault is None or (fault.streams_only and not streamed) else fault

    def _refuse(self, fault: Refuse) -> None:
        self._listener.refuse()
        if fault.until is not None:
            self.spawn(self._reopen(fault.until), "reopen")

    async def _reopen(self, until: asyncio.Event) -> None:
        await until.wait()
        await self.start()

    def _accept(self) -> Connection:
        self.connections += 1
        return Connection(self, self.connections)
