"""``nexus backends add``, ``remove``, ``drain``, ``enable`` and ``check``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from nexus.cli.administration import Administration, admin_options
from nexus.cli.remote import Unanswered
from nexus.cli.show import clean, print_json
from nexus.domain import BackendStatus, BackendType

_UP = (BackendStatus.HEALTHY, BackendStatus.LOADING)


def one_backend(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument that names a backend, and the options of the administration."""
    return click.argument("backend")(admin_options(command))


@click.command()
@click.argument("server")
@click.option("--name", metavar="NAME", help="What to call it; its host and port when left out.")
@click.option("--type", "kind", type=click.Choice([kind.value for kind in BackendType]), help="What it is.")
@click.option("--priority", type=click.IntRange(0, 100), help="Lower is preferred (50).")
@click.option("--slots", type=click.IntRange(1), help="Requests it serves at once.")
@click.option("--api-key-env", metavar="NAME", help="Variable, where Nexus runs, that holds its key.")
@admin_options
def add(  # noqa: PLR0913  one for each flag
    *,
    server: str,
    name: str | None,
    kind: str | None,
    priority: int | None,
    slots: int | None,
    api_key_env: str | None,
    url: str | None,
    token_env: str | None,
    as_json: bool,
) -> None:
    """Add the server at SERVER, a URL, for this run and the next ones.

    Its kind is detected. A server that is off is added, too, and used when it answers.
    """
    fields = {
        "url": server,
        "name": name,
        "type": kind,
        "priority": priority,
        "slots": slots,
        "api_key_env": api_key_env,
    }
    given: dict[str, object] = {key: value for key, value in fields.items() if value is not None}
    view = Administration(url, token_env).add(given)
    _say(view, as_json, f"Added {_name(view)} ({view.get('type')}): {_models(view)}.")
    if view.get("status") not in _UP:
        click.echo(f"It cannot serve yet: {_status(view)}.", err=True)


@click.command()
@one_backend
@click.option("--drain", is_flag=True, help="Keep it listed until its running requests have ended.")
def remove(*, backend: str, drain: bool, url: str | None, token_env: str | None, as_json: bool) -> None:
    """Remove BACKEND, which was added; requests that run there end as usual."""
    view = Administration(url, token_env).remove(backend, drain=drain)
    gone = f"Removed {_name(view)}."
    if not view.get("deleted"):
        gone = f"{_name(view)} is removed when its last request has ended: {_left(view)}."
    _say(view, as_json, gone)


@click.command()
@one_backend
def drain(*, backend: str, url: str | None, token_env: str | None, as_json: bool) -> None:
    """Send BACKEND no new requests; running ones end as usual."""
    view = Administration(url, token_env).change(backend, drain=True)
    _say(view, as_json, f"{_name(view)} takes no new requests: {_left(view)}.")


@click.command()
@one_backend
def enable(*, backend: str, url: str | None, token_env: str | None, as_json: bool) -> None:
    """Send BACKEND requests again after a drain."""
    view = Administration(url, token_env).change(backend, enabled=True)
    _say(view, as_json, f"{_name(view)} takes requests: {_status(view)}.")


@click.command()
@one_backend
def check(*, backend: str, url: str | None, token_env: str | None, as_json: bool) -> None:
    """Ask BACKEND now how it is.

    Exit code 1 when it cannot serve.
    """
    view = Administration(url, token_env).check(backend)
    result = view.get("check")
    found = result if isinstance(result, dict) else view
    _say(view, as_json, f"{_name(view)} ({view.get('type')}) is {_status(found)}: {_models(view)}.")
    if found.get("status") not in _UP:
        raise Unanswered(f"{_name(view)} cannot serve.")


def _say(view: dict[str, Any], as_json: bool, sentence: str) -> None:
    """Print what came of it, and the server's own note on standard error."""
    if as_json:
        print_json(view)
    else:
        click.echo(sentence)
        if view.get("note"):
            click.echo(clean(view["note"]), err=True)


def _name(view: dict[str, Any]) -> str:
    return clean(view.get("name"))


def _status(view: dict[str, Any]) -> str:
    reason = view.get("reason")
    return clean(f"{view.get('status')}, {reason}" if reason else view.get("status"))


def _left(view: dict[str, Any]) -> str:
    count = view.get("in_flight")
    return "none is running" if not count else f"{count} still {'runs' if count == 1 else 'run'}"


def _models(view: dict[str, Any]) -> str:
    models = view.get("models")
    names = [clean(model.get("id")) for model in models] if isinstance(models, list) else []
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "no models"
