"""Mutated recordings and garbage: every exchange ends in completion or an UpstreamError, nothing leaks."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from tests.http.peers import Bench, Caller, Recorder, bench, on_both_loops, peer, sockets, until

from nexus.domain import Origin
from nexus.errors import UpstreamError
from nexus.http.client import Timeouts

CAPTURES = Path(__file__).parent.parent / "captures"
SEEDS = int(os.environ.get("NEXUS_FUZZ_SEEDS", "2"))
EXCHANGES = 180
AT_ONCE = 30
SPICE = [
    b"\r\n",
    b"\n",
    b"\0",
    b"0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Connection: close\r\n",
    b"HTTP/1.0",
    b"ffffffffffffffff\r\n",
]


def recordings() -> list[bytes]:
    found = sorted(CAPTURES.rglob("*.resp"))
    small = [path.read_bytes() for path in found if 0 < path.stat().st_size < 20_000]
    assert len(small) > 100
    return small


def flipped(rng: random.Random, whole: bytes) -> bytes:
    """Change a few bytes near the front."""
    changed = bytearray(whole)
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(min(len(changed), 400))] = rng.randrange(256)
    return bytes(changed)


def mutated(rng: random.Random, whole: bytes) -> bytes:
    """Cut, flip, repeat, drop or spice ``whole``; sometimes nothing, sometimes garbage alone."""
    at, to = sorted(rng.randrange(len(whole) + 1) for _ in range(2))
    near_head = rng.randrange(min(len(whole), 300))
    return rng.choice(
        [
            whole,
            whole[:at],
            rng.randbytes(rng.randrange(200)),
            whole[:at] + whole[at:to] * 2 + whole[to:],
            whole[:at] + whole[min(to, at + 20) :],
            whole[:near_head] + rng.choice(SPICE) + whole[near_head:],
            flipped(rng, whole),
        ]
    )


async def misbehave(caller: Caller, rng: random.Random, recorded: list[bytes]) -> None:
    """Answer requests with mutations in pieces, until it is time to leave in one way or another."""
    while True:
        await caller.request()
        answer = mutated(rng, rng.choice(recorded))
        while answer:
            size = rng.choice([1, 7, 100, 10_000, 100_000])
            await caller.send(answer[:size])
            answer = answer[size:]
            if size > 1 or rng.random() < 0.1:
                await asyncio.sleep(0)
        ending = rng.random()
        if ending < 0.4:
            return
        if ending < 0.6:
            caller.reset()
            return


async def attempt(b: Bench, origin: Origin, rng: random.Random) -> bool:
    """Run one exchange, some cancelled on the way; return whether it completed."""
    seen = Recorder(begin=rng.random() < 0.8)
    timeouts = Timeouts(connect=5, first_byte=0.2, idle=0.2)
    running = asyncio.create_task(b.post(origin, seen, timeouts=timeouts))
    if rng.random() < 0.1:
        for _ in range(rng.randrange(30)):
            await asyncio.sleep(0)
        running.cancel()
    try:
        await running
    except (UpstreamError, asyncio.CancelledError):
        return False
    finally:
        assert seen.late == []
    assert seen.heads == 1
    return True


@on_both_loops
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_a_backend_sends(seed: int) -> None:
    rng = random.Random(seed)
    recorded = recordings()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with peer(lambda caller: misbehave(caller, rng, recorded)) as server, bench() as b:
        before = sockets()
        completed = 0
        for _ in range(EXCHANGES // AT_ONCE):
            done = await asyncio.gather(*(attempt(b, server.origin, rng) for _ in range(AT_ONCE)))
            completed += sum(done)
        assert 0.1 * EXCHANGES < completed < 0.9 * EXCHANGES
        await b.client.close()
        await until(lambda: sockets() <= before)
    assert complaints == []
