"""The effective configuration as rows, with every secret masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from nexus.config.fields import fields, leaves
from nexus.config.kinds import Tables
from nexus.config.load import DEFAULT, Loaded
from nexus.config.schema import Config
from nexus.config.tables import BackendTable, ModelTable
from nexus.domain import BackendSpec, Secret


class Row(msgspec.Struct, frozen=True):
    """One setting in force.

    Attributes:
        key: dotted.
        value: plain data without secrets, ready for JSON; ``None`` is not set.
        origin: ``default``, ``file:line``, ``environment NAME`` or a flag.
    """

    key: str
    value: Any
    origin: str


def show(loaded: Loaded) -> tuple[Row, ...]:
    """List what is in force and where each value came from.

    Args:
        loaded: the configuration.

    Returns:
        Every setting in the order of the schema, then what each backend's table sets, the
        backends left out, and how many client keys there are.
    """
    return tuple(_rows(loaded))


def toml(value: object) -> str:
    """Write a value as TOML does; ``None`` is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_quoted(str(key))} = {toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, tuple | list | frozenset):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return _quoted(str(value)) if isinstance(value, str | Secret) else str(value)


def backend_values(backend: BackendSpec) -> dict[str, Any]:
    """Return a backend's settings by their key in its table, models aside; secrets are still secrets."""
    return {
        "url": f"{backend.origin}{backend.api_root}",
        "type": backend.type,
        "priority": backend.priority,
        "api_key_env": backend.key,
        "slots": backend.slots,
        "headers": backend.headers,
        "forward_headers": backend.forward_headers,
        "ca_file": backend.origin.tls.ca_file,
        "tls_verify": backend.origin.tls.verify,
        "models": backend.models,
        "only": backend.only,
        "except": backend.exclude,
        "disable_fixes": tuple(sorted(backend.disabled_fixes)),
    }


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def _rows(loaded: Loaded) -> Iterator[Row]:
    for name, field in leaves(Config):
        if field.setting is None or isinstance(field.setting.kind, Tables):
            continue
        value: Any = loaded.config
        for part in name.split("."):
            value = getattr(value, part)
        yield Row(name, _plain(value), loaded.origins.get(name, DEFAULT))
    for backend in loaded.config.backends:
        yield from _backend_rows(backend, loaded.origins)
    for name, reason in loaded.left_out:
        yield Row(f"backends.{name}", f"left out: {reason}", loaded.origins.get(f"backends.{name}", DEFAULT))
    if loaded.client_keys:
        yield Row(
            "client keys", f"{len(loaded.client_keys)} set", "NEXUS_API_KEY, api_keys_env, api_keys_file"
        )


def _backend_rows(backend: BackendSpec, origins: Mapping[str, str]) -> Iterator[Row]:
    prefix = f"backends.{backend.name}"
    shown = backend_values(backend)
    for key, field in fields(BackendTable).items():
        if key in shown and (shown[key] != field.default or f"{prefix}.{key}" in origins):
            yield Row(f"{prefix}.{key}", _plain(shown[key]), origins.get(f"{prefix}.{key}", origins[prefix]))
    for override in backend.overrides:
        for key in fields(ModelTable):
            value = getattr(override, key)
            if key != "name" and value is not None:
                yield Row(f"{prefix}.model.{_quoted(override.name)}.{key}", value, origins[f"{prefix}.model"])


def _plain(value: Any) -> Any:  # noqa: ANN401  any setting's value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str | Secret) else value
