"""What the client gets when nobody could serve, and when nobody was asked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.faults.rows import ABLE, KINDS, TOOLS, asked, image_message, view_of
from tests.support.client import RawReply
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus import testing
from nexus.domain import BackendStatus
from nexus.testing import FakeBackend, FakeFleet, FakeModel, Fault

QUICK = "[timeouts]\nfirst_byte_seconds = 0.25\n"


class Fleet:
    """Backends of one type behind a gateway, asked in order."""

    def __init__(self, backends: list[FakeBackend], gateway: RunningGateway) -> None:
        self.backends = backends
        self.gateway = gateway

    async def ask(self, *faults: Fault, stream: bool = False, **fields: Any) -> RawReply:  # noqa: ANN401
        for backend, fault in zip(self.backends, faults, strict=True):
            backend.close_idle()
            await backend.wait_until_closed()
            backend.next(fault)
        return await self.gateway.chat(stream=stream, **fields)


async def fleet_of(fleet: FakeFleet, start: Serve, kind: str, count: int, settings: str = "") -> Fleet:
    backends = [await fleet.add(kind, models=[ABLE], name=f"b{at}") for at in range(count)]
    rows = {backend.name: f"priority = {at + 1}\nslots = 100" for at, backend in enumerate(backends)}
    return Fleet(backends, await start(settings + backend_toml(*backends, **rows)))


UNKNOWN, BUSY, LOADING = testing.UnknownModel(), testing.Busy(code=503), testing.Loading()
LIMITED, ERROR, KEY = testing.Busy(code=429), testing.ServerError(), testing.Credentials()

SUMMARIES: list[tuple[list[Fault], int, str]] = [
    ([UNKNOWN, UNKNOWN], 404, "model_not_found"),
    ([UNKNOWN, ERROR], 502, "bad_gateway"),
    ([LIMITED, LIMITED], 429, "rate_limit_exceeded"),
    ([LIMITED, BUSY], 503, "service_unavailable"),
    ([LIMITED, ERROR], 503, "service_unavailable"),
    ([ERROR, LOADING], 503, "service_unavailable"),
    ([BUSY, KEY], 503, "service_unavailable"),
    ([UNKNOWN, BUSY], 503, "service_unavailable"),
    ([KEY, KEY], 502, "backend_credentials"),
    ([KEY, ERROR], 502, "backend_credentials"),
    ([testing.Quota(402), testing.Credentials(403)], 502, "backend_credentials"),
    ([ERROR, testing.Stall()], 504, "gateway_timeout"),
    ([testing.Stall(), ERROR], 502, "bad_gateway"),
    ([ERROR, ERROR], 502, "bad_gateway"),
    ([testing.Reset(), testing.Garbage()], 502, "bad_gateway"),
    ([testing.EmptyBody(), testing.Redirect()], 502, "bad_gateway"),
    ([testing.Status(501), testing.Status(405)], 502, "bad_gateway"),
    ([testing.Status(408), testing.Status(425)], 502, "bad_gateway"),
    ([testing.Status(508), testing.Status(508)], 508, "loop_detected"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("faults", "status", "code"),
    SUMMARIES,
    ids=["+".join(f"{f.kind}{getattr(f, 'code', '') or ''}" for f in row[0]) for row in SUMMARIES],
)
async def test_the_sum_of_failed_attempts(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool, faults: list[Fault], status: int, code: str
) -> None:
    silent = any(isinstance(fault, testing.Stall) for fault in faults)
    some = await fleet_of(fleet, start, kind, 2, QUICK if silent else "")
    reply = await some.ask(*faults, stream=stream)
    assert (reply.status, reply.error["code"]) == (status, code), reply.body
    assert reply.complete
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-nexus-attempts") == "2"
    assert reply.error["param"] == ("model" if status == 404 else None)
    assert reply.error["message"]
    rows = reply.error["context"]["attempts"]
    assert [row["backend"] for row in rows] == ["b0", "b1"], "never the same twice"
    assert all(row["cause"] for row in rows)
    assert [asked(backend) for backend in some.backends] == [1, 1]
    if status in (429, 503):
        assert int(reply.header("retry-after") or 0) >= 1
    else:
        assert reply.header("retry-after") is None
    outcome = await some.gateway.outcome()
    assert (outcome.status, outcome.error, len(outcome.attempts)) == (status, code, 2)
    assert all(view.status == "healthy" for view in some.gateway.nexus.registry.views())
    assert some.gateway.at_rest()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_total_timeout_before_the_first_byte_is_504_and_the_end(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    """The operator's limit is for the request: another backend would only take longer."""
    some = await fleet_of(fleet, start, "vllm", 2, "[timeouts]\ntotal_seconds = 0.1\n")
    some.backends[0].next(testing.Stall())
    reply = await some.gateway.chat(stream=stream)
    assert (reply.status, reply.error["code"]) == (504, "gateway_timeout")
    assert [asked(backend) for backend in some.backends] == [1, 0]
    assert view_of(some.gateway, "b0").failures == {}
    await some.backends[0].wait_for_departure()


