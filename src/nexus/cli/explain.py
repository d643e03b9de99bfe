"""``nexus explain``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, Final

import click

from nexus.cli.administration import Administration, admin_options
from nexus.cli.explained import draw_forecast, draw_request
from nexus.cli.reading import rows
from nexus.cli.remote import Unanswered
from nexus.cli.show import console, print_json
from nexus.protocol.surfaces import SURFACES, BodyKind

TOKENS_MAX: Final = 1_300_000
"""What fits into a body that may be explained."""
# The lower bound that routing goes by: no text has more bytes for a token.
_WORD: Final = "tokens"
_PIXEL: Final = "data:image/png;base64,iVBORw0KGgo="


@click.command()
@click.argument("request_id", required=False)
@click.option("--body", type=click.File("rb"), help="Decide about this request body; - reads it from stdin.")
@click.option("--model", metavar="NAME", help="Decide about a request for this model.")
@click.option("--tools", is_flag=True, help="... that has tools.")
@click.option("--vision", is_flag=True, help="... that has an image.")
@click.option(
    "--tokens",
    type=click.IntRange(1, TOKENS_MAX),
    metavar="N",
    help="... whose prompt has N tokens at least.",
)
@click.option(
    "--surface", type=click.Choice(tuple(SURFACES)), help="What the request is sent to (chat when left out)."
)
@admin_options
def explain(  # noqa: PLR0913  one for each flag
    *,
    request_id: str | None,
    body: IO[bytes] | None,
    model: str | None,
    tools: bool,
    vision: bool,
    tokens: int | None,
    surface: str | None,
    url: str | None,
    token_env: str | None,
    as_json: bool,
) -> None:
    """Tell why a request went where it went.

    REQUEST_ID is its X-Nexus-Request-Id; without one it is the newest request. With --body, --model,
    --tools, --vision or --tokens it is told what would be decided now, and nothing is sent.
    """
    made = bool(model or tools or vision or tokens)
    if (request_id is not None) + (body is not None) + made > 1:
        raise click.UsageError("give one of REQUEST_ID, --body, and --model with what belongs to it")
    if surface is not None and not (body or made):
        raise click.UsageError("--surface belongs to --body or --model")
    out, administration = console(), Administration(url, token_env)
    if body is not None or made:
        kind = surface or "chat"
        sent = (
            body.read() if body is not None else _body(kind, model, tokens or 1, tools=tools, vision=vision)
        )
        told = administration.explain(sent, kind)
        drawn = draw_forecast(told)
    else:
        told = administration.request(request_id or _newest(administration))
        drawn = draw_request(told)
    if as_json:
        print_json(told)
    else:
        for piece in drawn:
            out.print(piece)


def _newest(administration: Administration) -> str:
    """Return the id of the request that ended last, or else of one that runs."""
    page = administration.requests(limit=1)
    for one in (*rows(page, "data"), *reversed(rows(page, "running"))):
        return str(one.get("id"))
    raise Unanswered(
        "No request has been made yet. What would happen to one says: nexus explain --model NAME"
    )


def _body(kind: str, model: str | None, tokens: int, *, tools: bool, vision: bool) -> bytes:
    """Make a request that needs what was asked for."""
    text = _WORD * tokens
    shape = SURFACES[kind].body
    made: dict[str, Any] = {} if model is None else {"model": model}
    if (tools or vision) and shape is not BodyKind.CHAT:
        raise click.UsageError(f"--tools and --vision make a chat; give --body for {kind}")
    if shape in (BodyKind.CHAT, BodyKind.MESSAGES):
        made["messages"] = [{"role": "user", "content": _content(text) if vision else text}]
        if tools:
            made["tools"] = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    else:
        made["prompt" if shape is BodyKind.COMPLETION else "input"] = text
    return json.dumps(made).encode()


def _content(text: str) -> list[Mapping[str, Any]]:
    return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": _PIXEL}}]
