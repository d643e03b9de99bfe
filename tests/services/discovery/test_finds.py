from __future__ import annotations

import asyncio
import gc
import ipaddress
import itertools
from collections import Counter
from contextvars import Context
from types import BuiltinFunctionType, FunctionType, ModuleType

import msgspec
import pytest
from tests.services.discovery.kit import REFUSED, World, local, mdns, peer, variable, world

from nexus.domain import Backend, BackendStatus, DiscoverySource, replace
from nexus.services.discovery.finds import Finds
from nexus.services.discovery.sightings import Sighting

BOX = "192.168.1.20"
OTHER = "192.168.1.21"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def backend(w: World) -> Backend:
    (spec,) = w.found()
    found = w.registry.get(spec.id)
    assert found is not None
    return found


async def test_what_serves_becomes_a_backend_that_says_where_it_was_found() -> None:
    async with world() as w:
        w.serve("127.0.0.1", 11434)
        await w.see(local(11434))
        (spec,) = w.found()
        assert (spec.name, spec.id, str(spec.origin), spec.api_root, spec.native_root) == (
            "ollama",
            "found-127.0.0.1-11434",
            "http://127.0.0.1:11434",
            "/v1",
            "",
        )
        assert (spec.source, spec.found_by) == (DiscoverySource.LOCAL, "port 11434 on this computer")
        assert spec.type is None
        assert (spec.priority, spec.key, dict(spec.headers)) == (50, None, {})


async def test_nothing_is_registered_before_it_was_examined() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        w.gate.clear()
        w.finds.seen(mdns("Kitchen", BOX))
        await w.clock.advance(1)
        assert w.examined
        assert not w.found()
        w.gate.set()
        await w.settle()
        assert w.names() == ["Kitchen"]


@pytest.mark.parametrize(
    "further",
    [
        [mdns("Kitchen 2", BOX)],
        [mdns("Elsewhere", OTHER, server_id="a")],
        [peer(BOX)],
        [mdns("Kitchen 2", "fd00::5", BOX), mdns("Kitchen 3", "fd00::5")],
        [mdns("Kitchen 2", "::ffff:192.168.1.20")],
    ],
    ids=["a second service", "the same id", "a peer entry", "through a third", "an IPv4 address as IPv6"],
)
async def test_one_server_is_one_backend(further: list[object]) -> None:
    async with world() as w:
        for host in (BOX, OTHER, "fd00::5"):
            w.serve(host, 8000)
        sightings = [mdns("Kitchen", BOX, server_id="a"), *further]
        await w.see(*sightings)  # type: ignore[arg-type]  # parametrised
        assert len(w.found()) == 1
        assert len(w.registered) == 1


async def test_one_server_is_one_backend_however_this_computer_is_called() -> None:
    async with world(own=["192.168.1.5", "fd00::1"]) as w:
        for host in ("127.0.0.1", "::1", "192.168.1.5", "fd00::1", "localhost"):
            w.serve(host, 8000)
        await w.see(
            local(8000, "::1"), local(8000), mdns("Desk", "192.168.1.5", "fd00::1"), peer("localhost")
        )
        assert w.urls() == ["http://127.0.0.1:8000"]


async def test_other_loopback_addresses_are_other_servers() -> None:
    async with world(own=["127.0.0.2"]) as w:
        w.serve("127.0.0.1", 8000)
        w.serve("127.0.0.2", 8000)
        await w.see(local(8000), local(8000, "127.0.0.2"))
        assert w.urls() == ["http://127.0.0.1:8000", "http://127.0.0.2:8000"]


async def test_two_backends_that_turn_out_to_be_one_server_become_the_older_one() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        w.serve("fd00::5", 8000)
        await w.see(mdns("Kitchen", BOX), mdns("Attic", "fd00::5"))
        assert len(w.found()) == 2
        await w.see(mdns("Attic", "fd00::5", BOX))
        assert w.names() == ["Kitchen"]
        assert len(w.forgotten) == 1


