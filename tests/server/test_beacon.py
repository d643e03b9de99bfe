from __future__ import annotations

from collections.abc import Iterable

from nexus.config.load import Loaded
from nexus.config.schema import Config, DiscoveryConfig, ServerConfig
from nexus.domain import Secret, replace
from nexus.server.beacon import Beacon
from nexus.services.advertise import Advertiser, Announcement
from nexus.tasks import Clock, SystemClock

ADVERTISED = Loaded(
    config=Config(
        server=ServerConfig(host="0.0.0.0", tls_cert="cert.pem"),
        discovery=DiscoveryConfig(advertise=True),
    ),
    client_keys=(Secret("k"),),
)


class Recorded(Advertiser):
    """Announces nothing and remembers what it was told to."""

    def __init__(self, announcement: Announcement, bound: Iterable[str], *, clock: Clock) -> None:
        super().__init__(announcement, bound, clock=clock)
        self.told = announcement
        self.hosts = self._bound
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    async def close(self) -> None:
        self.calls.append("close")


class Fixture:
    def __init__(self) -> None:
        self.made: list[Recorded] = []
        self.beacon = Beacon("id-1", SystemClock(), self.make)

    def make(self, announcement: Announcement, bound: Iterable[str], *, clock: Clock) -> Recorded:
        self.made.append(Recorded(announcement, bound, clock=clock))
        return self.made[-1]


async def test_nothing_is_announced_unless_asked_for() -> None:
    fixture = Fixture()
    fixture.beacon.bind([("127.0.0.1", 1)])
    await fixture.beacon.follow(Loaded(config=Config()))
    await fixture.beacon.close()
    assert fixture.made == []


async def test_nothing_is_announced_before_it_listens() -> None:
    fixture = Fixture()
    await fixture.beacon.follow(ADVERTISED)
    assert fixture.made == []


async def test_what_is_true_is_announced_once() -> None:
    fixture = Fixture()
    fixture.beacon.bind([("0.0.0.0", 8000), ("::", 8000)])
    await fixture.beacon.follow(ADVERTISED)
    await fixture.beacon.follow(ADVERTISED)
    (advertiser,) = fixture.made
    assert fixture.beacon.advertiser is advertiser
    assert advertiser.hosts == ("0.0.0.0", "::")
    told = advertiser.told
    assert (told.gateway_id, told.port, told.keyed, told.tls) == ("id-1", 8000, True, True)
    await fixture.beacon.close()
    await fixture.beacon.close()
    assert advertiser.calls == ["start", "close"]


async def test_what_changed_is_withdrawn_and_announced_anew() -> None:
    fixture = Fixture()
    fixture.beacon.bind([("0.0.0.0", 8000)])
    await fixture.beacon.follow(ADVERTISED)
    await fixture.beacon.follow(replace(ADVERTISED, client_keys=()))
    first, second = fixture.made
    assert first.calls == ["start", "close"]
    assert (second.told.keyed, second.calls) == (False, ["start"])
    await fixture.beacon.follow(Loaded(config=Config()))
    assert second.calls == ["start", "close"]
    assert fixture.beacon.advertiser is None
