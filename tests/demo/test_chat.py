from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from nexus.demo.chat import Answer, ChatFailed, ask
from nexus.tasks import SystemClock

HEAD = b"HTTP/1.1 200 OK\r\nX-Nexus-Backend: llama-a\r\nX-Nexus-Attempts: 2\r\nConnection: close\r\n\r\n"
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"

Serve = Callable[[bytes], tuple[str, int]]


def delta(text: str) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%s"},"finish_reason":null}]}\n\n' % text.encode()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A peer that answers one request with these bytes and closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(answer: bytes) -> tuple[str, int]:
        def run() -> None:
            peer, _ = listener.accept()
            with peer:
                request = b""
                while b'"messages"' not in request:
                    request += peer.recv(65536)
                peer.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        host, port = listener.getsockname()
        return host, port

    yield start
    for thread in threads:
        thread.join()
    listener.close()


def asked(address: tuple[str, int], said: Callable[[str], None] = lambda _: None) -> Answer:
    return ask(address, "m", "Well?", said=said, clock=SystemClock())


def test_streams_the_pieces_and_reads_who_answered(serve: Serve) -> None:
    said: list[str] = []
    role = b'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n\n'
    answer = asked(
        serve(HEAD + role + b": comment\n\n" + delta("Hel") + delta("lo") + FINISH + DONE), said.append
    )
    assert said == ["Hel", "lo"]
    assert (answer.text, answer.backend, answer.attempts) == ("Hello", "llama-a", 2)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'HTTP/1.1 503 X\r\nContent-Length: 31\r\n\r\n{"error":{"message":"all busy"}}'[:-1], "503"),
        (HEAD + delta("Hel"), "before it was finished"),
        (HEAD + delta("Hel") + DONE, "before it was finished"),
        (HEAD + delta("Hel") + b'data: {"error":{"message":"upstream closed"}}\n\n', "upstream closed"),
        (HEAD + FINISH + DONE, "empty"),
        (b"SSH-2.0\r\n\r\n", "connection broke"),
    ],
)
def test_anything_but_a_complete_answer_is_a_failure(serve: Serve, answer: bytes, message: str) -> None:
    with pytest.raises(ChatFailed, match=message):
        asked(serve(answer))


def test_nobody_there_is_a_failure() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    with pytest.raises(ChatFailed, match="refused"):
        asked(address)