async def test_a_name_is_the_addresses_that_it_resolves_to() -> None:
    async with world() as w:
        w.resolver.names["box"] = [BOX]
        w.serve("box", 8000)
        w.serve(BOX, 8000)
        await w.see(peer("box"), mdns("Kitchen", BOX))
        assert len(w.found()) == 1


async def test_an_announcement_never_joins_two_servers_that_are_known_otherwise() -> None:
    async with world(allow=LOOPBACK) as w:
        for port in (11434, 1234):
            w.serve("127.0.0.1", port)
        await w.see(local(11434), local(1234))
        await w.see(
            mdns("Evil", "127.0.0.1", port=11434, server_id="x"),
            mdns("Evil 2", "127.0.0.1", port=1234, server_id="x"),
        )
        assert w.urls() == ["http://127.0.0.1:11434", "http://127.0.0.1:1234"]
        assert not w.forgotten


# --- configured beats found ---------------------------------------------------------------


@pytest.mark.parametrize("source", [DiscoverySource.STATIC, DiscoverySource.MANUAL])
@pytest.mark.parametrize("host", [BOX, "box.lan", "127.0.0.1", "localhost", "192.168.1.5"])
async def test_a_configured_server_is_not_found_again(host: str, source: DiscoverySource) -> None:
    async with world(allow=LOOPBACK, own=["192.168.1.5"]) as w:
        w.resolver.names["box.lan"] = [BOX]
        for seen in (BOX, "127.0.0.1"):
            w.serve(seen, 8000)
        w.configure("mine", host, 8000, source)
        before = w.registry.get("mine")
        await w.see(mdns("Kitchen", BOX if "box" in host or host == BOX else "127.0.0.1"))
        assert not w.found()
        assert not w.registered
        assert w.registry.get("mine") == before


async def test_a_sighting_of_a_configured_server_that_is_down_asks_for_a_check() -> None:
    async with world() as w:
        w.configure("mine", BOX, 8000)
        w.registry.update("mine", status=BackendStatus.UNHEALTHY)
        await w.see(mdns("Kitchen", BOX))
        async with asyncio.timeout(60):
            assert (await w.registry.next_wish()).backend_id == "mine"
        w.finds.gone(mdns("Kitchen", BOX).key)
        w.registry.update("mine", status=BackendStatus.HEALTHY)
        await w.see(mdns("Kitchen", BOX))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await w.registry.next_wish()


async def test_a_server_that_is_configured_later_is_left_to_its_entry_and_taken_back_after_it() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX))
        assert w.names() == ["Kitchen"]
        w.configure("mine", BOX, 8000)
        await w.settle()
        assert not w.found()
        w.unconfigure("mine")
        await w.settle()
        assert w.names() == ["Kitchen"]


async def test_a_backend_in_its_grace_that_is_configured_is_left_to_its_entry() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX))
        w.finds.gone(mdns("Kitchen", BOX).key)
        w.configure("mine", BOX, 8000)
        await w.settle()
        assert not w.found()
        assert len(w.finds) == 0


async def test_a_configured_name_takes_precedence_over_a_found_one() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX))
        was = backend(w)
        w.configure("kitchen", OTHER, 9000)
        await w.settle()
        now = backend(w)
        assert (now.id, now.name) == (was.id, "Kitchen-2")
        assert not w.forgotten


# --- grace ----------------------------------------------------------------------------------


async def test_removal_waits_for_the_grace_period_after_the_last_sighting() -> None:
    async with world(grace=60) as w:
        w.serve(BOX, 8000)
        first, second = mdns("Kitchen", BOX), peer(BOX)
        await w.see(first, second)
        w.finds.gone(first.key)
        await w.clock.advance(300)
        assert len(w.found()) == 1
        w.finds.gone(second.key)
        await w.clock.advance(59)
        assert len(w.found()) == 1
        await w.clock.advance(2)
        assert not w.found()
        assert len(w.finds) == 0
        assert len(w.tasks) == 0


