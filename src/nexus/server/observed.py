"""Everyone who consumes the outcomes of one gateway's requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nexus.config.load import Loaded
from nexus.gateway.packing import Source, TrailPacking
from nexus.gateway.trail import Trail
from nexus.observe.history import RequestHistory
from nexus.observe.hub import OutcomeHub
from nexus.observe.loop_lag import LoopLag
from nexus.observe.mask import Mask
from nexus.observe.request_log import RequestLog
from nexus.observe.traffic import Traffic
from nexus.observe.writer import LineWriter
from nexus.registry.registry import Registry
from nexus.server import settings
from nexus.server.metering import request_metrics
from nexus.tasks import Clock


class Observed:
    """What is kept and counted of requests.

    Args:
        loaded: the configuration.
        registry: the fleet, for gauges.
        writer: takes log lines.
        clock: the time.
        mask: keeps keys out of the log.

    Attributes:
        metrics: for the scrape page.
        request_log: one line a request.
        history: for explanations.
        traffic: for charts.
        loop_lag: to be run; the scrape page has what it finds.
        publish: takes each outcome, with what explains it.
        deliver: gives everyone at once what was published in this round of the loop.
    """

    def __init__(
        self, loaded: Loaded, registry: Registry, writer: LineWriter, clock: Clock, mask: Mask
    ) -> None:
        self.loop_lag = LoopLag(clock)
        self.metrics = request_metrics(loaded, registry, writer, self.loop_lag.seconds)
        self.request_log = RequestLog(writer, loaded.config.logging.format, mask)
        self.history: RequestHistory[Trail, tuple[Source, ...]] = RequestHistory(
            *settings.history_bounds(loaded), TrailPacking()
        )
        self.traffic = Traffic(clock.wall)
        hub = OutcomeHub(
            _soon,
            self.history.remember,
            self.metrics.observe,
            self.request_log.observe,
            self.traffic.observe,
        )
        self.publish = hub.publish
        self.deliver = hub.deliver


def _soon(work: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(work)
