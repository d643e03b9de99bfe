"""Each fault does on the wire what it says."""

from __future__ import annotations

import asyncio
import gzip
import inspect

import pytest
from tests.testing.wire import Client, ask, chat, header, raw, request, text_of

import nexus.testing
from nexus.testing import (
    BadChunk,
    BothLengths,
    CloseSilently,
    CompleteThenClose,
    CompleteThenReset,
    CutStream,
    Delay,
    Drip,
    EmptyBody,
    FakeBackend,
    FakeFleet,
    Fault,
    Garbage,
    Gzip,
    Headers,
    Http10,
    Interim,
    OverLong,
    Reset,
    Short,
    Stage,
    Stall,
)
from nexus.testing.dialects import DIALECTS
from nexus.testing.fixtures import parse

KINDS = sorted(DIALECTS)
END = b"0\r\n\r\n"


async def meet(
    fake: FakeBackend, fault: Fault, *, stream: bool = False, close: bool = True
) -> tuple[bytes, str]:
    fake.next(fault)
    return await raw(fake, request(chat(stream=stream), close=close))


def body_of(reply: bytes) -> bytes:
    return reply.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("stream", [False, True])
async def test_resets(stream: bool) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        whole, _ = await raw(fake, request(chat(stream=stream)))
        head = whole.index(b"\r\n\r\n") + 4
        assert await meet(fake, Reset(), stream=stream) == (b"", "rst")
        got, end = await meet(fake, Reset(Stage.HEAD, 20), stream=stream)
        assert (len(got), end) == (20, "rst")
        got, end = await meet(fake, Reset(Stage.AFTER_HEAD), stream=stream)
        assert (len(got), end) == (head, "rst")
        got, end = await meet(fake, Reset(Stage.BODY, 37), stream=stream)
        assert (len(got), end) == (head + 37, "rst")
        assert fake.served["Reset"] == 4


async def test_a_gate_holds_a_fault_back() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        gate = asyncio.Event()
        fake.next(CutStream(2, gate=gate))
        client = await Client.to(fake)
        client.send(request(chat(stream=True)))
        await client.until(b"\r\n\r\n")
        assert fake.in_flight == 1
        gate.set()
        _, end = await client.rest()
        await client.leave()
    assert end == "fin"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stage", list(Stage))
async def test_stalls_end_when_released(stage: Stage, stream: bool) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=["m"])
        usual, _ = await raw(fake, request(chat(stream=stream)))
        release = asyncio.Event()
        fake.next(Stall(stage, release=release))
        client = await Client.to(fake)
        client.send(request(chat(stream=stream)))
        head = usual.index(b"\r\n\r\n") + 4
        first = {
            Stage.ACCEPT: 0,
            Stage.BEFORE_HEAD: 0,
            Stage.HEAD: 20,
            Stage.AFTER_HEAD: head,
            Stage.BODY: head + 20,
        }
        got = await client.exactly(first[stage])
        await fake.wait_until(lambda: fake.served["Stall"] == 1, "the stall")
        release.set()
        rest, end = await client.rest()
        await client.leave()
    assert end == "fin"
    assert parse(got + rest).status == 200
    assert text_of(parse(got + rest)) == text_of(parse(usual))


async def test_a_stall_at_accept_reads_nothing() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=["m"])
        fake.always(Stall(Stage.ACCEPT))
        client = await Client.to(fake)
        client.send(request(chat()))
        await fake.wait_until(lambda: fake.served["Stall"] == 1, "a stalled connection")
        with pytest.raises(TimeoutError):
            await fake.wait_for_requests(1, seconds=0.05)
        await client.leave()


async def test_a_delay_waits_for_its_event_or_the_clock() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        event = asyncio.Event()
        fake.next(Delay(event=event), Delay(seconds=0.001))
        client = await Client.to(fake)
        client.send(request(chat()))
        await fake.wait_for_requests(1)
        assert fake.in_flight == 1
        event.set()
        assert parse((await client.rest())[0]).status == 200
        await client.leave()
        assert (await ask(fake, chat())).status == 200


