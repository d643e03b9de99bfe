"""The failure tables that users read are those that the code looks up."""

from __future__ import annotations

from typing import Final

import pytest
from tests.docs.pages import rows, section

from nexus.domain import FailureKind
from nexus.gateway.failures import BEFORE_FIRST_BYTE, EVENT_TEXT, Action
from nexus.registry.stats import BUSY_CAP_SECONDS, BUSY_SECONDS, REST_SECONDS

_TABLES: Final = section("docs/http-api.md", "## When a backend fails")

_ROW: Final = {
    FailureKind.REFUSED: "connecting is refused",
    FailureKind.TLS: "TLS fails",
    FailureKind.CONNECT_TIMEOUT: "connect timeout",
    FailureKind.RESET: "reset, no HTTP",
    FailureKind.PROTOCOL: "impossible status",
    FailureKind.FIRST_BYTE_TIMEOUT: "`first_byte_seconds`",
    FailureKind.TOTAL_TIMEOUT: "longer than `total_seconds`",
    FailureKind.SERVER_ERROR: "5xx",
    FailureKind.MISSING_CAPABILITY: "lacks a capability",
    FailureKind.BUSY: "429, 503, 529",
    FailureKind.LOADING: "429, 503, 529",
    FailureKind.BILLING: "402",
    FailureKind.CREDENTIALS: "401",
    FailureKind.UNKNOWN_MODEL: "does not know the model",
    FailureKind.CONTEXT_OVERFLOW: "overflows its context",
    FailureKind.TRY_AGAIN: "408, 425",
    FailureKind.REDIRECT: "a redirect",
    FailureKind.LOOP: "went in a circle",
    FailureKind.CLIENT_ERROR: "any other 4xx",
    FailureKind.CLIENT_CLOSED: "the client left",
}
"""Words that only the row of a kind has. The kinds left out end a request from our side."""

_OURS: Final = {FailureKind.CLIENT_STALLED, FailureKind.CANCELLED, FailureKind.SHUTTING_DOWN}

_EFFECT: Final = {
    Action.NOTHING: "nothing",
    Action.UNREACHABLE: "unhealthy at once; checked again soon",
    Action.CHECK: "checked now",
    Action.REST: "ranks last on it for",
    Action.MISCONFIGURED: "ranks last on it for",
    Action.BUSY: "left alone until `Retry-After`",
    Action.LEARN: "remembered until its model list changes",
    Action.REFRESH: "its model list is read again",
    Action.CONTEXT: "its context is corrected",
}


def _row(words: str) -> tuple[str, str, str]:
    ((what, another, effect),) = [
        cells for cells in rows(_TABLES.partition("| after the first byte")[0]) if words in cells[0]
    ]
    return what, another, effect


@pytest.mark.parametrize("kind", sorted(BEFORE_FIRST_BYTE.keys() - _OURS))
def test_a_row_says_what_happens(kind: FailureKind) -> None:
    _, another, effect = _row(_ROW[kind])
    assert another.startswith("no") is not BEFORE_FIRST_BYTE[kind].retry
    assert _EFFECT[BEFORE_FIRST_BYTE[kind].action] in effect or kind is FailureKind.CLIENT_CLOSED


def test_the_figures_are_those_in_force() -> None:
    assert f"for {REST_SECONDS:g} s" in _row("5xx")[2]
    assert f"{BUSY_CAP_SECONDS:g} s at most; {BUSY_SECONDS:g} s doubling" in _row("429, 503, 529")[2]


def test_every_event_is_in_the_second_table() -> None:
    told = "".join(cells[1] for cells in rows(_TABLES.partition("| after the first byte")[2]))
    codes = {code for kind, (code, _) in EVENT_TEXT.items() if kind is not FailureKind.CANCELLED}
    assert [code for code in sorted(codes) if f"`{code}`" not in told] == []