@pytest.mark.parametrize(
    ("waits", "shortest"), [(("9", "4"), "4"), (("50", None), "2"), ((None, None), "2"), (("0", "600"), "1")]
)
@pytest.mark.parametrize("code", [429, 503])
async def test_the_smallest_retry_after(
    fleet: FakeFleet, start: Serve, waits: tuple[str | None, ...], shortest: str, code: int
) -> None:
    some = await fleet_of(fleet, start, "vllm", 2)
    reply = await some.ask(*(testing.Busy(wait, code) for wait in waits))
    assert (reply.status, reply.header("retry-after")) == (code, shortest)


@pytest.mark.parametrize("stream", [False, True])
async def test_no_backend_is_asked_twice(fleet: FakeFleet, start: Serve, stream: bool) -> None:
    some = await fleet_of(fleet, start, "vllm", 3, "[routing]\nmax_retries = 8\n")
    for backend in some.backends:
        backend.always(ERROR)
    reply = await some.gateway.chat(stream=stream)
    assert reply.status == 502
    assert [asked(backend) for backend in some.backends] == [1, 1, 1]


@pytest.mark.parametrize("stream", [False, True])
async def test_retries_count_over_the_whole_chain_of_models(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    names = [f"m{at}" for at in range(5)]
    backends = [await fleet.add("vllm", models=[name], name=name) for name in names]
    chain = ", ".join(f'"{name}"' for name in names[1:])
    gateway = await start(f'[routing.fallbacks]\n"m0" = [{chain}]\n' + backend_toml(*backends))
    for backend in backends:
        backend.always(ERROR)
    assert (await gateway.chat("m0", stream=stream)).status == 502
    assert [asked(backend) for backend in backends] == [1, 1, 1, 0, 0]
    backends[2].clear()
    gateway.nexus.registry.by_model("m0")[0].stats.resting_until = 0
    reply = await gateway.chat("m0", stream=stream)
    assert (reply.status, reply.header("x-nexus-fallback-model")) == (200, "m2")
    assert backends[2].surface_requests[-1].model == "m2"


async def test_a_refused_connection_last_is_502_and_costs_no_attempt(fleet: FakeFleet, start: Serve) -> None:
    some = await fleet_of(fleet, start, "vllm", 4, "[routing]\nmax_retries = 0\n")
    for backend in some.backends:
        await backend.kill()
    reply = await some.gateway.chat()
    assert (reply.status, reply.error["code"]) == (502, "bad_gateway")
    assert [row["cause"] for row in reply.error["context"]["attempts"]] == ["refused"] * 4
    assert [row["status"] for row in reply.error["context"]["attempts"]] == [None] * 4


# -- what the message says


@pytest.mark.parametrize("stream", [False, True])
async def test_the_message_quotes_no_more_than_500_characters_without_keys_and_addresses(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    key = "hush-this-is-the-key"
    backend = await fleet.add("vllm", models=["m"], name="b", key=key)
    gateway = await start(
        backend_toml(backend, b='api_key_env = "THE_KEY"\n[backends.headers]\nX-Team = "blue-secret-team"'),
        THE_KEY=key,
    )
    said = (
        f"key {key} team blue-secret-team at http://user:pw@10.1.2.3:8000/v1 and 192.168.7.9:11434 "
        f"and [fd00::17]:80 and gpu.internal.example:9000, Bearer abcdef123456, sk-abcdefghijkl {backend.url}"
        + " long"
        * 400
    )
    body = b'{"error":{"message":"%b","type":"x"}}' % said.encode()
    backend.always(testing.Status(500, body))
    reply = await gateway.chat(stream=stream)
    assert reply.status == 502
    message = reply.error["message"]
    for secret in (
        key,
        "blue-secret",
        "10.1.2.3",
        "192.168",
        "fd00",
        "gpu.internal",
        "abcdef",
        "pw",
        "127.0.0.1",
    ):
        assert secret not in reply.body.decode(), secret
    assert " long long" in message
    assert len(message) < 700, "500 quoted, and who said it"
    assert gateway.log.exists()
    assert key not in gateway.log.read_text()


# -- nobody qualifies


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_whose_backends_are_all_down_is_503_not_404(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    some = await fleet_of(fleet, start, "vllm", 2)
    for backend in some.backends:
        await backend.kill()
    assert (await some.gateway.chat(stream=stream)).status == 502
    reply = await some.gateway.chat(stream=stream)
    assert (reply.status, reply.error["code"]) == (503, "service_unavailable")
    rows = reply.error["context"]["rejections"]
    assert [(row["backend"], row["code"], row["waiting_may_help"]) for row in rows] == [
        ("b0", "unhealthy", True),
        ("b1", "unhealthy", True),
    ]
    assert all("start it" in row["message"] for row in rows)
    assert "127.0.0.1" not in reply.body.decode()
    assert reply.header("retry-after")


async def test_a_model_that_left_every_list_is_503_not_404(fleet: FakeFleet, start: Serve) -> None:
    some = await fleet_of(fleet, start, "vllm", 1)
    some.backends[0].set_models(["other"])
    some.gateway.nexus.registry.wish_refresh("b0")
    await some.gateway.until(lambda: not some.gateway.nexus.registry.by_model("m"))
    reply = await some.gateway.chat()
    assert (reply.status, reply.error["code"]) == (503, "service_unavailable")


async def test_a_backend_that_was_never_up_is_404_with_the_nearest_names(
    fleet: FakeFleet, start: Serve
) -> None:
    backend = await fleet.add("vllm", models=["llama3.1:8b", "qwen2:72b"], name="b")
    gateway = await start(backend_toml(backend))
    for stream in (False, True):
        reply = await gateway.chat("llama3:8b", stream=stream)
        assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")
        assert reply.error["context"]["nearest"][0] == "llama3.1:8b"
        assert "'llama3.1:8b'" in reply.error["message"]
    assert not asked(backend)
    assert not (await gateway.outcome()).attempts


@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_qualifies_says_for_each_which_rule_and_what_would_help(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    blind = await fleet.add("ollama", models=[FakeModel("m", vision=False, tools=True)], name="blind")
    clumsy = await fleet.add("ollama", models=[FakeModel("m", vision=True, tools=False)], name="clumsy")
    narrow = await fleet.add("ollama", models=[FakeModel("m", vision=True, context=64)], name="narrow")
    busy = await fleet.add("ollama", models=[FakeModel("m", vision=True, tools=True)], name="busy")
    gateway = await start(backend_toml(blind, clumsy, narrow, busy))
    registry = gateway.nexus.registry
    for candidate in registry.by_model("m"):
        if candidate.backend.name == "busy":
            registry.busy(candidate, gateway.nexus._clock.now(), 33, loading=False)
    content = image_message()
    content[0]["content"][0]["text"] = "what is it? " * 200
    reply = await gateway.chat(stream=stream, messages=content, tools=TOOLS)
    assert reply.status == 503
    rows = {row["backend"]: row for row in reply.error["context"]["rejections"]}
    assert {name: row["code"] for name, row in rows.items()} == {
        "blind": "vision",
        "clumsy": "tools",
        "narrow": "context_length",
        "busy": "busy",
    }
    assert {name: row["waiting_may_help"] for name, row in rows.items()} == {
        "blind": False,
        "clumsy": False,
        "narrow": False,
        "busy": True,
    }
    assert all(row["message"] for row in rows.values())
    assert 32 <= int(reply.header("retry-after") or 0) <= 33
    assert not (await gateway.outcome()).attempts


async def test_a_model_that_no_backend_lists_any_more_says_so_and_what_to_do(
    fleet: FakeFleet, start: Serve
) -> None:
    backend = await fleet.add("vllm", models=["m"], name="b")
    gateway = await start(backend_toml(backend))
    (view,) = gateway.nexus.registry.views()
    gateway.nexus.registry.update(view.id, models=())
    reply = await gateway.chat()
    assert (reply.status, reply.error["code"]) == (503, "service_unavailable")
    assert reply.error["message"] == (
        "No backend offers 'm' now: those that had it are gone or do not list it any more. "
        "Start its server again; GET /v1/models lists what is served."
    )
    assert reply.error["context"]["rejections"] == []


async def test_a_key_that_is_refused_at_the_check_is_said_so(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=["m"], name="b", key="right")
    gateway = await start(backend_toml(backend, b='api_key_env = "WRONG"'), WRONG="wrong")
    assert view_of(gateway, "b").status == BackendStatus.UNAUTHORIZED
    backend.set_key(None)
    gateway.nexus.registry.wish_check("b", "test")
    await gateway.until(lambda: view_of(gateway, "b").status == "healthy")
    assert (await gateway.chat()).status == 200
    backend.set_key("right")
    reply = await gateway.chat()
    assert (reply.status, reply.error["code"]) == (502, "backend_credentials")
    await gateway.until(lambda: view_of(gateway, "b").status == "unauthorized")
    reply = await gateway.chat()
    assert reply.status == 503
    (row,) = reply.error["context"]["rejections"]
    assert (row["code"], row["waiting_may_help"]) == ("unauthorized", False)
    assert "wrong" not in reply.body.decode().replace("wrong key", "")
