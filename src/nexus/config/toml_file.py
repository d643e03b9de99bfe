"""The configuration file: reading it, and on which line each key stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import platformdirs

from nexus.errors import ConfigError

Key = tuple[str | int, ...]

_MAX_BYTES: Final = 1 << 20
_PART: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED: Final = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER: Final = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]")
_ENTRY: Final = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
# Whatever can open or close a value that goes on over several lines; strings come whole.
_TOKENS: Final = re.compile(
    r'"""|' + r"'''" + r"""|"(?:[^"\\]|\\.)*"|'[^']*'|#.*|[\[\]{}]""",
)


class TomlFile:
    """A configuration file that was read.

    Attributes:
        path: as the operator named it.
        data: its tables.
    """

    def __init__(self, path: Path, data: Mapping[str, Any], lines: Mapping[Key, int]) -> None:
        self.path = path
        self.data = data
        self._lines = lines

    def place(self, key: Key) -> str:
        """Return ``file:line`` of a key, or of the nearest table around it."""
        while key and key not in self._lines:
            key = key[:-1]
        return f"{self.path}:{self._lines[key]}" if key else str(self.path)


def read(path: Path) -> TomlFile:
    """Read a configuration file.

    Args:
        path: the file.

    Returns:
        Its tables and where they stand.

    Raises:
        ConfigError: it is missing, unreadable, a directory, larger than 1 MB, not UTF-8 or not
            TOML; the message names the file and, where there is one, the line.
    """
    text = decoded(path, _bytes(path))
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_toml_message(path, text, str(error))) from None
    except (RecursionError, ValueError):
        raise ConfigError(f"{path}: expected TOML; it is nested too deep or has a number too long") from None
    return TomlFile(path, data, dict(_locate(text)))


def default_path(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Find the configuration file when no flag names one.

    Args:
        environ: may name it in ``NEXUS_CONFIG``.
        cwd: where ``nexus.toml`` is looked for first.

    Returns:
        The path, or ``None`` when there is no file, which is fine.

    Raises:
        ConfigError: ``NEXUS_CONFIG`` names something that is not there.
    """
    named = environ.get("NEXUS_CONFIG", "").strip()
    if named:
        path = cwd / named
        if not _exists(path):
            raise ConfigError(
                f"environment NEXUS_CONFIG: expected a configuration file; {path} does not exist"
            )
        return path
    user = Path(platformdirs.user_config_dir("nexus")) / "nexus.toml"
    return next((path for path in (cwd / "nexus.toml", user) if _exists(path)), None)


def decoded(path: Path, raw: bytes) -> str:
    """Return a file's text; raises :class:`ConfigError` naming the line that is not UTF-8."""
    try:
        # Windows editors begin UTF-8 files with a byte-order mark, which TOML does not know.
        return raw.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: expected UTF-8 text, got other bytes") from None


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected a configuration file; there is none") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: expected a configuration file; it is a directory") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no path"
        raise ConfigError(f"{path}: expected a configuration file that can be read: {why}") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{path}: expected a configuration file of at most 1 MB; it is larger")
    return raw


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a configuration file that can be read: {error.strerror}"
        ) from None


def _toml_message(path: Path, text: str, message: str) -> str:
    found = _PLACE.search(message)
    if not found:
        return f"{path}: expected TOML: {message}"
    words = message[: found.start()]
    if found[1] is None:
        return f"{path}:{text.count(chr(10)) + 1}: expected TOML: {words} at the end of the file"
    return f"{path}:{found[1]}: expected TOML: {words} (column {found[2]})"


def _locate(text: str) -> Iterator[tuple[Key, int]]:
    """Yield each key of a valid document with its line (of arrays of tables: the header)."""
    counts: dict[Key, int] = {}
    table: Key = ()
    depth, fence = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        begins = depth == 0 and not fence
        if begins and (header := _HEADER.match(line)):
            table = _table(header[2], counts, repeated=header[1] == "[[")
            if table[-1] == 0:
                yield table[:-1], number
            yield table, number
            continue
        start = 0
        if begins and (entry := _ENTRY.match(line)):
            yield (*table, *_parts(entry[1])), number
            start = entry.end()
        depth, fence = _scan(line, start, depth, fence)


def _table(dotted: str, counts: dict[Key, int], *, repeated: bool) -> Key:
    key: Key = ()
    parts = _parts(dotted)
    for position, part in enumerate(parts, 1):
        key = (*key, part)
        if repeated and position == len(parts):
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = (*key, counts[key])
    return key


def _parts(dotted: str) -> tuple[str, ...]:
    node: Any = tomllib.loads(f"{dotted} = 0")
    parts: list[str] = []
    while isinstance(node, dict):
        (part,) = node
        parts.append(part)
        node = node[part]
    return tuple(parts)


def _scan(line: str, start: int, depth: int, fence: str) -> tuple[int, str]:
    """Follow brackets and multi-line strings to the end of a line."""
    while True:
        if fence:
            end = _fence_end(line, start, fence)
            if end < 0:
                return depth, fence
            start, fence = end, ""
        token = _TOKENS.search(line, start)
        if token is None:
            return depth, ""
        start = token.end()
        if token[0] in {'"""', "'''"}:
            fence = token[0]
        elif token[0] in {"[", "{"}:
            depth += 1
        elif token[0] in {"]", "}"}:
            depth -= 1


def _fence_end(line: str, start: int, fence: str) -> int:
    while start < len(line):
        if fence == '"""' and line[start] == "\\":
            start += 2
        elif line.startswith(fence, start):
            end = start + 3
            # Up to two quotes may stand right before the closing three (TOML 1.0, String).
            while end < len(line) and line[end] == fence[0] and end < start + 5:
                end += 1
            return end
        else:
            start += 1
    return -1
