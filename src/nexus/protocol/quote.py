"""A backend's own words, made fit for a client's eyes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from nexus.domain import Secret

MOST_CHARACTERS: Final = 500

_READ: Final = 8_000
_KEY: Final = "[key]"
_CUT: Final = "…"
# So much of a key's beginning tells something.
_TELLING: Final = 4
_ADDRESS: Final = "[address]"
# Line ends and other controls, and characters that reorder or hide text.
_CONTROLS: Final = re.compile(
    "[\x00-\x20\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]+"
)
_KEYS: Final = (
    re.compile(r"\b(Bearer|Basic)\s+[^\s\"',;]+", re.IGNORECASE),
    re.compile(
        r"\b(api[-_ ]?key|x-api-key|authorization|access[-_ ]?token|password|secret)(\"?\s*[=:]\s*\"?)"
        r"(?!\[key\]|(?:Bearer|Basic)\b)[^\s\"',;&]{4,}",
        re.IGNORECASE,
    ),
    re.compile(r"\b(?:sk|pk|rk|hf|gsk|xai|nvapi|AIza|ghp|pplx|r8)[-_A-Za-z0-9*.]{8,}"),
)
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]{1,10}://[^\s\"'<>\\)\]}]+(?:\]\S*)?", re.IGNORECASE)
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w]|\.\d)")
_IPV6: Final = re.compile(
    r"\[(?P<inside>[0-9a-f:.]{2,45})(?:%[\w.-]{1,20})?\](?::\d{1,5})?"
    r"|(?<![\w:.])(?P<bare>[0-9a-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?)(?:%[\w.-]{1,20})?(?![\w:])",
    re.IGNORECASE,
)
_HOST_PORT: Final = re.compile(
    r"(?<![\w.-])(?:localhost|(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}):\d{1,5}(?!\w)"
    r"|(?<![\w.-])[a-z][a-z0-9-]{0,62}:\d{4,5}(?!\w)",
    re.IGNORECASE,
)


def quote(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return at most 500 characters of a backend's message, on one line.

    Removed are the given secrets, whatever looks like a key, URLs, IP addresses and ``host:port``,
    and control characters: a client learns what went wrong and nothing about where.

    Args:
        text: the backend's own words.
        secrets: keys and header values that were sent to it.
    """
    text = without(text, secrets)
    text = _CONTROLS.sub(" ", text[:_READ]).strip()
    text = _KEYS[0].sub(rf"\1 {_KEY}", text)
    text = _KEYS[1].sub(rf"\1\2{_KEY}", text)
    text = _KEYS[2].sub(_KEY, text)
    text = _URL.sub(_ADDRESS, text)
    text = _IPV4.sub(_ADDRESS, text)
    text = _IPV6.sub(_ipv6, text)
    text = _HOST_PORT.sub(_ADDRESS, text)
    if len(text) > MOST_CHARACTERS:
        return text[: MOST_CHARACTERS - 1].rstrip() + _CUT
    return text


def without(text: str, secrets: Iterable[Secret]) -> str:
    """Return ``text`` without the given secrets, nor the beginning of one where a quotation was cut."""
    for secret in sorted((secret.reveal() for secret in secrets), key=len, reverse=True):
        if not secret.strip():
            continue
        text = text.replace(secret, _KEY)
        if text.endswith(_CUT):
            said = text.removesuffix(_CUT)
            for length in range(len(secret) - 1, _TELLING - 1, -1):
                if said.endswith(secret[:length]):
                    text = said[:-length] + _KEY + _CUT
                    break
    return text


def _ipv6(match: re.Match[str]) -> str:
    """Remove an address, and leave times of day, ratios and ``::`` operators alone."""
    candidate = match["inside"] or match["bare"]
    if len(candidate) < 3:
        return match[0]
    try:
        ipaddress.ip_address(candidate)
    except ValueError:
        return match[0]
    return _ADDRESS
