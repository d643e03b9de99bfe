"""What a fake backend records, counts, waits for, and how it comes and goes."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from tests.testing.wire import Client, ask, chat, raw, request, text_of

from nexus.testing import (
    CutStream,
    FakeFleet,
    FakeModel,
    Fault,
    RecordedRequest,
    Reset,
    ServerError,
    Stage,
    Stall,
)
from nexus.testing.fixtures import parse


async def test_replies_name_the_backend_and_the_model() -> None:
    async with FakeFleet() as fleet:
        one = await fleet.add("vllm", models=["m"])
        two = await fleet.add("vllm", models=["m"], name="spare")
        texts = [
            text_of(await ask(fake, chat(stream=stream))) for fake in (one, two) for stream in (False, True)
        ]
    assert (
        texts
        == ["vllm-1 answers as m: all is well here."] * 2 + ["spare answers as m: all is well here."] * 2
    )


async def test_a_model_may_bring_its_own_words() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=[FakeModel("m", reply='Ein "Wort" 好\n😀 end')])
        assert text_of(await ask(fake, chat())) == 'Ein "Wort" 好\n😀 end'
        assert text_of(await ask(fake, chat(stream=True))) == 'Ein "Wort" 好\n😀 end'


async def test_max_tokens_cuts_and_says_so() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=["m"])
        body = json.loads((await ask(fake, chat(max_tokens=2))).body)
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 2


async def test_ollama_knows_only_max_tokens() -> None:
    async with FakeFleet() as fleet:
        ollama = await fleet.add("ollama", models=["m"])
        vllm = await fleet.add("vllm", models=["m"])
        reasons = [
            json.loads((await ask(fake, chat(max_completion_tokens=1))).body)["choices"][0]["finish_reason"]
            for fake in (ollama, vllm)
        ]
    assert reasons == ["stop", "length"]


async def test_requests_are_recorded() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        await ask(fake, chat(stream=True), headers=(("X-Trace", "7"),))
        await ask(fake, None, "/v1/models?x=1")
    first, second = fake.requests
    assert (first.method, first.path, first.model, first.stream, first.surface) == (
        "POST",
        "/v1/chat/completions",
        "m",
        True,
        "chat",
    )
    assert first.header("x-trace") == "7"
    assert (second.path, second.query, second.surface) == ("/v1/models", "x=1", "")
    assert [first.connection, second.connection] == [1, 2]
    assert fake.surface_requests == [first]
    assert fake.probe_requests == [second]
    assert fake.served == {"none": 2}


async def test_a_connection_is_kept_and_pipelined_requests_are_answered_in_order() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=["m"])
        client = await Client.to(fake)
        client.send(
            request(chat(), close=False) + request(None, "/health", close=False) + request(None, "/health")
        )
        got, end = await client.rest()
        await client.leave()
    assert end == "fin"
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert got.index(b"all is well") < got.index(b'{"status":"ok"}')
    assert got.count(b"Keep-Alive: timeout=5, max=100") == 2
    assert {recorded.connection for recorded in fake.requests} == {1}


async def test_a_request_in_pieces_is_read() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=["m"])
        client = await Client.to(fake)
        whole = request(chat())
        for at in range(0, len(whole), 7):
            client.send(whole[at : at + 7])
            await client.writer.drain()
        got, _ = await client.rest()
        await client.leave()
    assert parse(got).status == 200


async def test_expect_is_answered_with_100() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=["m"])
        client = await Client.to(fake)
        head, body = request(chat(), headers=(("Expect", "100-continue"),)).split(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        got, _ = await client.rest()
        await client.leave()
    assert parse(got).status == 200


async def test_what_is_not_http_ends_the_connection() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic")
        assert await raw(fake, b"\x16\x03\x01 what\r\n\r\n") == (b"", "fin")


async def test_in_flight_peak_and_departures_are_counted() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        release = asyncio.Event()
        fake.always(Stall(release=release))
        clients = [await Client.to(fake) for _ in range(3)]
        for client in clients:
            client.send(request(chat()))
        await fake.wait_for_requests(3)
        assert (fake.in_flight, fake.peak_in_flight, fake.open_sockets, fleet.in_flight) == (3, 3, 3, 3)

        await clients[0].leave()
        await fake.wait_for_departure(1)
        assert (fake.in_flight, fake.departures) == (2, 1)

        release.set()
        for client in clients[1:]:
            assert parse((await client.rest())[0]).status == 200
            await client.leave()
        await fake.wait_until_idle()
        await fake.wait_until_closed()
        assert (fake.in_flight, fake.peak_in_flight, fake.departures, fake.open_sockets) == (0, 3, 1, 0)


async def test_leaving_in_the_middle_of_a_stream_is_noticed() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=["m"])
        fake.next(Stall(Stage.BODY, at_event=2))
        client = await Client.to(fake)
        client.send(request(chat(stream=True)))
        await client.until(b"\r\n\r\n")
        await client.leave()
        await fake.wait_for_departure()
    assert fake.served == {"Stall": 1}


async def test_a_wait_that_is_in_vain_says_for_what() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", name="quiet")
        with pytest.raises(TimeoutError, match=r"quiet: waited 0\.01 s for 2 requests"):
            await fake.wait_for_requests(2, seconds=0.01)


async def test_a_client_that_does_not_read_holds_the_reply_back() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=[FakeModel("m", reply="x" * 40_000_000)])
        client = await Client.to(fake)
        client.send(request(chat()))
        await fake.wait_for_requests(1)
        assert fake.in_flight == 1
        await client.leave()
        await fake.wait_for_departure()


async def test_faults_come_in_order_then_the_standing_one_then_the_policy() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"], policy=lambda _: ServerError())
        fake.next(Reset())
        fake.always(CutStream())
        kinds = []
        for _ in range(2):
            await raw(fake, request(chat()))
            kinds.append(fake.requests[-1].fault)
        fake.always(None)
        await raw(fake, request(chat()))
        kinds.append(fake.requests[-1].fault)
        fake.clear()
        await raw(fake, request(chat()))
        kinds.append(fake.requests[-1].fault)
    assert kinds == ["Reset", "CutStream", "ServerError", ""]
    assert fake.served == {"Reset": 1, "CutStream": 1, "ServerError": 1, "none": 1}


async def test_probes_are_spared_unless_asked() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        fake.next(ServerError())
        fake.always(ServerError())
        assert (await ask(fake, None, "/v1/models")).status == 200
        fake.always(ServerError(), probes=True)
        assert (await ask(fake, None, "/v1/models")).status == 500


async def test_a_key_is_asked_for() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"], key="sk-right")
        assert (await ask(fake, chat())).status == 401
        assert (await ask(fake, chat(), headers=(("Authorization", "Bearer sk-wrong"),))).status == 401
        assert (await ask(fake, chat(), headers=(("Authorization", "Bearer sk-right"),))).status == 200
        assert (await ask(fake, None, "/health")).status == 200
        fake.set_key(None)
        assert (await ask(fake, chat())).status == 200


async def test_pace_spreads_a_stream_by_the_clock() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"], pace=0.001)
        reply = await ask(fake, chat(stream=True))
    assert len(reply.chunks) == 11
    assert reply.body.endswith(b"data: [DONE]\n\n")


async def test_thousands_of_requests_with_seeded_faults_are_all_accounted_for() -> None:
    rng = random.Random(7)
    faults: tuple[Fault | None, ...] = (
        None,
        None,
        None,
        Reset(),
        CutStream(),
        ServerError(),
        Reset(Stage.BODY, 5),
    )

    def policy(_: RecordedRequest) -> Fault | None:
        return rng.choice(faults)

    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"], policy=policy)
        wire = request(chat(stream=True))

        async def visit(count: int) -> None:
            for _ in range(count):
                await raw(fake, wire)

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(visit(100))
        await fake.wait_until_closed()
    assert sum(fake.served.values()) == len(fake.requests) == 1000
    assert fake.in_flight == 0
    assert all(fake.served[kind] > 50 for kind in ("none", "Reset", "CutStream", "ServerError"))
