from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nexus.config.changes import RESTART, applied, described, difference
from nexus.config.fields import leaves
from nexus.config.load import Loaded
from nexus.config.schema import (
    Config,
    DiscoveryConfig,
    HealthCheckConfig,
    RoutingConfig,
    ServerConfig,
    TimeoutsConfig,
    WeightsConfig,
)
from nexus.config.telling import LoggingConfig
from nexus.domain import BackendSpec, BackendType, ModelOverride, Origin, Secret, Strategy, replace

_words = st.sampled_from(["a", "b", "c", "llama3:8b", "gpt-*"])
_maps = st.dictionaries(_words, _words, max_size=3).map(MappingProxyType)
_numbers = st.integers(0, 3)
_secrets = st.sampled_from([None, Secret("hunter2"), Secret("hunter3")])

_backends = st.builds(
    BackendSpec,
    id=st.just(""),
    name=st.just(""),
    origin=st.builds(Origin, scheme=st.sampled_from(["http", "https"]), host=_words, port=st.integers(1, 3)),
    type=st.sampled_from([None, *BackendType]),
    priority=_numbers,
    slots=st.none() | st.integers(1, 3),
    key=_secrets,
    headers=st.dictionaries(st.sampled_from(["X-A", "X-B"]), st.builds(Secret, _words)).map(MappingProxyType),
    models=_maps,
    only=st.tuples(_words) | st.just(()),
    overrides=st.tuples(st.builds(ModelOverride, name=_words, vision=st.none() | st.booleans())),
)


def _named(backends: Mapping[str, BackendSpec]) -> tuple[BackendSpec, ...]:
    return tuple(replace(spec, id=name, name=name) for name, spec in backends.items())


_configs = st.builds(
    Config,
    server=st.builds(
        ServerConfig,
        host=st.sampled_from(["127.0.0.1", "0.0.0.0"]),
        port=_numbers,
        drain_seconds=st.floats(0, 3),
        cors_origins=st.tuples(_words) | st.just(()),
        reload=st.booleans(),
    ),
    timeouts=st.builds(TimeoutsConfig, idle_seconds=st.floats(1, 3), write_seconds=st.floats(1, 3)),
    discovery=st.builds(DiscoveryConfig, enabled=st.booleans(), peers=st.just(()) | st.just(("box:1",))),
    health_check=st.builds(HealthCheckConfig, failure_threshold=st.integers(1, 3)),
    routing=st.builds(
        RoutingConfig,
        strategy=st.sampled_from(Strategy),
        default_model=st.none() | _words,
        weights=st.sampled_from([WeightsConfig(), WeightsConfig(100, 0, 0)]),
        aliases=_maps,
    ),
    backends=st.dictionaries(_words, _backends, max_size=4).map(_named),
    logging=st.builds(LoggingConfig, level=st.sampled_from(["debug", "info"]), component_levels=_maps),
)
_loaded = st.builds(
    Loaded, config=_configs, client_keys=st.lists(st.builds(Secret, _words), unique=True).map(tuple)
)


def _comparable(config: Config) -> dict[str, Any]:
    """Everything that a reload can change, the order of backends aside."""
    found: dict[str, Any] = {}
    for name, _ in leaves(Config):
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        found[name] = dict(value) if isinstance(value, Mapping) else value
    found["backends"] = {backend.id: backend for backend in config.backends}
    return {name: value for name, value in found.items() if name not in RESTART}


@given(_loaded)
def test_nothing_differs_from_itself(loaded: Loaded) -> None:
    changes = difference(loaded, replace(loaded, warnings=("w",)))
    assert not changes
    assert described(changes) == ()
    assert applied(loaded.config, changes) == loaded.config


@given(_loaded, _loaded)
def test_a_difference_applied_gives_the_other(old: Loaded, new: Loaded) -> None:
    changes = difference(old, new)
    result = applied(old.config, changes)
    assert _comparable(result) == _comparable(new.config)
    assert result.server.port == old.config.server.port
    again = difference(replace(new, config=result), new)
    assert all(change.restart for change in again.settings)
    assert (again.added, again.changed, again.removed, again.keys) == ((), (), (), False)


@given(_loaded, _loaded)
def test_every_change_is_one_line_without_a_secret(old: Loaded, new: Loaded) -> None:
    changes = difference(old, new)
    lines = described(changes)
    assert bool(lines) is bool(changes)
    assert len(set(lines)) == len(lines)
    for line in lines:
        assert line.isprintable()
        assert "hunter" not in line


def _spec(name: str, **fields: Any) -> BackendSpec:  # noqa: ANN401  any field
    return replace(BackendSpec(name, name, Origin("http", "box", 1)), **fields)


def _config(**sections: Any) -> Loaded:  # noqa: ANN401  any section
    return Loaded(config=Config(**sections))


def test_what_is_told() -> None:
    old = _config(
        backends=(_spec("gone"), _spec("kept", key=Secret("hunter2"), priority=50)),
        routing=RoutingConfig(aliases={"a": "x", "b": "x"}),
    )
    new = Loaded(
        config=Config(
            backends=(
                _spec("kept", key=Secret("hunter3"), priority=10, slots=2, overrides=(ModelOverride("m"),)),
                _spec("new", origin=Origin("https", "::1", 443)),
            ),
            routing=RoutingConfig(strategy=Strategy.RANDOM, aliases={"b": "y", "c": "z"}),
            server=ServerConfig(port=1, drain_seconds=5.0),
        ),
        client_keys=(Secret("k"),),
    )
    assert described(difference(old, new)) == (
        "backends.new: added, https://[::1]/v1",
        "backends.kept.priority: 50 -> 10",
        "backends.kept.api_key_env: changed",
        "backends.kept.slots: nothing -> 2",
        "backends.kept.model: changed",
        "backends.gone: removed; its running requests end first",
        "server.port: 6398 -> 1 (needs a restart)",
        "server.drain_seconds: 30 -> 5",
        'routing.strategy: "smart" -> "random"',
        'routing.aliases."a": "x" -> nothing',
        'routing.aliases."b": "x" -> "y"',
        'routing.aliases."c": nothing -> "z"',
        "keys: changed",
    )


def test_what_needs_a_restart_is_no_setting_that_does_not_exist() -> None:
    assert {name for name, _ in leaves(Config)} >= RESTART


def test_sections_are_touched_by_what_can_be_applied() -> None:
    changes = difference(
        _config(), _config(server=ServerConfig(port=1), timeouts=TimeoutsConfig(idle_seconds=1))
    )
    assert changes.touches("timeouts")
    assert not changes.touches("server")
