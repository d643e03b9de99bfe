from __future__ import annotations

import threading

from nexus.server.terminal import Terminal


def test_lines_come_in_their_order_and_all_before_the_end() -> None:
    said: list[str] = []
    terminal = Terminal(said.append)
    terminal.start()
    for number in range(100):
        terminal.say(str(number))
    terminal.close()
    assert said == [str(number) for number in range(100)]


def test_a_reader_who_has_gone_is_no_trouble() -> None:
    told = []

    def announce(line: str) -> None:
        told.append(line)
        raise BrokenPipeError

    terminal = Terminal(announce)
    terminal.start()
    terminal.say("a")
    terminal.say("b")
    terminal.close()
    assert told == ["a", "b"]


def test_a_reader_who_does_not_read_holds_nobody_up() -> None:
    reads = threading.Event()
    said: list[str] = []

    def announce(line: str) -> None:
        reads.wait(30)
        said.append(line)

    terminal = Terminal(announce, max_pending=3)
    terminal.start()
    for number in range(1000):
        terminal.say(str(number))
    terminal.close(timeout=0.01)
    reads.set()
    assert len(said) <= 4
