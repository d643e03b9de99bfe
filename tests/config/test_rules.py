from __future__ import annotations

from collections.abc import Callable

import pytest

from nexus.config.load import Loaded

Load = Callable[..., Loaded]
Refusal = Callable[..., str]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[routing.weights]\npriority = 60",
            "routing.weights: expected weights that sum to 100, got 110 (priority 60, load 30, latency 20)",
        ),
        (
            "[server]\nmax_body_mb = 300",
            "server.max_body_mb: expected at most max_buffered_mb, 256",
        ),
        ("[server]\ntls_key = 'nexus.toml'", "server.tls_key: expected tls_cert beside it"),
        (
            "[routing.aliases]\na = 'b'\nb = 'a'",
            "routing.aliases.a: expected an alias that ends at a model, got a cycle: a -> b -> a",
        ),
        (
            "[routing.aliases]\n'x:1' = 'x:1'",
            'routing.aliases."x:1": expected an alias that ends',
        ),
        (
            "[routing.aliases]\nz = 'a'\na = 'b'\nb = 'a'",
            "routing.aliases.z: expected an alias that ends at a model, got a cycle: a -> b -> a",
        ),
        (
            "[routing.aliases]\na = 'b'\nb = 'c'\nc = 'd'\nd = 'e'",
            "routing.aliases.a: expected at most 3 hops, got a -> b -> c -> d -> e",
        ),
        (
            "[routing.aliases]\na = 'gpt-*'",
            "routing.aliases.a: expected a model name, got a glob",
        ),
        ("[routing.aliases]\na = 1", "routing.aliases.a: expected a model name, got 1"),
        ("[routing.aliases]\n'' = 'a'", 'routing.aliases."": expected a model name or a glob'),
        ("[routing.fallbacks]\na = []", "routing.fallbacks.a: expected at least one model"),
        ("[routing.fallbacks]\na = ['b', 'a']", "routing.fallbacks.a: expected other models"),
        (
            "[routing.fallbacks]\na = ['b', 'b']",
            "routing.fallbacks.a: expected each value once",
        ),
    ],
)
def test_contradictions_are_refused(refusal: Refusal, text: str, message: str) -> None:
    assert refusal(text).startswith(f"nexus.toml:2: {message}")


def test_a_contradiction_names_the_variable_that_made_it(refusal: Refusal) -> None:
    message = refusal("", {"NEXUS__ROUTING__WEIGHTS__LOAD": "31"})
    assert message.startswith("environment NEXUS__ROUTING__WEIGHTS__LOAD: routing.weights: expected")


@pytest.mark.parametrize(
    "aliases",
    [
        "a = 'b'\nb = 'c'\nc = 'd'",  # three hops
        "'*' = 'm'",  # catches its own target, which is a model
        "'gpt-*' = 'gpt-4o'",
        "'gpt-4' = 'm'\n'*' = 'gpt-4'",
        "'a.b' = 'm'\n\"c/d\" = 'a.b'",
    ],
)
def test_aliases_that_end_are_accepted(load_text: Load, aliases: str) -> None:
    assert load_text(f"[routing.aliases]\n{aliases}").rules.aliases


def test_what_nobody_can_reach_is_not_announced(refusal: Refusal) -> None:
    message = refusal("[discovery]\nadvertise = true", {"NEXUS_API_KEY": "k"})
    assert message.startswith(
        'nexus.toml:2: discovery.advertise: expected a host that other computers reach, got "127.0.0.1"'
    )


def test_a_door_without_a_key_is_announced_only_when_it_is_meant_to_be_open(
    refusal: Refusal, load_text: Load
) -> None:
    text = "[server]\nhost = '0.0.0.0'\n[discovery]\nadvertise = true\n"
    assert "expected a key that clients must show" in refusal(text)
    assert load_text(text, {"NEXUS_API_KEY": "k"}).config.discovery.advertise
    assert load_text(text + "open = true").config.discovery.open


def test_flags_are_named_when_they_contradict_the_rest(refusal: Refusal) -> None:
    assert refusal("", flags={"discovery.advertise": True}).startswith(
        "flag --advertise: discovery.advertise:"
    )