@pytest.mark.parametrize(
    "again",
    [
        mdns("Kitchen", BOX, server_id="a"),
        mdns("Renamed", BOX),
        mdns("Renamed", OTHER, server_id="a"),
        peer(BOX),
    ],
    ids=["the same", "renamed", "renamed and moved", "another source"],
)
async def test_a_return_within_the_grace_period_changes_nothing(again: object) -> None:
    async with world(grace=60) as w:
        w.serve(BOX, 8000)
        first = mdns("Kitchen", BOX, server_id="a")
        await w.see(first)
        was = backend(w)
        w.finds.gone(first.key)
        await w.clock.advance(30)
        await w.see(again)  # type: ignore[arg-type]  # parametrised
        await w.clock.advance(300)
        assert backend(w) == was
        assert len(w.registered) == 1
        assert not w.forgotten


async def test_a_return_asks_for_a_check_of_what_is_down() -> None:
    async with world() as w:
        w.serve("127.0.0.1", 11434)
        await w.see(local(11434))
        w.registry.update(backend(w).id, status=BackendStatus.UNHEALTHY)
        w.finds.gone(local(11434).key)
        await w.see(local(11434))
        async with asyncio.timeout(60):
            assert (await w.registry.next_wish()).backend_id == backend(w).id
        assert backend(w).status is BackendStatus.UNHEALTHY


@pytest.mark.parametrize("sighting", [local(11434), mdns("Kitchen", BOX)], ids=["port", "mdns"])
async def test_a_sighting_that_goes_asks_for_a_check_and_changes_no_status(sighting: Sighting) -> None:
    async with world() as w:
        w.serve(*sighting.addresses[0])
        await w.see(sighting)
        w.finds.gone(sighting.key)
        async with asyncio.timeout(60):
            assert (await w.registry.next_wish()).backend_id == backend(w).id
        assert backend(w).status is BackendStatus.HEALTHY
        w.finds.gone(sighting.key)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await w.registry.next_wish()


async def test_who_says_goodbye_before_its_door_closes_is_checked_again_until_its_grace_is_over() -> None:
    async with world(grace=60) as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX))
        w.finds.gone(mdns("Kitchen", BOX).key)
        checked: list[float] = []

        async def count() -> None:
            while True:
                await w.registry.next_wish()
                checked.append(w.clock.now() - began)

        began, counting = w.clock.now(), w.tasks.spawn(count(), "count")
        for _ in range(20):
            await w.clock.advance(1)
            await w.settle()
        assert checked == [0, 2, 4, 8, 16]
        await w.see(mdns("Kitchen", BOX))
        await w.clock.advance(20)
        await w.settle()
        assert len(checked) == 5
        counting.cancel()


async def test_a_sighting_that_goes_from_a_configured_backend_asks_for_a_check() -> None:
    async with world() as w:
        w.configure("mine", BOX, 8000)
        w.registry.update("mine", status=BackendStatus.HEALTHY)
        await w.see(mdns("Kitchen", BOX))
        w.finds.gone(mdns("Kitchen", BOX).key)
        async with asyncio.timeout(60):
            assert (await w.registry.next_wish()).backend_id == "mine"


async def test_without_a_grace_period_it_goes_at_once() -> None:
    async with world(grace=0) as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX))
        w.finds.gone(mdns("Kitchen", BOX).key)
        await w.settle()
        assert not w.found()


async def test_it_returns_under_its_old_name_after_others_came_and_went() -> None:
    async with world(grace=1) as w:
        for host in (BOX, OTHER):
            w.serve(host, 8000)
        await w.see(mdns("a/Kitchen", BOX), mdns("b/Kitchen", OTHER))
        names = {str(spec.origin): spec.name for spec in w.found()}
        for key in (mdns("a/Kitchen", BOX).key, mdns("b/Kitchen", OTHER).key):
            w.finds.gone(key)
        await w.clock.advance(5)
        assert not w.found()
        await w.see(mdns("b/Kitchen", OTHER))
        await w.see(mdns("a/Kitchen", BOX))
        assert {str(spec.origin): spec.name for spec in w.found()} == names


