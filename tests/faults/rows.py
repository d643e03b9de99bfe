"""What the rows of the failure tables say of a backend, and how to see it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Self

from tests.support.client import RawReply
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.registry.views import BackendView, PairView
from nexus.registry.wishes import Wish, Wishes
from nexus.testing import FakeBackend, FakeFleet, FakeModel

KINDS: Final = (
    "ollama",
    "vllm",
    "llamacpp",
    "lmstudio",
    "exo",
    "sglang",
    "localai",
    "tgi",
    "openai",
    "generic",
)
SSE: Final = "text/event-stream"
ABLE: Final = FakeModel("m", vision=True, tools=True, embeddings=True)


class Effect(Enum):
    """The right-hand column."""

    NOTHING = auto()
    CHECK = auto()
    REST = auto()
    BUSY = auto()
    LOADING = auto()
    REFRESH = auto()
    UNHEALTHY = auto()
    LEARN = auto()
    CONTEXT = auto()


@dataclass
class Wished:
    """One wish, as the request path made it."""

    backend_id: str
    refresh: bool
    reason: str


class Overheard:
    """A queue of wishes, with an ear for what is put into it."""

    def __init__(self, wishes: Wishes, heard: list[Wished]) -> None:
        self._wishes = wishes
        self._heard = heard

    def put(self, backend_id: str, reason: str, *, refresh: bool) -> None:
        self._heard.append(Wished(backend_id, refresh, reason))
        self._wishes.put(backend_id, reason, refresh=refresh)

    def forget(self, backend_id: str) -> None:
        self._wishes.forget(backend_id)

    async def get(self) -> Wish:
        return await self._wishes.get()


class Pair:
    """A gateway over a backend that fails, preferred by priority, and one that does not."""

    def __init__(self, bad: FakeBackend, good: FakeBackend, gateway: RunningGateway) -> None:
        self.bad = bad
        self.good = good
        self.gateway = gateway
        self.wishes: list[Wished] = []
        self._probes = len(bad.probe_requests)
        self._listen()

    @classmethod
    async def start(cls, fleet: FakeFleet, start: Serve, kind: str, settings: str = "") -> Self:
        bad = await fleet.add(kind, models=[ABLE], name="bad")
        good = await fleet.add(kind, models=[ABLE], name="good")
        gateway = await start(settings + backend_toml(bad, good, bad="priority = 1\nslots = 100"))
        # A probe's connection would make the first request's a reused one, whose death is free.
        bad.close_idle()
        await bad.wait_until_closed()
        return cls(bad, good, gateway)

    def _listen(self) -> None:
        registry = self.gateway.nexus.registry
        registry._wishes = Overheard(registry._wishes, self.wishes)  # type: ignore[assignment]  # the same methods

    @property
    def view(self) -> BackendView:
        return view_of(self.gateway, "bad")

    @property
    def model(self) -> PairView:
        return next(model for model in self.view.models if model.id == "m")

    async def probed(self) -> None:
        """Wait for the check that was wished for."""
        await self.bad.wait_until(lambda: len(self.bad.probe_requests) > self._probes, "a check")

    def shows(self, effect: Effect, failure: str, *, counted: bool) -> None:
        """Assert the right-hand column, and that nothing else happened to the backend."""
        model, view = self.model, self.view
        assert view.status == ("unhealthy" if effect is Effect.UNHEALTHY else "healthy")
        assert view.failures == ({failure: 1} if counted else {})
        assert model.failures == view.failures
        assert (model.resting_seconds > 0) == (effect is Effect.REST), model
        assert (model.busy_seconds > 0) == (effect in (Effect.BUSY, Effect.LOADING)), model
        assert model.busy_loading == (effect is Effect.LOADING), model
        checked = effect in (Effect.CHECK, Effect.REST, Effect.UNHEALTHY, Effect.LOADING)
        assert [wish.refresh for wish in self.wishes] == (
            [False] if checked else [True] if effect is Effect.REFRESH else []
        )
        assert all(wish.backend_id == "bad" and wish.reason for wish in self.wishes)
        assert self.gateway.at_rest()


def view_of(gateway: RunningGateway, name: str) -> BackendView:
    return next(view for view in gateway.nexus.registry.views() if view.name == name)


def asked(backend: FakeBackend) -> int:
    """How many inference requests a backend got."""
    return len(backend.surface_requests)


def served_by_the_other(reply: RawReply, pair: Pair, *, stream: bool) -> None:
    assert reply.status == 200, reply.body
    assert reply.complete
    assert reply.header("x-nexus-backend") == "good"
    assert reply.header("x-nexus-attempts") == "2"
    assert reply.header("x-nexus-route-reason") == "failover"
    assert (asked(pair.bad), asked(pair.good)) == (1, 1)
    assert pair.bad.surface_requests[0].body == pair.good.surface_requests[0].body
    if stream:
        assert reply.events[-1] == "[DONE]"
    assert b'"error"' not in reply.body


def error_events(reply: RawReply) -> list[str]:
    return [event for event in reply.events if '"error"' in event]


def ends_in_one_error(reply: RawReply, code: str) -> None:
    """A well-formed stream whose only error is its last event, after which nothing follows."""
    assert (reply.status, reply.complete) == (200, True)
    assert reply.body.endswith(b"\n\n")
    assert len(error_events(reply)) == 1
    error = json.loads(reply.events[-1])["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "server_error", None)
    assert error["message"]
    assert "[DONE]" not in reply.events
    for event in reply.events:
        json.loads(event)


def image_message(url: str = "data:image/png;base64,iVBORw0KGgo=") -> list[dict[str, Any]]:
    """Messages with a picture."""
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": content}]


TOOLS: Final = [
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
]
