"""Keys: those that clients must show and those that backends ask for.

Law: a key is in no message, not even one that is malformed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from nexus.config.environment import API_KEY
from nexus.config.kinds import Mismatch
from nexus.config.schema import AdminConfig, ServerConfig
from nexus.config.toml_file import decoded
from nexus.domain import Secret
from nexus.errors import ConfigError

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_MAX_BYTES: Final = 1 << 20
# A key that stands where the name of its variable belongs must not be repeated in a message.
_SPEAKABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


def client_keys(server: ServerConfig, environ: Mapping[str, str]) -> tuple[tuple[Secret, ...], list[str]]:
    """Collect the keys that open ``/v1``.

    Args:
        server: names the variable and the file.
        environ: the environment; ``NEXUS_API_KEY`` is one key of its own.

    Returns:
        The keys, each once, and warnings.

    Raises:
        Mismatch: a source that was named gives no key (the door would stand open) or a
            malformed one; its ``key`` is the setting at fault.
    """
    keys: list[Secret] = []
    warnings: list[str] = []
    if environ.get(API_KEY, "").strip():
        keys += _checked([environ[API_KEY]], API_KEY, ())
    if server.api_keys_env is not None:
        name, fault = spoken(server.api_keys_env), ("api_keys_env",)
        found = list(_checked(re.split(r"[,\n]", environ.get(server.api_keys_env, "")), name, fault))
        if not found:
            raise Mismatch(f"expected keys in {name}, which is not set or empty", fault)
        keys += found
    if server.api_keys_file is not None:
        keys += _from_file(Path(server.api_keys_file), warnings)
    return tuple(dict.fromkeys(keys)), warnings


def admin_token(
    admin: AdminConfig, environ: Mapping[str, str], client_keys: Iterable[Secret]
) -> Secret | None:
    """Return the token that opens ``/admin``, or ``None`` when none is asked for.

    Args:
        admin: names the variable.
        environ: the environment.
        client_keys: open ``/v1``, and must not open ``/admin``.

    Raises:
        Mismatch: the variable that was named has none, one that no header can carry, or a
            client's key; its ``key`` is the setting at fault.
    """
    if admin.token_env is None:
        return None
    token = environ.get(admin.token_env, "").strip()
    if not token:
        raise Mismatch(
            f"expected a token in {spoken(admin.token_env)}, which is not set or empty", ("token_env",)
        )
    if not _VISIBLE.fullmatch(token):
        raise Mismatch(
            f"expected a token of visible ASCII characters in {spoken(admin.token_env)}", ("token_env",)
        )
    if Secret(token) in client_keys:
        raise Mismatch(
            f"expected a token that is no client's key; the one in {spoken(admin.token_env)} opens /v1 too",
            ("token_env",),
        )
    return Secret(token)


def backend_key(variable: str, environ: Mapping[str, str]) -> Secret | None:
    """Return a backend's key, or ``None`` when its variable is not set or empty.

    Raises:
        Mismatch: it cannot be sent in a header.
    """
    key = environ.get(variable, "").strip()
    if key and not _VISIBLE.fullmatch(key):
        raise Mismatch(f"expected a key of visible ASCII characters in {spoken(variable)}")
    return Secret(key) if key else None


def spoken(variable: str) -> str:
    """Name a variable, unless the name looks as if it were the key itself."""
    return f"the variable {variable}" if _SPEAKABLE.fullmatch(variable) else "the variable that it names"


def _checked(lines: Iterable[str], place: str, fault: tuple[str, ...]) -> Iterator[Secret]:
    for number, line in enumerate(lines, 1):
        key = line.strip()
        if not key:
            continue
        if not _VISIBLE.fullmatch(key):
            raise Mismatch(
                f"expected keys of visible ASCII characters; key {number} of {place} has others", fault
            )
        yield Secret(key)


def _from_file(path: Path, warnings: list[str]) -> list[Secret]:
    fault = ("api_keys_file",)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise Mismatch(
            f"expected a file with keys that can be read; {path}: {error.strerror}", fault
        ) from None
    if len(raw) > _MAX_BYTES:
        raise Mismatch(f"expected a file with keys of at most 1 MB; {path} is larger", fault)
    try:
        text = decoded(path, raw)
    except ConfigError as error:
        raise Mismatch(str(error), fault) from None
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    keys = list(_checked(",".join(lines).split(","), str(path), fault))
    if not keys:
        raise Mismatch(f"expected one key a line in {path}, which has none", fault)
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.append(f"{path}: others than its owner can read the keys in it (chmod 600 closes it)")
    return keys
