"""From ``[[backends]]`` tables, ``NEXUS_BACKENDS`` and ``--backend`` to backend specifications."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from nexus.config.formats import NAME
from nexus.config.kinds import FileName, Mismatch, quoted
from nexus.config.reading import Place, at, dotted, walk
from nexus.config.tables import BackendTable, ModelTable
from nexus.config.toml_file import Key
from nexus.config.url import BackendUrl, parse_url
from nexus.domain import BackendSpec, ModelOverride, Origin, Secret, TlsOptions, replace

# Framing and addressing belong to the HTTP client; these names would break or fake them.
_OWN_HEADERS: Final = frozenset({
    "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection",
    "keep-alive", "te", "trailer", "upgrade", "expect", "accept", "accept-encoding", "user-agent",
    "x-request-id", "proxy-connection", "proxy-authenticate", "proxy-authorization",
})  # fmt: skip
# A client's credentials are never passed on.
_CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "api-key", "cookie", "x-goog-api-key"})


class Entry(msgspec.Struct, frozen=True):
    """One backend that somebody named, checked, before its key is looked up.

    Attributes:
        table: its settings.
        url: where it listens.
        place: file and line, variable or flag.
        origins: where each of its keys stands.
        named: somebody gave it the name; else it is made from the address.
    """

    table: BackendTable
    url: BackendUrl
    place: str
    origins: Mapping[str, str]
    named: bool = True


def merged(layers: Iterable[Iterable[Entry]]) -> tuple[Entry, ...]:
    """Join backends by name, a later layer replacing an earlier one's entry.

    A URL without a name that is configured already adds nothing.

    Raises:
        ConfigError: one layer has a name twice.
    """
    chosen: dict[str, Entry] = {}
    for layer in layers:
        here: dict[str, str] = {}
        for entry in layer:
            name = entry.table.name
            if not entry.named:
                if entry.url in [other.url for other in chosen.values()]:
                    continue
                name = _free_name(name, chosen)
            if name in here:
                raise at(entry.place, "", f"expected unique names; {quoted(name)} is at {here[name]} already")
            here[name] = entry.place
            chosen[name] = replace(entry, table=replace(entry.table, name=name))
    return tuple(chosen.values())


def from_tables(tables: Iterable[dict[str, Any]], base: Path, place: Place) -> Iterator[Entry]:
    """Read ``[[backends]]``; relative files start at ``base``."""
    for index, raw in enumerate(tables):
        key: Key = ("backends", index)
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for here, field, read in walk(BackendTable, raw, key, place):
            value = read
            try:
                if field.setting is not None and isinstance(field.setting.kind, FileName):
                    value = field.setting.kind.resolved(read, base)
                if field.name == "model":
                    value = _models(read, key, place)
                _check(field.name, value)
            except Mismatch as error:
                raise at(place(here), dotted(here), error) from None
            values[field.name] = value
            origins[field.key] = place(here)
        yield _entry(values, place, key, origins)


def from_text(text: str, place: str) -> Entry:
    """Read ``name=url`` or a URL alone.

    A URL has a slash before any equals sign that it has; a name has none.
    """
    name, equals, url = text.partition("=")
    if not equals or "/" in name:
        name, url = "", text
    try:
        parsed = parse_url(url)
        checked = NAME.accept(name.strip()) if equals and name else ""
    except Mismatch as error:
        raise at(place, "", error) from None
    table = BackendTable(name=checked or default_name(parsed), url=str(parsed))
    return Entry(table, parsed, place, {}, named=bool(checked))


def default_name(url: BackendUrl) -> str:
    """Name a backend by its host and port, within 64 characters."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = f":{url.port}"
    return host[: 64 - len(port)] + port


def _free_name(name: str, taken: Mapping[str, Entry]) -> str:
    numbered = (f"{name[: 64 - len(str(number)) - 1]}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(free for free in numbered if free not in taken)


def spec(entry: Entry, key: Secret | None) -> BackendSpec:
    """Make the specification of a checked entry."""
    table, url = entry.table, entry.url
    tls = TlsOptions(table.tls_verify, table.ca_file) if url.scheme == "https" else TlsOptions()
    headers = {name: Secret(value) for name, value in table.headers.items()}
    return BackendSpec(
        id=table.name,
        name=table.name,
        origin=Origin(url.scheme, url.host, url.port, tls),
        api_root=url.api_root,
        native_root=url.native_root,
        type=table.type,
        priority=table.priority,
        slots=table.slots,
        key=key,
        headers=MappingProxyType(headers),
        forward_headers=tuple(name.lower() for name in table.forward_headers),
        models=table.models,
        only=table.only,
        exclude=table.exclude,
        overrides=tuple(ModelOverride(**msgspec.structs.asdict(model)) for model in table.model),
        disabled_fixes=frozenset(table.disable_fixes),
    )


def _entry(values: dict[str, Any], place: Place, key: Key, origins: dict[str, str]) -> Entry:
    if "url" not in values:
        raise at(place(key), dotted(key), 'expected a key "url", such as url = "http://host:8000"')
    try:
        url = parse_url(values["url"])
    except Mismatch as error:
        raise at(place((*key, "url")), dotted((*key, "url")), error) from None
    names = {name.lower() for name in values.get("headers", ())}
    if "authorization" in names and "api_key_env" in values:
        here = (*key, "headers")
        raise at(place(here), dotted(here), 'expected no "Authorization" beside api_key_env, which sends it')
    values.setdefault("name", default_name(url))
    values["url"] = str(url)
    return Entry(BackendTable(**values), url, place(key), MappingProxyType(origins))


def _models(tables: list[dict[str, Any]], key: Key, place: Place) -> tuple[ModelTable, ...]:
    found: dict[str, ModelTable] = {}
    for index, raw in enumerate(tables):
        here = (*key, "model", index)
        model = ModelTable(**{field.name: value for _, field, value in walk(ModelTable, raw, here, place)})
        if not model.name:
            raise at(place(here), dotted(here), 'expected a key "name" that names the model')
        if model.name in found:
            raise at(place(here), dotted(here), "expected each model once; this name was there already")
        found[model.name] = model
    return tuple(found.values())


def _check(name: str, value: Any) -> None:  # noqa: ANN401  the values of any key
    if name in {"headers", "forward_headers"}:
        seen = [header.lower() for header in value]
        for header in seen:
            if header in _OWN_HEADERS or header.startswith("x-nexus-"):
                raise Mismatch(f'expected no "{header}": Nexus sets or reads it itself')
            if name == "forward_headers" and header in _CREDENTIALS:
                raise Mismatch(f'expected no "{header}": a client\'s credentials are never passed on')
        if len(set(seen)) < len(seen):
            raise Mismatch("expected each header once, in whatever case")
