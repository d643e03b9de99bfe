"""One configuration out of flags, environment, file and defaults, in this order of precedence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from nexus.config import environment, keys, rules
from nexus.config.backends import Entry, from_tables, from_text, merged, spec
from nexus.config.environment import Value
from nexus.config.fields import fields, leaves
from nexus.config.kinds import FileName, Mismatch, suggestion
from nexus.config.reading import Place, at, dotted, walk
from nexus.config.schema import Config
from nexus.config.toml_file import Key, TomlFile, default_path, read
from nexus.config.url import is_loopback
from nexus.domain import BackendSpec, RoutingRules, Secret, Weights, replace

__all__ = ["DEFAULT", "Loaded", "default_path", "load"]

DEFAULT: Final = "default"
_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "server.host": "flag -H",
        "server.port": "flag -p",
        "logging.level": "flag -l",
        "health_check.enabled": "flag --no-health-check",
        "discovery.enabled": "flag --no-discovery",
        "discovery.advertise": "flag --advertise",
        "discovery.open": "flag --open",
        "backends": "flag --backend",
    }
)


class Loaded(msgspec.Struct, frozen=True):
    """A valid configuration and how it came to be.

    Attributes:
        config: what is in force.
        path: the file that was read, or ``None``.
        origins: dotted key to ``file:line``, ``environment NAME`` or ``flag``; keys at their
            default are absent. Backends are under ``backends.<name>`` and
            ``backends.<name>.<key>``.
        warnings: sentences for the operator; nothing in them stops the start.
        left_out: name and reason of each configured backend that cannot be used.
        client_keys: open ``/v1``; none means that no key is asked for.
        admin_token: opens ``/admin``, or ``None`` when it is for this computer only.
    """

    config: Config
    path: Path | None = None
    origins: Mapping[str, str] = MappingProxyType({})
    warnings: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    client_keys: tuple[Secret, ...] = ()
    admin_token: Secret | None = None

    @property
    def wide_bind(self) -> bool:
        """Whether other computers can reach the listener."""
        return not is_loopback(self.config.server.host)

    @property
    def rules(self) -> RoutingRules:
        """The routing rules, for the registry's snapshot."""
        routing = self.config.routing
        guarded = not self.wide_bind or bool(self.client_keys) or self.config.server.allow_anonymous_cloud
        return RoutingRules(
            strategy=routing.strategy,
            weights=Weights(routing.weights.priority, routing.weights.load, routing.weights.latency),
            max_retries=routing.max_retries,
            default_model=routing.default_model,
            aliases=routing.aliases,
            fallbacks=routing.fallbacks,
            route_keyed_backends=guarded,
        )


def load(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any] = MappingProxyType({})
) -> Loaded:
    """Load and check the configuration.

    Every source is checked, also where a stronger one overrides it.

    Args:
        path: the file, or ``None`` for none; :func:`default_path` finds it.
        environ: the environment.
        overrides: dotted key to value, from flags; ``None`` counts as not given. Under
            ``"backends"`` a sequence of ``URL`` or ``name=URL``.

    Returns:
        The configuration, where each value came from, and what to tell the operator.

    Raises:
        ConfigError: something is wrong; the message names the place, the key, what was
            expected and the nearest right spelling.
    """
    file = read(path) if path is not None else None
    given = {name: value for name, value in overrides.items() if value is not None}
    named = given.pop("backends", ())
    values: dict[str, Value] = {}
    tables: list[dict[str, Any]] = []
    if file is not None:
        values, tables = _from_file(file)
    values |= environment.settings(environ)
    values |= _from_flags(given)
    entries = merged(
        [
            from_tables(tables, file.path.parent, file.place) if file is not None else (),
            environment.backends(environ),
            [from_text(text, _FLAGS["backends"]) for text in named],
        ]
    )
    return _assembled(file, values, entries, environ)


def _assembled(
    file: TomlFile | None, values: Mapping[str, Value], entries: tuple[Entry, ...], environ: Mapping[str, str]
) -> Loaded:
    config: Config = _build(Config, "", values)
    place = _placer(file, values)
    client_keys, warnings = _client_keys(config, environ, place)
    try:
        rules.check(config, asks_for_key=bool(client_keys))
    except Mismatch as error:
        raise at(place(error.key), dotted(error.key), error) from None
    specs, left_out = _usable(entries, environ)
    loaded = Loaded(
        config=replace(config, backends=specs),
        path=file.path if file is not None else None,
        origins=MappingProxyType(_origins(values, entries)),
        left_out=tuple(left_out),
        client_keys=client_keys,
        admin_token=_admin_token(config, environ, place, client_keys),
    )
    referenced = {
        config.server.api_keys_env,
        config.admin.token_env,
        *(entry.table.api_key_env for entry in entries),
    }
    warnings += [f'backend "{name}" is left out: {why}' for name, why in left_out]
    warnings += _doubts(loaded, entries)
    warnings += environment.unknown(environ, filter(None, referenced))
    return replace(loaded, warnings=tuple(warnings))


