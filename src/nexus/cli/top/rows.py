"""Makes rows of what Nexus says of its fleet, its models and its running requests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from nexus.cli.reading import count, number, part, rows
from nexus.cli.show import clean, duration, span

NARROW: Final = 100
"""Below this width only columns that are wanted at once are shown."""
WIDE: Final = 140


class Column(NamedTuple):
    """A column.

    Attributes:
        label: its head.
        width: the screen's from which on it is shown.
        figure: it holds figures.
        most: how much of its text a narrow screen shows.
    """

    label: str
    width: int = 0
    figure: bool = False
    most: int = 24


class Cell(NamedTuple):
    """What stands in a row, what it is sorted by (one kind for each column), and how it looks."""

    text: str
    order: float | str
    style: str = ""


class Row(NamedTuple):
    """One row.

    Attributes:
        id: of the backend or the request, for what is done to it.
        name: for what is said of it.
        cells: one for each column.
        detail: what else there is to say, in a line.
    """

    id: str
    name: str
    cells: tuple[Cell, ...]
    detail: str

    def holds(self, text: str) -> bool:
        """Tell whether a text stands anywhere in it, whatever its case."""
        wanted = text.casefold()
        return any(wanted in cell.text.casefold() for cell in self.cells) or wanted in self.detail.casefold()


FLEET: Final = (
    Column("Backend"),
    Column("Status"),
    Column("In flight", figure=True),
    Column("Req/s", figure=True),
    Column("Tok/s", figure=True),
    Column("First byte", figure=True),
    Column("Errors", figure=True),
    Column("p95", NARROW, figure=True),
    Column("Type", NARROW),
    Column("Models", NARROW, figure=True),
    Column("Priority", WIDE, figure=True),
    Column("Source", WIDE),
    Column("URL", WIDE),
)
MODELS: Final = (
    Column("Model"),
    Column("Served"),
    Column("Context", figure=True),
    Column("Busy", figure=True),
    Column("On (* loaded)", most=40),
    Column("Can", NARROW),
    Column("Alias of", WIDE),
)
RUNNING: Final = (
    Column("For", figure=True),
    Column("Model"),
    Column("Backend"),
    Column("State"),
    Column("Tokens", figure=True),
    Column("Tries", NARROW, figure=True),
    Column("Client", NARROW),
    Column("Request", NARROW),
    Column("Surface", WIDE),
)


def fleet(state: Mapping[str, Any]) -> list[Row]:
    """Return a row for each backend."""
    return [_backend(one) for one in rows(state, "backends")]


def models(told: Mapping[str, Any]) -> list[Row]:
    """Return a row for each model."""
    return [_model(one) for one in rows(told, "models")]


def running(state: Mapping[str, Any]) -> list[Row]:
    """Return a row for each request that runs."""
    return [_request(one) for one in rows(state, "running")]


def _backend(one: Mapping[str, Any]) -> Row:
    name, status = clean(one.get("name")), clean(one.get("status"))
    going = "leaving" if one.get("leaving") is True else "draining" if one.get("draining") is True else ""
    style = "green" if status == "healthy" else "yellow" if status in ("loading", "unknown") else "bold red"
    slots, errors = count(one, "slots"), count(one, "errors")
    first, late = number(one, "first_byte_p50"), number(one, "first_byte_p95")
    cells = (
        Cell(name, name.casefold(), "bold"),
        Cell(going or status, going or status, "yellow" if going else style),
        Cell(f"{count(one, 'in_flight')}/{slots}", float(count(one, "in_flight"))),
        _rate(one, "requests_per_second"),
        _rate(one, "tokens_per_second"),
        _took(first),
        Cell(f"{errors:,}", float(errors), "red" if errors else ""),
        _took(late),
        _text(one, "type"),
        Cell(f"{count(one, 'models')}", float(count(one, "models"))),
        Cell(f"{count(one, 'priority')}", float(count(one, "priority"))),
        _text(one, "source"),
        _text(one, "url"),
    )
    since = number(one, "since_at")
    return Row(str(one.get("id")), name, cells, _backends_detail(one, name, status, since))


def _backends_detail(one: Mapping[str, Any], name: str, status: str, since: float | None) -> str:
    """Say what a narrow screen has no column for."""
    reason = clean(one.get("reason"))
    held = "" if since is None else f" for {duration(time.time() - since)}"  # noqa: TID251 - a display at one moment
    busy = number(one, "busy_seconds") or 0.0
    said = [
        f"{name} is {status}{held}" + (f": {reason}" if reason else ""),
        f"busy for {span(busy)}" if busy else "",
        f"{clean(one.get('type'))} {clean(one.get('version'))}".strip(),
        clean(one.get("url")),
        f"priority {count(one, 'priority')}",
    ]
    return ", ".join(filter(None, said))


def _model(one: Mapping[str, Any]) -> Row:
    name = clean(one.get("id"))
    offers = rows(one, "backends")
    served = one.get("available") is True
    context = number(one, "context_length")
    able, unable = _abilities(part(one, "capabilities"))
    on = ", ".join(f"{clean(o.get('backend'))}{'*' if o.get('loaded') is True else ''}" for o in offers)
    in_flight = sum(count(offer, "in_flight") for offer in offers)
    cells = (
        Cell(name, name.casefold(), "bold"),
        Cell("yes" if served else "no", "0" if served else "1", "green" if served else "bold red"),
        Cell("" if context is None else f"{int(context):,}", context or 0.0),
        Cell(f"{in_flight}", float(in_flight)),
        Cell(on, on.casefold()),
        Cell(able, able),
        _text(one, "alias_of"),
    )
    said = [f"{name}: {'can ' + able if able else 'nothing is known of what it can'}"]
    said += [f"cannot {unable}"] if unable else []
    said += [
        f"rests on {clean(offer.get('backend'))} ({clean(offer.get('rest_cause'))})"
        for offer in offers
        if number(offer, "resting_seconds")
    ]
    return Row(name, name, cells, ", ".join(said))


def _abilities(capabilities: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is known to be there and what is known to be missing."""
    able, unable = (
        ", ".join(clean(name).replace("_", " ") for name, has in capabilities.items() if has is known)
        for known in (True, False)
    )
    return able, unable