async def test_a_hundred_flaps_with_a_request_running_change_nothing() -> None:
    async with world(grace=60) as w:
        w.serve(BOX, 8000)
        sighting = mdns("Kitchen", BOX, server_id="a")
        await w.see(sighting)
        was = backend(w)
        (candidate,) = w.registry.by_model("m")
        with w.registry.lease(candidate) as lease:
            for cycle in range(100):
                w.finds.gone(sighting.key)
                await w.clock.advance(0.3 + cycle % 59)
                assert w.registry.by_model("m")[0].load.in_flight == 1
                await w.see(sighting)
                assert len(w.found()) == 1
                assert len(w.tasks) <= 1
            lease.sent = True
        assert backend(w) == was
        assert w.registry.by_model("m")[0].load.in_flight == 0
        assert lease.attempt.failure is None
        assert (len(w.registered), w.forgotten, len(w.examined)) == (1, [], 1)
        await w.clock.advance(120)
        assert (len(w.tasks), w.clock.sleepers) == (0, 0)


async def test_a_request_that_outlasts_its_backend_ends_as_usual() -> None:
    async with world(grace=1) as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX))
        (candidate,) = w.registry.by_model("m")
        with w.registry.lease(candidate) as lease:
            w.finds.gone(mdns("Kitchen", BOX).key)
            await w.clock.advance(5)
            assert not w.found()
        assert lease.attempt.failure is None


# --- examinations ---------------------------------------------------------------------------


async def test_what_serves_nothing_is_left_alone_until_it_closes() -> None:
    async with world() as w:
        w.serve("127.0.0.1", 3000, REFUSED)
        await w.see(local(3000))
        await w.clock.advance(3600)
        await w.see(local(3000))
        assert len(w.examined) == 1
        w.finds.gone(local(3000).key)
        w.serve("127.0.0.1", 3000)
        await w.see(local(3000))
        assert len(w.found()) == 1


@pytest.mark.parametrize(
    "sighting", [mdns("Kitchen", BOX), peer(BOX), variable(BOX)], ids=["mdns", "peer", "env"]
)
async def test_what_serves_nothing_elsewhere_is_asked_again_after_a_minute(sighting: object) -> None:
    async with world() as w:
        w.serve(BOX, 8000, REFUSED)
        await w.see(sighting)  # type: ignore[arg-type]  # parametrised
        await w.clock.advance(59)
        assert len(w.examined) == 1
        w.serve(BOX, 8000)
        await w.clock.advance(2)
        assert len(w.found()) == 1


async def test_what_does_not_answer_is_asked_again_ever_more_slowly_while_it_is_sighted() -> None:
    async with world() as w:
        await w.see(mdns("Kitchen", BOX))
        times = [0.0]
        for second in range(200):
            asked = len(w.examined)
            await w.clock.advance(1)
            if len(w.examined) > asked:
                times.append(second + 1)
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert gaps == [1, 2, 4, 8, 16, 32, 60, 60]
        w.finds.gone(mdns("Kitchen", BOX).key)
        asked = len(w.examined)
        await w.clock.advance(300)
        assert len(w.examined) == asked
        assert (len(w.tasks), w.clock.sleepers) == (0, 0)


