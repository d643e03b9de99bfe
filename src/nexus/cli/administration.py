"""Asking a running Nexus's ``/admin``: what the commands below ``nexus backends`` have in common."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from nexus.cli.lazy import Refused
from nexus.cli.reading import rows
from nexus.cli.remote import Server, Unanswered, connect
from nexus.cli.show import clean
from nexus.cli.stream import EventStream
from nexus.config.environment import ADMIN_TOKEN
from nexus.config.load import default_path, load

# A new server is asked several things, each with a time limit of its own.
TIMEOUT_SECONDS: Final = 60.0
_PATH: Final = "/admin/backends"
_REQUESTS: Final = "/admin/requests"
_SHOWN: Final = 10


def admin_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--url``, ``--admin-token-env`` and ``--json`` (as ``as_json``) to a command."""
    return place_options(
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)
    )


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--url`` and ``--admin-token-env`` to a command."""
    for option in (
        click.option(
            "--admin-token-env",
            "token_env",
            metavar="NAME",
            help=f"Environment variable that holds the administration's token (else {ADMIN_TOKEN}).",
        ),
        click.option("--url", metavar="URL", help="Where Nexus runs; as configured when left out."),
    ):
        command = option(command)
    return command


class Administration:
    """The administration of the server that ``--url`` names, else of the configured one.

    Args:
        url: as given.
        token_env: the variable that was named, or ``None``.

    Raises:
        Refused: the URL cannot be one, or the variable that was named is not set.
        ConfigError: there is no ``--url`` and the configuration is wrong.
    """

    def __init__(self, url: str | None, token_env: str | None) -> None:
        server = connect(url, None)
        self._server: Server = server._replace(
            key=_token(url, token_env),
            asks_for=f"the administration's token: set {ADMIN_TOKEN} or name its variable with "
            "--admin-token-env",
            timeout=TIMEOUT_SECONDS,
        )

    def list(self) -> list[dict[str, Any]]:
        """Every backend as it may be shown; where ``/admin`` is switched off, as ``/health`` shows it."""
        try:
            found = self._server.get(_PATH).get("data")
        except Unanswered as error:
            if error.status != 404:
                raise
            found = self._healths_items()
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._server.not_nexus()
        return found

    def add(self, fields: dict[str, object]) -> dict[str, Any]:
        """Add a backend."""
        return self._server.ask("POST", _PATH, fields)

    def change(self, reference: str, **fields: object) -> dict[str, Any]:
        """Change a backend."""
        return self._server.ask("PATCH", self._at(reference), fields)

    def remove(self, reference: str, *, drain: bool) -> dict[str, Any]:
        """Remove a backend, with ``drain`` only when its running requests have ended."""
        return self._server.ask("DELETE", self._at(reference) + ("?drain=true" if drain else ""))

    def check(self, reference: str) -> dict[str, Any]:
        """Have a backend asked now."""
        return self._server.ask("POST", f"{self._at(reference)}/check")

    def requests(self, **wanted: object) -> dict[str, Any]:
        """What runs and the newest that ended; ``wanted`` is what ``GET /admin/requests`` takes."""
        given = {name: value for name, value in wanted.items() if value}
        found = self._server.get(f"{_REQUESTS}?{urlencode(given)}" if given else _REQUESTS)
        if rows(found, "data") != found.get("data"):
            raise self._server.not_nexus()
        return found

    def request(self, request_id: str) -> dict[str, Any]:
        """All that is known of one request."""
        return self._server.get(f"{_REQUESTS}/{quote(request_id, safe='')}")

    def cancel(self, request_id: str) -> dict[str, Any]:
        """End a running request."""
        return self._server.ask("POST", f"{_REQUESTS}/{quote(request_id, safe='')}/cancel")

    def explain(self, body: bytes, surface: str) -> dict[str, Any]:
        """What would be decided about a request now; nothing is sent."""
        return self._server.ask("POST", f"/admin/explain?surface={quote(surface, safe='')}", body)

    def events(self, *topics: str) -> EventStream:
        """What moves, as long as one looks."""
        return EventStream(self._server, f"/admin/events?topics={','.join(topics)}")

    @property
    def name(self) -> str:
        """Where it is."""
        return self._server.name

    def _at(self, reference: str) -> str:
        return f"{_PATH}/{quote(find(self.list(), reference), safe='')}"

    def _healths_items(self) -> object:
        known = self._server.get("/health?verbose=1").get("backends")
        items = known.get("items") if isinstance(known, dict) else None
        if items is None:
            raise Unanswered(
                "This Nexus shows its backends only to callers on its own computer, or with its "
                "administration's token."
            )
        return items


def find(items: list[dict[str, Any]], reference: str) -> str:
    """Return the id of the one backend that a name, an id or the beginning of one stands for.

    Raises:
        Refused: it stands for none, or for several.
    """
    ids = {str(item.get("id")): str(item.get("name")) for item in items}
    exact = [one for one, name in ids.items() if reference == one] or [
        one for one, name in ids.items() if reference == name
    ]
    begun = [one for one, name in ids.items() if one.startswith(reference) or name.startswith(reference)]
    found = exact or (begun if reference else [])
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused(f"{clean(reference)!r} may be {_listed(found, ids)}: say more of the name.")
    there = f"there are {_listed(list(ids), ids)}" if ids else "there are none"
    raise Refused(f"No backend is called {clean(reference)!r}; {there}.")


def _listed(found: list[str], ids: dict[str, str]) -> str:
    names = [clean(ids[one] if ids[one] == one else f"{ids[one]} ({one})") for one in found[:_SHOWN]]
    return ", ".join(names) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _token(url: str | None, token_env: str | None) -> str | None:
    if token_env is not None:
        token = os.environ.get(token_env, "").strip()
        if not token:
            raise Refused(f"--admin-token-env: {token_env} is not set or empty")
        return token
    token = os.environ.get(ADMIN_TOKEN, "").strip()
    if token or url is not None:
        return token or None
    configured = load(default_path(os.environ, Path.cwd()), os.environ).admin_token
    return configured.reveal() if configured is not None else None
