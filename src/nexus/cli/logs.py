"""``nexus logs``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.console import Console
from rich.text import Text

from nexus.cli.administration import Administration, admin_options
from nexus.cli.follow import Follower, News, news
from nexus.cli.reading import count, number
from nexus.cli.show import clean, console, span

INTERRUPTED: Final = 130
"""The exit code of who was ended by Ctrl-C, as shells count."""


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what ends from now on, until Ctrl-C.")
@click.option(
    "-n", "--lines", "shown", type=click.IntRange(0, 1000), default=20, show_default=True, help="How many."
)
@click.option("--failed", is_flag=True, help="Only those that failed.")
@click.option("--model", metavar="NAME", default="", help="Only those for this model.")
@click.option("--backend", metavar="NAME", default="", help="Only those that this backend was asked for.")
@admin_options
@click.pass_context
def logs(  # noqa: PLR0913  one for each flag
    ctx: click.Context,
    *,
    follow: bool,
    shown: int,
    failed: bool,
    model: str,
    backend: str,
    url: str | None,
    token_env: str | None,
    as_json: bool,
) -> None:
    """Show the last requests, a line each.

    With --json each line is one object, as /admin/requests has it.
    """
    wanted = {"outcome": "failed" if failed else "", "model": model, "backend": backend}
    administration = Administration(url, token_env)
    out = console()
    if not follow:
        _print(out, Follower(administration, wanted).last(shown), as_json=as_json)
        return
    try:
        for told in news(administration, wanted, shown):
            if isinstance(told, News):
                _print(out, told, as_json=as_json)
            else:
                click.echo(clean(told), err=True)
    except KeyboardInterrupt:
        ctx.exit(INTERRUPTED)


def _print(out: Console, told: News, *, as_json: bool) -> None:
    if told.skipped:
        were = "earlier request is" if told.skipped == 1 else "earlier requests are"
        click.echo(f"Skipped: {told.skipped} {were} not kept any more.", err=True)
    for one in told.requests:
        if as_json:
            click.echo(json.dumps(one))
        else:
            out.print(line(one), soft_wrap=True)


def line(one: Mapping[str, Any]) -> Text:
    """Return a request that ended as a line."""
    ended = (number(one, "started_at") or 0.0) + (number(one, "seconds") or 0.0)
    asked, served = clean(one.get("model")), clean(one.get("served_model"))
    status = count(one, "status")
    error = clean(one.get("error"))
    well = status < 400 and not error
    said = Text.assemble(
        (f"{_clock(datetime.fromtimestamp(ended, UTC).astimezone())} ", "dim"),
        (f"{status} ", "green" if well else "yellow" if one.get("client_closed") is True else "bold red"),
        (asked or "no model", "bold"),
        f" as {served}" if served not in ("", asked) else "",
        " on ",
        (clean(one.get("backend")) or "none", "cyan"),
        f"  {span(number(one, 'seconds'))}",
    )
    if one.get("streamed") is True and (first := number(one, "first_byte_seconds")) is not None:
        said.append(f"  first byte {span(first)}")
    said.append(_tokens(one))
    if (attempts := count(one, "attempts")) > 1:
        said.append(f"  {attempts} attempts", "yellow")
    if error:
        said.append(f"  {error}", "red")
    if one.get("client_closed") is True:
        said.append("  client left", "yellow")
    return said.append(f"  {clean(one.get('id'))}", "dim")


def _clock(when: datetime) -> str:
    """Return the time of day, with the day unless it is today."""
    today = when.date() == datetime.now(UTC).astimezone().date()
    return f"{when:%H:%M:%S}" if today else f"{when:%Y-%m-%d %H:%M:%S}"


def _tokens(one: Mapping[str, Any]) -> str:
    prompt, completion = number(one, "prompt_tokens"), number(one, "completion_tokens")
    if completion is None:
        return ""
    about = "~" if one.get("estimated") is True else ""
    return f"  {'' if prompt is None else f'{prompt:.0f}+'}{about}{completion:.0f} tokens"
