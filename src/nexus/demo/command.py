"""``nexus demo``: two real servers, a chat, a ``kill -9``, and the chat that goes on."""

from __future__ import annotations

import shlex
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click
import msgspec

from nexus.demo.chat import MAX_TOKENS, Answer, ChatFailed, ask
from nexus.demo.gateway import DemoGateway
from nexus.demo.llama import LlamaServer
from nexus.demo.weights import find_weights
from nexus.errors import StartError
from nexus.tasks import SystemClock

NAMES: Final = ("llama-a", "llama-b")
QUESTIONS: Final = (
    "What is a lighthouse? Answer in one sentence.",
    "Why do ships carry lifeboats? Answer in one sentence.",
)
INDENT: Final = "        "
STEPS: Final = 5


@click.command()
@click.option(
    "--exit", "leave", is_flag=True, help="Leave after the show; exit code 0 if the failover worked."
)
@click.option("--model", type=click.Path(path_type=Path), metavar="FILE.gguf", help="Serve these weights.")
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="N", help="The gateway's port (6398, or a free one)."
)
def demo(*, leave: bool, model: Path | None, port: int | None) -> None:
    """Watch two real servers, a chat, a kill -9 and the failover.

    Starts two llama.cpp servers as processes of their own and a gateway over them, asks a question, kills
    the server that answered, and asks again.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    weights = model if model is not None else find_weights()
    with ExitStack() as stack:
        servers = _start_servers(stack, weights)
        gateway = _start_gateway(stack, servers, port)
        alias = next(iter(servers.values())).alias
        if not _show(servers, gateway, alias):
            sys.exit(1)
        if leave:
            return
        _invite(gateway, alias)
        _stay(gateway)


def _start_servers(stack: ExitStack, weights: Path) -> dict[str, LlamaServer]:
    _step(1, f"Starting two llama.cpp servers with {weights.name}")
    servers = {name: LlamaServer(weights, alias=_alias(weights)) for name in NAMES}
    for server in servers.values():
        stack.callback(server.stop)
        server.launch()
    for name, server in servers.items():
        server.wait_healthy()
        _say(f"{name}  {server.url}  process {server.pid}")
    return servers


def _start_gateway(stack: ExitStack, servers: dict[str, LlamaServer], port: int | None) -> DemoGateway:
    _step(2, "Starting Nexus over both")
    gateway = DemoGateway({name: server.url for name, server in servers.items()}, port)
    stack.enter_context(gateway)
    _say(f"nexus    http://{gateway.address[0]}:{gateway.port}  process {gateway.pid}")
    return gateway


def _show(servers: dict[str, LlamaServer], gateway: DemoGateway, alias: str) -> bool:
    first = _ask(3, gateway, alias, QUESTIONS[0])
    victim = servers.get(first.backend)
    if victim is None:
        raise StartError(f'The answer came from a backend of another name: "{first.backend}"')
    _step(4, f"kill -9 {victim.pid}: {first.backend} is gone")
    victim.kill()
    second = _ask(5, gateway, alias, QUESTIONS[1])
    other = second.backend in servers and second.backend != first.backend
    if not other:
        _say(click.style(f"No failover: the answer came from {second.backend!r} again.", fg="red"))
    return other


def _ask(step: int, gateway: DemoGateway, alias: str, question: str) -> Answer:
    _step(step, f'Asking: "{question}"')
    click.echo(INDENT, nl=False)
    try:
        answer = ask(gateway.address, alias, question, said=_stream, clock=SystemClock())
    except ChatFailed as error:
        click.echo()
        raise click.ClickException(f"the chat failed: {error}") from error
    click.echo()
    failover = f", after {answer.attempts} attempts" if answer.attempts > 1 else ""
    reason = f" ({answer.reason})" if answer.reason else ""
    verdict = f"answered by {answer.backend}{failover}{reason}"
    times = f"first word after {answer.first_seconds:.2f} s, all of it after {answer.seconds:.2f} s"
    _say(click.style(verdict, fg="green", bold=True) + f"; {times}")
    return answer


def _invite(gateway: DemoGateway, alias: str) -> None:
    base = f"http://{gateway.address[0]}:{gateway.port}/v1"
    body = {
        "model": alias,
        "stream": True,
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": "Hello!"}],
    }
    click.echo()
    click.echo("Nexus stays up. Try it:")
    click.echo()
    click.echo(f"  curl -N {base}/chat/completions -H 'Content-Type: application/json' \\")
    click.echo(f"    -d {shlex.quote(msgspec.json.encode(body).decode())}")
    click.echo()
    click.echo(f"  Base URL for any OpenAI client   {base}   (any API key)")
    click.echo(f"  Address                          {gateway.address[0]}:{gateway.port}")
    click.echo()
    click.echo("Ctrl-C ends everything that was started here.")


def _stay(gateway: DemoGateway) -> None:
    try:
        last_words = gateway.wait()
    except KeyboardInterrupt:
        click.echo("\nEnding everything.")
        return
    raise click.ClickException(f"the gateway ended by itself\n{last_words}".strip())


def _alias(weights: Path) -> str:
    """Name the model as its file is named, without quantisation."""
    return weights.name.removesuffix(".gguf").partition(".Q")[0].lower()


def _step(number: int, text: str) -> None:
    click.echo()
    click.echo(click.style(f"[{number}/{STEPS}]", bold=True) + f"   {text}")


def _say(text: str) -> None:
    click.echo(INDENT + text)


def _stream(piece: str) -> None:
    shown = "".join(character for character in piece if character.isprintable() or character == "\n")
    click.echo(shown.replace("\n", "\n" + INDENT), nl=False)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    sys.exit(128 + number)
