"""``nexus backends detect``: asks a server itself, no running Nexus needed."""

from __future__ import annotations

import asyncio
import os
import re

import click
import msgspec

from nexus.backends import HttpProbe
from nexus.backends.detect import Verdict
from nexus.backends.detect import detect as examine
from nexus.cli.lazy import Refused
from nexus.cli.remote import Unanswered
from nexus.cli.show import clean, print_json
from nexus.config.url import BackendUrl, parse_url
from nexus.domain import BackendSpec, Origin, Secret
from nexus.errors import ConfigError
from nexus.http.client import HttpClient
from nexus.tasks import DeadlineWatch, SystemClock, TaskOwner

PROBE_SECONDS = 2.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the server's key.")
@click.argument("url")
def detect(*, url: str, api_key_env: str | None, as_json: bool) -> None:
    """Ask the server at URL what it is, and show the evidence.

    No running Nexus is needed. Exit code 1 when nothing answers, or no inference server.
    """
    try:
        address = parse_url(url)
    except ConfigError as error:
        raise Refused(f"URL: {error}") from None
    steps: list[str] = []
    verdict = asyncio.run(_examine(address, _key(api_key_env), steps))
    if as_json:
        print_json({"url": str(address), **_fields(verdict), "steps": steps})
    else:
        _show(address, verdict, steps)
    if verdict is None or not verdict.serves:
        raise Unanswered(_advice(address, verdict, steps))


async def _examine(address: BackendUrl, key: Secret | None, steps: list[str]) -> Verdict | None:
    clock, tasks = SystemClock(), TaskOwner("detect")
    watch = DeadlineWatch(clock)
    client = HttpClient(clock=clock, watch=watch, tasks=tasks, environ=os.environ)
    spec = BackendSpec(
        id="detect",
        name="detect",
        origin=Origin(address.scheme, address.host, address.port),
        api_root=address.api_root,
        native_root=address.native_root,
        key=key,
    )
    try:
        probe = HttpProbe(client, spec, PROBE_SECONDS)
        return await examine(probe, api_root=address.api_root, native_root=address.native_root, steps=steps)
    finally:
        await client.close()
        await tasks.close()
        watch.close()


def _key(name: str | None) -> Secret | None:
    if name is None:
        return None
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        # What is written there instead of a name may be the key itself: it is not repeated.
        raise Refused("--api-key-env: expected the name of an environment variable, not its value")
    value = os.environ.get(name, "").strip()
    if not value:
        raise Refused(f"--api-key-env: the environment variable {name} is not set")
    return Secret(value)


def _fields(verdict: Verdict | None) -> dict[str, object]:
    if verdict is None:
        return {"type": None, "version": "", "proven": False, "serves": False, "evidence": ""}
    fields: dict[str, object] = msgspec.to_builtins(verdict)
    del fields["steps"]
    return fields


def _show(address: BackendUrl, verdict: Verdict | None, steps: list[str]) -> None:
    if verdict is not None and verdict.serves:
        guessed = "" if verdict.proven else " (not recognised)"
        called = " ".join(word for word in (str(verdict.type), verdict.version) if word)
        click.echo(clean(f"{address} is {called}{guessed}: {verdict.evidence}."))
    for step in steps:
        click.echo(f"  {clean(step)}")


def _advice(address: BackendUrl, verdict: Verdict | None, steps: list[str]) -> str:
    """Say in one line what is wrong and what to do."""
    if verdict is not None:
        return clean(
            f"What answers at {address} is no inference server: {verdict.evidence}. "
            "Give the URL of its OpenAI API, with its path."
        )
    said = steps[0].partition(": ")[2] if steps else "not asked"
    if said[:3].isdigit():
        return clean(f"{address} cannot say what it is now ({said}). Ask again when it has started.")
    return clean(f"Nothing answers at {address}: {said}. Start the server there, or mend the URL.")
