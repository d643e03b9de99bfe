"""The pool and the places, without any socket."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.domain import Origin, TlsOptions
from nexus.http.pool import Places, Pool

HERE = Origin("http", "127.0.0.1", 1)
THERE = Origin("http", "127.0.0.1", 2)


class Connection:
    def __init__(self, pool: Pool[Connection], origin: Origin = HERE, deadline: float = 10.0) -> None:
        self.pool = pool
        self.origin = origin
        self.deadline = deadline
        self.open = True

    def end(self, error: BaseException | None) -> None:
        assert error is None
        self.open = False
        self.pool.discard(self)


def test_last_in_first_out() -> None:
    pool: Pool[Connection] = Pool()
    connections = [Connection(pool) for _ in range(3)]
    for connection in connections:
        pool.put(connection)
    assert [pool.take(HERE, 0.0) for _ in range(4)] == [*reversed(connections), None]


def test_origins_do_not_mix_and_tls_options_are_part_of_them() -> None:
    pool: Pool[Connection] = Pool()
    safe = Origin("https", "x", 443)
    careless = Origin("https", "x", 443, TlsOptions(verify=False))
    pool.put(Connection(pool, careless))
    assert pool.take(safe, 0.0) is None
    assert pool.idle(careless) == 1
    assert pool.take(careless, 0.0) is not None


def test_what_is_past_its_deadline_is_closed_not_given() -> None:
    pool: Pool[Connection] = Pool()
    good, old = Connection(pool), Connection(pool, deadline=1.0)
    for connection in (good, old):
        pool.put(connection)
    assert pool.take(HERE, 1.0) is good
    assert not old.open
    assert pool.idle(HERE) == 0


def test_discard_and_close() -> None:
    pool: Pool[Connection] = Pool()
    ours, theirs = Connection(pool), Connection(pool, THERE)
    pool.put(ours)
    pool.put(theirs)
    pool.discard(ours)
    pool.discard(ours)
    assert (pool.idle(HERE), pool.idle(THERE)) == (0, 1)
    pool.close()
    assert not theirs.open
    assert pool.idle(THERE) == 0


def test_nothing_is_kept_of_an_origin_without_connections() -> None:
    pool: Pool[Connection] = Pool()
    for port in range(1, 100):
        connection = Connection(pool, Origin("http", "x", port))
        pool.put(connection)
        connection.end(None)
    assert pool._idle == {}


async def test_places_are_given_in_order() -> None:
    places, order = Places(1), list[int]()

    async def visit(number: int) -> None:
        await places.acquire(HERE)
        order.append(number)
        await asyncio.sleep(0)
        places.release(HERE)

    await asyncio.gather(*(visit(number) for number in range(10)))
    assert order == list(range(10))
    assert (places._taken, places._waiting) == ({}, {})


@settings(max_examples=100, deadline=None)
@given(
    limit=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["come", "leave", "cancel", "turn"]), st.integers(0, 9)), max_size=40
    ),
)
def test_places_are_neither_lost_nor_doubled(limit: int, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        places = Places(limit)
        inside: list[asyncio.Event] = []
        visitors: list[asyncio.Task[None]] = []

        async def visit() -> None:
            await places.acquire(HERE)
            door = asyncio.Event()
            inside.append(door)
            try:
                await door.wait()
            finally:
                inside.remove(door)
                places.release(HERE)

        for step, number in steps:
            if step == "come":
                visitors.append(asyncio.create_task(visit()))
            elif step == "leave" and inside:
                inside[number % len(inside)].set()
            elif step == "cancel" and visitors:
                visitors[number % len(visitors)].cancel()
            else:
                await asyncio.sleep(0)
            assert len(inside) <= limit
        for _ in range(200):
            for door in inside:
                door.set()
            await asyncio.sleep(0)
        assert all(visitor.done() for visitor in visitors)
        assert (places._taken, places._waiting) == ({}, {})

    asyncio.run(run())


def test_one_origin_is_dropped_and_the_others_rest_on() -> None:
    pool: Pool[Connection] = Pool()
    gone, stays = Connection(pool), Connection(pool, THERE)
    pool.put(gone)
    pool.put(stays)
    pool.drop(HERE)
    pool.drop(HERE)
    assert (gone.open, stays.open) == (False, True)
    assert (pool.idle(HERE), pool.idle(THERE)) == (0, 1)
