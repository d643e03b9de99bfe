"""What differs between two configurations, and what of it can be applied to a running gateway.

Law: pure. A difference applied to the first configuration gives the second one, but for the
settings that need a restart; the difference of a configuration to itself is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from nexus.config.fields import leaves
from nexus.config.kinds import MapOf, Tables, quoted
from nexus.config.load import Loaded
from nexus.config.schema import Config
from nexus.config.show import backend_values, toml
from nexus.domain import BackendSpec, replace

RESTART: Final = frozenset(
    {
        "server.host",
        "server.port",
        "server.max_body_mb",
        "server.max_buffered_mb",
        "server.max_header_kb",
        "server.tls_cert",
        "server.tls_key",
        "timeouts.write_seconds",
        "upstream.idle_seconds",
        "upstream.max_connections",
        "admin.enabled",
        "tracing.enabled",
    }
)
"""Settings that are read once, when the process starts."""

_SHOWN: Final = 80
_NOTHING: Final = "nothing"


class SettingChange(msgspec.Struct, frozen=True):
    """One setting.

    Attributes:
        key: dotted.
        was, now: its values.
    """

    key: str
    was: Any
    now: Any

    @property
    def restart(self) -> bool:
        """Whether only a restart puts it into force."""
        return self.key in RESTART


class Changes(msgspec.Struct, frozen=True):
    """A difference; false when there is none.

    Attributes:
        settings: all but the backends.
        added: backends that only the second configuration has.
        changed: backends that both have, before and after.
        removed: backends that only the first one has.
        keys: clients, or those who administer, must show other keys.
    """

    settings: tuple[SettingChange, ...] = ()
    added: tuple[BackendSpec, ...] = ()
    changed: tuple[tuple[BackendSpec, BackendSpec], ...] = ()
    removed: tuple[BackendSpec, ...] = ()
    keys: bool = False

    def __bool__(self) -> bool:
        return bool(self.settings or self.added or self.changed or self.removed or self.keys)

    def touches(self, section: str) -> bool:
        """Whether a setting in ``section`` that needs no restart differs."""
        return any(change.key.startswith(f"{section}.") and not change.restart for change in self.settings)


def difference(old: Loaded, new: Loaded) -> Changes:
    """Compare what is in force with what is to be.

    Args:
        old: in force.
        new: just read, valid.
    """
    before = {backend.id: backend for backend in old.config.backends}
    after = {backend.id: backend for backend in new.config.backends}
    return Changes(
        settings=tuple(_settings(old.config, new.config)),
        added=tuple(backend for name, backend in after.items() if name not in before),
        changed=tuple(
            (before[name], backend)
            for name, backend in after.items()
            if name in before and before[name] != backend
        ),
        removed=tuple(backend for name, backend in before.items() if name not in after),
        keys=set(old.client_keys) != set(new.client_keys) or old.admin_token != new.admin_token,
    )


def applied(config: Config, changes: Changes) -> Config:
    """Return ``config`` with everything of ``changes`` that needs no restart."""
    for change in changes.settings:
        if not change.restart:
            config = _with(config, change.key.split("."), change.now)
    gone = {backend.id for backend in changes.removed}
    changed = {after.id: after for _, after in changes.changed}
    kept = tuple(changed.get(backend.id, backend) for backend in config.backends if backend.id not in gone)
    return replace(config, backends=(*kept, *changes.added))


def described(changes: Changes) -> tuple[str, ...]:
    """Write one line for each change, for people; secrets are masked."""
    return tuple(_lines(changes))


def _settings(old: Config, new: Config) -> Iterator[SettingChange]:
    for key, field in leaves(Config):
        if field.setting is None or isinstance(field.setting.kind, Tables):
            continue
        was, now = _value(old, key), _value(new, key)
        if was != now:
            yield SettingChange(key, was, now)


def _value(config: Config, key: str) -> Any:  # noqa: ANN401  any setting's value
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _with(section: Any, parts: list[str], value: Any) -> Any:  # noqa: ANN401  any section and value
    name, *rest = parts
    if rest:
        value = _with(getattr(section, name), rest, value)
    return replace(section, **{name: value})


def _lines(changes: Changes) -> Iterator[str]:
    for backend in changes.added:
        yield f"backends.{backend.name}: added, {backend.origin}{backend.api_root}"
    for before, after in changes.changed:
        yield from _backend_lines(before, after)
    for backend in changes.removed:
        yield f"backends.{backend.name}: removed; its running requests end first"
    kinds = {name: field.setting.kind for name, field in leaves(Config) if field.setting is not None}
    for change in changes.settings:
        if isinstance(kinds[change.key], MapOf):
            yield from _map_lines(change.key, change.was, change.now)
        else:
            later = " (needs a restart)" if change.restart else ""
            yield f"{change.key}: {_shown(change.was)} -> {_shown(change.now)}{later}"
    if changes.keys:
        yield "keys: changed"


def _backend_lines(before: BackendSpec, after: BackendSpec) -> Iterator[str]:
    prefix = f"backends.{after.name}"
    was, now = backend_values(before), backend_values(after)
    told = False
    for key, value in now.items():
        if was[key] != value:
            told = True
            yield _line(f"{prefix}.{key}", was[key], value)
    if before.overrides != after.overrides:
        told = True
        yield f"{prefix}.model: changed"
    if not told:
        yield f"{prefix}: changed"


def _map_lines(key: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*was, *now)):
        if was.get(name) != now.get(name):
            yield _line(f"{key}.{quoted(name)}", was.get(name), now.get(name))


def _line(key: str, was: object, now: object) -> str:
    before, after = _shown(was), _shown(now)
    # Two secrets look alike.
    return f"{key}: changed" if before == after else f"{key}: {before} -> {after}"


def _shown(value: object) -> str:
    text = toml(value) or _NOTHING
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
