"""The page in pieces."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nexus.observe.page import ROWS, pieces


class Families(Collector):
    def __init__(self, *sizes: int) -> None:
        self.families: list[Metric] = []
        for number, size in enumerate(sizes):
            family = CounterMetricFamily(f"many_{number}", "One\nand \\ two", labels=("label",))
            for row in range(size):
                family.add_metric((f'# EOF\n{row}"',), row)
            self.families += [family, GaugeMetricFamily(f"one_{number}", "# EOF", value=1.5)]
        self.families.append(InfoMetricFamily("build", "The version", value={"version": "1"}))

    def collect(self) -> Iterable[Metric]:
        return self.families


@pytest.mark.parametrize("accept", ["", "text/plain; version=1.0.0", "application/openmetrics-text"])
@pytest.mark.parametrize("sizes", [(), (0,), (1, ROWS), (ROWS + 1, 0), (3 * ROWS, ROWS - 1, 2 * ROWS)])
def test_together_they_are_the_page(accept: str, sizes: tuple[int, ...]) -> None:
    families = Families(*sizes)
    encode, _ = choose_encoder(accept)
    found = list(pieces(families.collect(), encode))
    assert b"".join(found) == encode(families)
    assert max(piece.count(b"\n") for piece in found) <= ROWS + 2