def _request(one: Mapping[str, Any]) -> Row:
    name, backend, state = clean(one.get("id")), clean(one.get("backend")), clean(one.get("state"))
    elapsed, tokens, attempts = number(one, "elapsed_seconds"), count(one, "tokens"), count(one, "attempts")
    cells = (
        Cell(f"{elapsed or 0.0:.1f} s", elapsed or 0.0),
        Cell(clean(one.get("model")), clean(one.get("model")).casefold(), "bold"),
        Cell(backend, backend.casefold()),
        Cell(state, state, "green" if state == "answering" else "yellow"),
        Cell(f"{tokens:,}", float(tokens)),
        Cell(f"{attempts}", float(attempts), "yellow" if attempts > 1 else ""),
        _text(one, "client"),
        Cell(name, name),
        _text(one, "surface"),
    )
    said = f"Request {name} from {clean(one.get('client'))} ({clean(one.get('surface'))})"
    return Row(str(one.get("id")), name, cells, f"{said}, attempt {attempts}")


def _text(one: Mapping[str, Any], name: str) -> Cell:
    text = clean(one.get(name))
    return Cell(text, text.casefold())


def _took(seconds: float | None) -> Cell:
    return Cell(span(seconds), -1.0 if seconds is None else seconds)


def _rate(one: Mapping[str, Any], name: str) -> Cell:
    rate = number(one, name) or 0.0
    return Cell(f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}", rate)


def ordered(found: Sequence[Row], column: int | None, *, backwards: bool, holding: str) -> list[Row]:
    """Return the rows that hold a text, sorted by a column if one is given."""
    kept = [row for row in found if not holding or row.holds(holding)]
    if column is None:
        return kept[::-1] if backwards else kept
    return sorted(kept, key=lambda row: row.cells[column].order, reverse=backwards)