async def test_an_examination_that_fails_in_us_is_repeated_too(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        w.serve(BOX, 8000, msgspec.UNSET)  # type: ignore[arg-type]  # breaks whoever reads it
        await w.see(mdns("Kitchen", BOX))
        assert "failed" in caplog.text
        w.serve(BOX, 8000)
        await w.clock.advance(2)
        assert len(w.found()) == 1


async def test_examinations_are_few_at_a_time_and_announcements_leave_room() -> None:
    async with world() as w:
        w.gate.clear()
        for number in range(100):
            w.finds.seen(mdns(f"s{number}", f"10.0.0.{number}"))
        await w.clock.advance(0)
        assert w.at_once == 6
        w.finds.seen(local(11434))
        w.serve("127.0.0.1", 11434)
        await w.clock.advance(0)
        assert w.at_once == 7
        w.gate.set()
        await w.settle()
        assert w.most_at_once <= 8
        assert len(w.found()) == 1


async def test_addresses_are_tried_in_order_and_the_first_good_one_is_kept() -> None:
    async with world() as w:
        sighting = mdns("Kitchen", "fe80::1%3", "fd00::5", "192.168.1.9", BOX)
        w.serve("fd00::5", 8000)
        w.serve("fe80::1%3", 8000)
        await w.see(sighting)
        assert [url.removeprefix("http://") for url in w.examined] == [
            "192.168.1.9:8000/v1",
            "192.168.1.20:8000/v1",
            "[fe80::1%3]:8000/v1",
        ]
        assert w.urls() == ["http://[fe80::1%3]:8000"]


async def test_a_hinted_path_is_tried_first_and_never_believed() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        w.serve(OTHER, 8000)
        w.roots[BOX, 8000] = "/engines/v1"
        w.roots[OTHER, 8000] = "/v1"
        await w.see(mdns("a", BOX, path="engines/v1/"), mdns("b", OTHER, path="/lies"))
        await w.see(mdns("c", "192.168.1.22", path="/../admin?x=1#"))
        assert [spec.api_root for spec in w.found()] == ["/engines/v1", "/v1"]
        assert w.found()[0].native_root == "/engines"
        assert w.examined[-1] == "http://192.168.1.22:8000/v1"


async def test_a_server_whose_address_changes_moves_with_its_id_and_name() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX, server_id="a"))
        was = backend(w)
        w.registry.register(replace(was.spec, priority=7))
        w.serve(OTHER, 8000)
        await w.see(mdns("Kitchen", OTHER, server_id="a"))
        now = backend(w)
        assert (now.id, now.name, now.spec.origin.host, now.spec.priority) == (was.id, was.name, OTHER, 7)
        assert not w.forgotten


async def test_a_server_stays_where_it_was_while_its_new_address_does_not_answer() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX, server_id="a"))
        await w.see(mdns("Kitchen", OTHER, server_id="a"))
        assert w.urls() == [f"http://{BOX}:8000"]
        w.serve(OTHER, 8000)
        await w.clock.advance(2)
        assert w.urls() == [f"http://{OTHER}:8000"]


async def test_a_place_that_its_server_left_is_free_for_the_next_one() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX))
        # Addresses were dealt anew, and what was the kitchen's is the attic's.
        await w.see(mdns("Kitchen", OTHER), mdns("Attic", BOX))
        assert w.names() == ["Attic"]
        w.serve(OTHER, 8000)
        await w.clock.advance(2)
        assert w.urls() == [f"http://{BOX}:8000", f"http://{OTHER}:8000"]
        assert w.names() == ["Attic", "Kitchen"]


async def test_a_place_that_its_server_left_for_another_is_taken_at_once() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        w.serve(OTHER, 8000)
        await w.see(mdns("Kitchen", BOX, server_id="a"))
        was = backend(w)
        await w.see(mdns("Kitchen", OTHER, server_id="a"), mdns("Attic", BOX))
        assert {spec.name: spec.origin.host for spec in w.found()} == {"Kitchen": OTHER, "Attic": BOX}
        assert w.registry.get(was.id) is not None
        assert not w.forgotten


async def test_a_copied_id_with_many_addresses_does_not_push_out_the_one_that_serves() -> None:
    own = [f"192.168.1.{number}" for number in range(100, 120)]
    async with world(own=own) as w:
        w.serve(BOX, 8000)
        for host in own:
            w.serve(host, 9000)
        await w.see(mdns("Kitchen", BOX, server_id="a"))
        for number in range(12):
            await w.see(mdns(f"Copy {number}", *own, port=9000, server_id="a"))
        assert w.urls() == [f"http://{BOX}:8000"]
        w.finds.gone(mdns("Kitchen", BOX).key)
        await w.settle()
        assert w.urls() == ["http://192.168.1.100:9000"]


