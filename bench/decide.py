"""What one decision and one lease cost, by the number of candidates.

    python -m bench.decide            # the table
    python -m bench.decide --quick    # a few rounds: only shows that it runs

Each row is the best of many short rounds of CPU time, so that other work on the machine counts
little. The rows with other models show that their number is not part of the price.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from random import Random

from bench.cost import cost
from nexus.domain import (
    BackendSpec,
    BackendStatus,
    BackendType,
    Model,
    Origin,
    Requirements,
    RoutingRules,
    Strategy,
)
from nexus.registry import Registry, Snapshot
from nexus.routing import Decision, decide
from nexus.tasks import SystemClock

SURFACES = frozenset({"chat", "completions", "embeddings"})
REQUEST = Requirements(surface="chat", model="llama3", text_bytes=350)


def fleet(candidates: int, others: int = 0, strategy: Strategy = Strategy.SMART) -> Registry:
    """Return ``candidates`` healthy backends that share one model, ``others`` models among them."""
    registry = Registry(SystemClock(), RoutingRules(strategy=strategy))
    rng = Random(1)
    share = -(-others // candidates)
    for number in range(candidates):
        spec = BackendSpec(f"b{number}", f"b{number}", Origin("http", "127.0.0.1", 1 + number))
        registry.register(spec, type=BackendType.VLLM, slots=100, surfaces=SURFACES)
        models = (Model("llama3", "llama3", context_length=8192), *_others(number, share))
        registry.update(spec.id, status=BackendStatus.HEALTHY, reason="", models=models)
    for candidate in registry.by_model("llama3"):
        candidate.load.in_flight = rng.randrange(20)
        candidate.stats.first_byte = rng.uniform(0.05, 2.0)
    return registry


def _others(backend: int, count: int) -> list[Model]:
    return [Model(f"other-{backend}-{number}", f"other-{backend}-{number}") for number in range(count)]


def decision(snapshot: Snapshot, requirements: Requirements = REQUEST) -> Callable[[], object]:
    """Return one decision as a call without arguments."""
    rng = Random(2)
    result = decide(snapshot, requirements, 100.0, rng)
    if not isinstance(result, Decision):
        raise SystemExit(f"the benchmark's fleet refuses: {result}")
    return lambda: decide(snapshot, requirements, 100.0, rng)


def lease(registry: Registry) -> Callable[[], object]:
    """Return one lease, from entry to exit, as a call without arguments."""
    candidate = registry.by_model("llama3")[0]

    def once() -> None:
        with registry.lease(candidate) as held:
            held.sent = True

    return once


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds only")
    quick = parser.parse_args().quick
    rounds, calls = (2, 200) if quick else (60, 3_000)
    print(f"{'what':<44}{'µs':>9}{'µs/candidate':>14}")

    def row(what: str, work: Callable[[], object], per: int = 1) -> None:
        spent = cost(work, rounds, max(5, calls // per))
        print(f"{what:<44}{spent:>9.2f}{spent / per:>14.2f}")

    for count in (1, 2, 3, 10, 100, 1000):
        row(f"smart, {count} candidates", decision(fleet(count).snapshot), count)
    for strategy in (Strategy.ROUND_ROBIN, Strategy.PRIORITY_ONLY, Strategy.RANDOM):
        row(f"{strategy.value}, 100 candidates", decision(fleet(100, strategy=strategy).snapshot), 100)
    demanding = Requirements(
        surface="chat", model="llama3", text_bytes=350, images=1, vision=True, tools=True, json=True
    )
    row("smart, 100 candidates, vision+tools+json", decision(fleet(100).snapshot, demanding), 100)
    for others in (0, 1000, 10_000):
        row(f"smart, 3 candidates, {others} other models", decision(fleet(3, others).snapshot), 3)
    row("lease, entry to exit", lease(fleet(1)))


if __name__ == "__main__":
    main()