def _client_keys(
    config: Config, environ: Mapping[str, str], place: Place
) -> tuple[tuple[Secret, ...], list[str]]:
    try:
        return keys.client_keys(config.server, environ)
    except Mismatch as error:
        key = ("server", *error.key) if error.key else ()
        raise at(place(key) if key else f"environment {environment.API_KEY}", dotted(key), error) from None


def _admin_token(
    config: Config, environ: Mapping[str, str], place: Place, client_keys: Iterable[Secret]
) -> Secret | None:
    try:
        return keys.admin_token(config.admin, environ, client_keys)
    except Mismatch as error:
        key = ("admin", *error.key)
        raise at(place(key), dotted(key), error) from None


def _from_file(file: TomlFile) -> tuple[dict[str, Value], list[dict[str, Any]]]:
    values: dict[str, Value] = {}
    tables: list[dict[str, Any]] = []
    for key, field, read_value in walk(Config, file.data, (), file.place):
        if field.name == "backends":
            tables = read_value
            continue
        value = read_value
        if field.setting is not None and isinstance(field.setting.kind, FileName):
            try:
                value = field.setting.kind.resolved(read_value, file.path.parent)
            except Mismatch as error:
                raise at(file.place(key), dotted(key), error) from None
        values[dotted(key)] = Value(value, file.place(key))
    return values, tables


def _from_flags(given: Mapping[str, Any]) -> dict[str, Value]:
    known = dict(leaves(Config))
    values: dict[str, Value] = {}
    for name, raw in given.items():
        origin = _FLAGS.get(name, "flag")
        setting = known[name].setting if name in known else None
        if setting is None:
            raise at(origin, name, f"there is no setting of this name{suggestion(name, known)}")
        kind = setting.kind
        try:
            value = kind.parse(raw) if isinstance(raw, str) and kind.scalar else kind.accept(raw)
            value = kind.resolved(value) if isinstance(kind, FileName) else value
        except Mismatch as error:
            raise at(origin, name, error) from None
        values[name] = Value(value, origin)
    return values


def _build(section: type[msgspec.Struct], prefix: str, values: Mapping[str, Value]) -> Any:  # noqa: ANN401  any section
    arguments: dict[str, Any] = {}
    for key, field in fields(section).items():
        if field.section is not None:
            arguments[field.name] = _build(field.section, f"{prefix}{key}.", values)
        elif prefix + key in values:
            arguments[field.name] = values[prefix + key].value
    return section(**arguments)


def _usable(
    entries: Iterable[Entry], environ: Mapping[str, str]
) -> tuple[tuple[BackendSpec, ...], list[tuple[str, str]]]:
    specs: list[BackendSpec] = []
    left_out: list[tuple[str, str]] = []
    for entry in entries:
        variable = entry.table.api_key_env
        try:
            key = keys.backend_key(variable, environ) if variable else None
        except Mismatch as error:
            raise at(entry.origins["api_key_env"], "api_key_env", error) from None
        if variable and key is None:
            left_out.append((entry.table.name, f"{keys.spoken(variable)} (api_key_env) is not set or empty"))
        else:
            specs.append(spec(entry, key))
    return tuple(specs), left_out


def _placer(file: TomlFile | None, values: Mapping[str, Value]) -> Place:
    def place(key: Key) -> str:
        """Find who said a key: itself, something below it, or the file around it."""
        name = dotted(key)
        for candidate, value in values.items():
            if candidate == name or candidate.startswith(f"{name}."):
                return value.origin
        return file.place(key) if file is not None else DEFAULT

    return place


def _origins(values: Mapping[str, Value], entries: Iterable[Entry]) -> dict[str, str]:
    origins = {name: value.origin for name, value in values.items()}
    for entry in entries:
        origins[f"backends.{entry.table.name}"] = entry.place
        for key, origin in entry.origins.items():
            origins[f"backends.{entry.table.name}.{key}"] = origin
    return origins


def _doubts(loaded: Loaded, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield what is allowed and probably not meant."""
    server = loaded.config.server
    if loaded.wide_bind and not loaded.client_keys:
        closed = (
            "" if server.allow_anonymous_cloud else "; backends that have a key of their own are not used"
        )
        yield f"anyone who reaches {server.host}:{server.port} can use it without a key{closed}"
    seen: dict[str, str] = {}
    for entry in entries:
        name, https = entry.table.name, entry.url.scheme == "https"
        if not entry.table.tls_verify and https:
            yield f'backend "{name}": its certificate is not checked (tls_verify = false)'
        if (entry.table.ca_file or not entry.table.tls_verify) and not https:
            yield f'backend "{name}": ca_file and tls_verify do nothing for http'
        other = seen.setdefault(str(entry.url), name)
        if other != name:
            yield f'backends "{other}" and "{name}" have one url: their load is counted apart'