async def test_each_announcement_of_a_server_gets_its_turn() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        many = [f"10.0.0.{number}" for number in range(20)]
        await w.see(mdns("Copy", *many, server_id="a"), mdns("Kitchen", BOX, server_id="a"))
        assert w.urls() == [f"http://{BOX}:8000"]


async def test_a_backend_that_goes_down_is_looked_for_at_its_other_addresses() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX, "fd00::5"))
        was = backend(w)
        del w.servers[BOX, 8000]
        w.serve("fd00::5", 8000)
        w.registry.mark_unreachable(was.id, "refused")
        await w.settle()
        assert (backend(w).id, str(backend(w).spec.origin)) == (was.id, "http://[fd00::5]:8000")


async def test_health_alone_says_who_is_alive() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        await w.see(mdns("Kitchen", BOX))
        spec = backend(w).spec
        w.registry.update(spec.id, status=BackendStatus.UNHEALTHY)
        w.finds.gone(mdns("Kitchen", BOX).key)
        await w.see(mdns("Kitchen", BOX), mdns("Kitchen 2", BOX))
        assert backend(w).status is BackendStatus.UNHEALTHY
        w.registry.update(spec.id, status=BackendStatus.HEALTHY)
        w.finds.gone(mdns("Kitchen", BOX).key)
        w.finds.gone(mdns("Kitchen 2", BOX).key)
        await w.clock.advance(10)
        assert backend(w).status is BackendStatus.HEALTHY


async def test_what_an_operator_removed_stays_away_while_it_is_sighted() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        w.serve(OTHER, 8000)
        await w.see(mdns("Kitchen", BOX, server_id="a"))
        w.registry.remove(backend(w).id)
        await w.see(mdns("Kitchen", OTHER, server_id="a"))
        await w.clock.advance(600)
        assert not w.found()


