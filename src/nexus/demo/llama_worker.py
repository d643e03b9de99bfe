"""``python -m nexus.demo.llama_worker``: one real llama.cpp server in a process of its own.

Reads its settings as one JSON line on standard input, prints where it listens as one JSON line,
and serves until it is killed or standard input ends (so the settings, an API key among them, are
in nobody's process list, and a dead parent leaves nothing behind).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Final, Protocol

import msgspec

from nexus.demo.lifeline import end_with_parent

QUIET: Final = -1  # llama.cpp's verbosity: not even warnings


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What one llama.cpp server is started with.

    Attributes:
        model: path of the GGUF.
        alias: the name it is offered under.
        port: 0 picks a free one.
        context: tokens in all; each slot gets its share (``context / slots``).
        slots: how many requests it works on at once.
        threads: 1, since on a busy machine two threads wait for each other and are many times slower.
        embeddings: serve embeddings too (mean pooling), beside chat and completions.
        api_key: required from clients when set.
    """

    model: str
    alias: str = "smollm2-135m"
    port: int = 0
    context: int = 4096
    slots: int = 2
    threads: int = 1
    embeddings: bool = False
    api_key: str = ""


class Started(msgspec.Struct, frozen=True):
    """The one line that the worker prints: where it listens, or why it does not."""

    url: str = ""
    error: str = ""


class Listening(Protocol):
    """What is used of ``xllamacpp.Server``: it serves from its construction on."""

    listening_address: str


def main() -> None:
    """Read the settings, serve, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = msgspec.json.decode(_first_line(sys.stdin.fileno()), type=Settings)
    end_with_parent()
    try:
        server = _serve(settings)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        _print(Started(error=str(error)))
        os._exit(1)
    _print(Started(url=server.listening_address))
    threading.Event().wait()


def _serve(settings: Settings) -> Listening:
    import xllamacpp  # noqa: PLC0415 - the extra `demo`; loaded here so that its absence is an answer

    params = xllamacpp.CommonParams()
    params.model.path = settings.model
    params.model_alias = [settings.alias]
    params.hostnames = ["127.0.0.1"]
    params.port = settings.port
    params.n_ctx = settings.context
    params.n_parallel = settings.slots
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.endpoint_metrics = True
    params.warmup = False
    params.ui = False
    params.verbosity = QUIET
    if settings.api_key:
        params.api_keys = [settings.api_key]
    if settings.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server: Listening = xllamacpp.Server(params)
    return server


def _first_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (read := os.read(descriptor, 65536)):
        line += read
    return line


def _print(started: Started) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(started) + b"\n")


if __name__ == "__main__":
    main()