@pytest.mark.parametrize("head", [False, True])
async def test_drips_change_nothing_but_the_pace(head: bool) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=["m"])
        got, end = await meet(fake, Drip(3, head=head), stream=True)
    assert end == "fin"
    assert text_of(parse(got)) == "generic-1 answers as m: all is well here."


async def test_garbage_and_silence() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=["m"])
        got, end = await meet(fake, Garbage())
        assert (got.startswith(b"HTTP/"), bool(got), end) == (False, True, "fin")
        assert await meet(fake, Garbage(b"SSH-2.0-x\r\n")) == (b"SSH-2.0-x\r\n", "fin")
        assert await meet(fake, CloseSilently()) == (b"", "fin")


@pytest.mark.parametrize("stream", [False, True])
async def test_complete_replies_before_the_connection_goes(stream: bool) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        got, end = await meet(fake, CompleteThenReset(), stream=stream, close=False)
        assert (text_of(parse(got)), end) == ("vllm-1 answers as m: all is well here.", "rst")
        got, end = await meet(fake, CompleteThenClose(), stream=stream, close=False)
        assert (text_of(parse(got)), end) == ("vllm-1 answers as m: all is well here.", "fin")
        assert b"onnection: close" not in got
        assert fake.departures == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_framing_faults(stream: bool) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        got, _ = await meet(fake, EmptyBody(), stream=stream)
        assert (got.startswith(b"HTTP/1.1 200"), body_of(got)) == (True, END if stream else b"")

        got, _ = await meet(fake, BothLengths(), stream=stream)
        assert b"ontent-length: " in got.lower()
        assert b"transfer-encoding: chunked" in got.lower()

        got, _ = await meet(fake, OverLong(b"SURPLUS"), stream=stream)
        announced = int(header(parse(got), b"content-length") or 0)
        assert body_of(got)[announced:] == b"SURPLUS"

        got, end = await meet(fake, Short(7), stream=stream)
        announced = int(header(parse(got), b"content-length") or 0)
        assert (announced - len(body_of(got)), end) == (7, "fin")

        got, end = await meet(fake, BadChunk(1), stream=stream)
        assert (got.endswith(b"zz\r\n"), end) == (True, "fin")

        got, end = await meet(fake, Http10(), stream=stream, close=False)
        assert (got.startswith(b"HTTP/1.0 200"), end) == (True, "fin")
        assert b"ontent-length" not in got
        assert b"ransfer-encoding" not in got
        assert text_of(parse(got)) == "vllm-1 answers as m: all is well here."

        got, _ = await meet(fake, Interim((100, 103)), stream=stream)
        assert got.startswith(b"HTTP/1.1 100 Interim\r\n")
        assert parse(got.split(b"\r\n\r\n", 2)[2]).status == 200

        got, _ = await meet(fake, Gzip(), stream=stream)
        assert header(parse(got), b"content-encoding") == b"gzip"
        assert b"all is well" in gzip.decompress(parse(got).body) or stream

        got, _ = await meet(
            fake, Headers((("Set-Cookie", "a=b"), ("X-Nexus-Backend", "evil"))), stream=stream
        )
        assert header(parse(got), b"set-cookie") == b"a=b"


async def test_over_long_and_short_replies_leave_the_wire_as_they_say_on_a_kept_connection() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=["m"])
        fake.next(OverLong(b"!"))
        client = await Client.to(fake)
        client.send(request(chat(), close=False))
        await client.until(b"}!")
        assert fake.open_sockets == 1
        await client.leave()


def test_faults_are_frozen_values_that_are_all_public() -> None:
    public = [
        value for value in vars(nexus.testing).values() if inspect.isclass(value) and issubclass(value, Fault)
    ]
    concrete = [fault for fault in public if not inspect.isabstract(fault)]
    ours = [fault for fault in Fault.__subclasses__() if fault.__module__.startswith("nexus.testing")]
    assert {fault.__name__ for fault in ours} == {fault.__name__ for fault in concrete}
    for fault in concrete:
        assert fault.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert fault.__name__ in nexus.testing.__all__
    assert Reset() == Reset()