# --- who may be added -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "8.8.8.8", "100.64.0.1", "2001:db8::1", "0.0.0.0",
     "224.0.0.1", "169.254.169.254", "::ffff:8.8.8.8"],
)  # fmt: skip
async def test_an_announcement_may_name_private_addresses_only(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as w:
        w.serve(host, 8000)
        for number in range(5):
            await w.see(mdns(f"Far {number}", host))
        await w.see(mdns("Far 0", host))
        assert not w.examined
        assert len(w.finds) == 0
        reason = (
            "it would hand out a cloud's credentials"
            if host == "169.254.169.254"
            else "its network is not in [discovery] allow"
        )
        assert [record.message for record in caplog.records] == [
            f"an announced server is left out, {reason}"
        ] * 5
        assert {record.nexus_fields["address"] for record in caplog.records} == {host}  # type: ignore[attr-defined]  # ours
        assert len({record.nexus_fields["found_by"] for record in caplog.records}) == 5  # type: ignore[attr-defined]  # ours


async def test_a_flood_of_refusals_is_a_bounded_number_of_warnings(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        for number in range(1000):
            w.finds.seen(mdns(f"Far {number}", "8.8.8.8"))
        assert len(caplog.records) == 33
        assert caplog.records[-1].message == "further announced servers are left out, and not named here"


async def test_allowed_networks_are_added() -> None:
    async with world(allow=(ipaddress.ip_network("100.64.0.0/10"),)) as w:
        for host in ("100.64.0.1", BOX):
            w.serve(host, 8000)
            await w.see(mdns(host, host))
        assert len(w.found()) == 2


async def test_what_a_person_named_may_be_anywhere() -> None:
    async with world() as w:
        w.serve("8.8.8.8", 8000)
        await w.see(peer("8.8.8.8"))
        assert len(w.found()) == 1


async def test_nexus_itself_is_never_followed() -> None:
    async with world() as w:
        w.nexus.add((BOX, 8000))
        w.serve(BOX, 8000)
        w.serve(OTHER, 8000)
        await w.see(mdns("Me", BOX), mdns("Both", BOX, OTHER))
        assert w.urls() == [f"http://{OTHER}:8000"]


async def test_there_are_at_most_so_many_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with world(most=3) as w:
        for number in range(20):
            w.serve(f"10.0.0.{number}", 8000)
            await w.see(mdns(f"s{number}", f"10.0.0.{number}"))
        assert w.names() == ["s0", "s1", "s2"]
        assert len([r for r in caplog.records if "max_backends" in r.message]) == 1
        w.finds.gone(mdns("s1", "10.0.0.1").key)
        await w.clock.advance(61)
        await w.settle()
        assert w.names() == ["s0", "s2", "s3"]


async def test_announcements_cannot_keep_out_what_runs_here() -> None:
    async with world(most=2) as w:
        for number in range(5):
            w.serve(f"10.0.0.{number}", 8000)
            await w.see(mdns(f"s{number}", f"10.0.0.{number}"))
        w.serve("127.0.0.1", 11434)
        await w.see(local(11434))
        assert w.names() == ["ollama", "s0"]


async def test_a_flood_of_announcements_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async with world(most=4) as w:
        for number in range(5000):
            w.finds.seen(mdns(f"s{number}", f"10.0.{number // 250}.{number % 250}"))
        await w.settle()
        assert len(w.finds) == 32
        assert len([r for r in caplog.records if "more services" in r.message]) == 1


async def test_clashing_names_get_a_number() -> None:
    async with world() as w:
        w.configure("ollama", "10.9.9.9", 1)
        for port in (11434, 1234):
            w.serve("127.0.0.1", port)
            await w.see(local(port))
        for number in range(2):
            w.serve(f"10.0.0.{number}", 8000)
            await w.see(mdns(f"{number}._ollama", f"10.0.0.{number}"))
        assert w.names() == ["0._ollama", "1._ollama", "ollama-2", "ollama-3"]


async def test_what_was_merely_announced_gives_its_name_to_what_runs_here_or_was_named() -> None:
    async with world() as w:
        for host in (BOX, OTHER, "10.0.0.9"):
            w.serve(host, 8000)
        w.serve("127.0.0.1", 11434)
        await w.see(mdns("ollama", BOX), mdns("Ollama-2", OTHER))
        w.resolver.names["ollama-2.lan"] = ["10.0.0.9"]
        w.serve("ollama-2.lan", 8000)
        await w.see(local(11434))
        assert {spec.name: spec.origin.host for spec in w.found()} == {
            "ollama": "127.0.0.1",
            "Ollama-2": OTHER,
            "ollama-3": BOX,
        }
        await w.see(peer("ollama-2.lan"))
        assert {spec.name: spec.origin.host for spec in w.found()} == {
            "ollama": "127.0.0.1",
            "ollama-2": "ollama-2.lan",
            "ollama-3": BOX,
            "Ollama-2-2": OTHER,
        }
        assert not w.forgotten


async def test_an_announcement_takes_no_name_from_another() -> None:
    async with world() as w:
        for host in (BOX, OTHER):
            w.serve(host, 8000)
        await w.see(mdns("Kitchen", BOX))
        await w.see(mdns("kitchen", OTHER))
        assert {spec.name: spec.origin.host for spec in w.found()} == {"Kitchen": BOX, "kitchen-2": OTHER}


async def test_ids_clash_with_nobody() -> None:
    async with world() as w:
        w.serve(BOX, 8000)
        w.serve(OTHER, 8000)
        w.configure(f"found-{BOX}-8000", "10.9.9.9", 1)
        await w.see(mdns("a", BOX), mdns("b", OTHER, server_id="x y/z" * 40))
        ids = [spec.id for spec in w.found()]
        assert ids[0] == f"found-{BOX}-8000-2"
        assert ids[1].startswith("found-")
        assert len(ids[1]) < 40


# --- ends -----------------------------------------------------------------------------------


async def test_unknown_keys_and_sightings_without_addresses_are_ignored() -> None:
    async with world() as w:
        w.finds.gone("mdns:nobody")
        await w.see(mdns("empty"))
        assert len(w.finds) == 0


async def test_closing_in_the_middle_leaves_nothing() -> None:
    w = World()
    w.gate.clear()
    for number in range(30):
        w.finds.seen(mdns(f"s{number}", f"10.0.0.{number}"))
    await w.clock.advance(0)
    w.finds.close()
    w.finds.seen(mdns("late", BOX))
    assert await w.tasks.close() == 6
    await w.clock.advance(100)
    assert len(w.tasks) == 0
    assert not w.found()


async def test_two_hundred_services_and_an_hour_of_churn_leave_nothing_behind() -> None:
    async with world(most=200) as w:
        services = [
            mdns(f"s{n}", f"10.0.{n // 100}.{n % 100}", f"fd00::{n:x}", server_id=f"id{n}" if n % 2 else "")
            for n in range(200)
        ]
        for service in services:
            w.serve(service.addresses[0][0], 8000)

        async def churn(minutes: int, begin: int) -> None:
            for minute in range(begin, begin + minutes):
                for at in range(minute % 7, 200, 7):
                    w.finds.gone(services[at].key)
                await w.clock.advance(20 + 60 * (minute % 3 == 0))
                for service in services:
                    w.finds.seen(service)
                await w.settle()
                await w.clock.advance(20)
                assert len(w.found()) == 200
                assert len(w.tasks) <= 1

        await w.see(*services)
        # What churns repeats itself every 21 minutes, so both counts are taken at the same point of it.
        await churn(21, 0)
        before = _counted(w)
        await churn(42, 21)
        after = _counted(w)
        assert w.clock.now() > 1000 + 3600
        assert (len(w.finds), len(w.names()), len(set(w.names()))) == (200, 200, 200)
        assert after - before == Counter()
        for service in services:
            w.finds.gone(service.key)
        await w.clock.advance(120)
        assert (w.found(), len(w.finds), len(w.tasks), w.clock.sleepers) == ([], 0, 0, 0)
        assert not any(vars_of(w.finds))


def _counted(w: World) -> Counter[str]:
    """Count, by type, everything that this world holds, and every object of Nexus wherever it is held."""
    for record in (w.registered, w.forgotten, w.examined):
        record.clear()
    gc.collect()
    held = Counter(f"held {type(thing).__qualname__}" for thing in _held_by(w))
    mine = (type(thing) for thing in gc.get_objects())
    return held + Counter(
        f"made {kind.__qualname__}" for kind in mine if str(kind.__module__).startswith("nexus.")
    )


# Through these one gets to the rest of the process, which other tests and the machine's load change.
_ELSEWHERE = (type, ModuleType, FunctionType, BuiltinFunctionType, Context, asyncio.AbstractEventLoop)
_ATOMS = (int, float, str, bytes, type(None))


def _held_by(root: object) -> list[object]:
    """Return the objects that can be reached from ``root``, without atoms."""
    found, left = {id(root): root}, [root]
    while left:
        for thing in gc.get_referents(left.pop()):
            is_globals = isinstance(thing, dict) and "__builtins__" in thing
            if id(thing) not in found and not is_globals and not isinstance(thing, (*_ELSEWHERE, *_ATOMS)):
                found[id(thing)] = thing
                left.append(thing)
    return list(found.values())


def vars_of(finds: Finds) -> list[int]:
    """Return the sizes of everything that grows with what is sighted."""
    groups = finds._groups
    return [len(finds._sightings), len(finds._servers), len(groups), len(groups._owners), len(finds._roster)]
