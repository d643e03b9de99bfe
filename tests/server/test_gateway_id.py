from __future__ import annotations

import logging
import multiprocessing
import os
import re
import socket
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from nexus.server.gateway_id import FILE, claim


def once(folder: Path, host: str = "0.0.0.0", port: int = 6398) -> str:
    claimed = claim(folder, host, port)
    claimed.release()
    return claimed.text


def test_an_id_stays_the_same_over_restarts(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    first = once(folder)
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert once(folder) == first
    assert (folder / FILE).stat().st_mode & 0o077 == 0


def test_every_door_has_an_id_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = [("0.0.0.0", 6398), ("0.0.0.0", 6399), ("127.0.0.1", 6398)]
    ids = {once(tmp_path, *door) for door in doors} | {once(tmp_path / "other")}
    monkeypatch.setattr(socket, "gethostname", lambda: "another-node-of-the-same-home")
    ids.add(once(tmp_path))
    assert len(ids) == 5


def test_two_at_once_never_have_one_id(tmp_path: Path) -> None:
    held = [claim(tmp_path, "0.0.0.0", 6398) for _ in range(5)]
    assert len({claimed.text for claimed in held}) == 5
    first = held[0].text
    for claimed in held:
        claimed.release()
        claimed.release()
    assert once(tmp_path) == first


def _hold(folder: Path, pipe: Connection) -> None:
    claimed = claim(folder, "0.0.0.0", 6398)
    pipe.send(claimed.text)
    pipe.recv()


def test_another_process_holds_its_id_until_it_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=_hold, args=(tmp_path, far))
    process.start()
    try:
        theirs = near.recv()
        assert once(tmp_path) != theirs
    finally:
        process.kill()
        process.join()
    assert once(tmp_path) == theirs


def test_a_port_that_is_chosen_by_the_system_keeps_nothing(tmp_path: Path) -> None:
    assert once(tmp_path, port=0) != once(tmp_path, port=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"x" * 33, b"0" * 32, b"0" * 40 + b"\n", b"\xff" * 2_000])
def test_a_damaged_seed_is_set_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    first = once(tmp_path)
    (tmp_path / FILE).write_bytes(content)
    second = once(tmp_path)
    assert second != first
    assert "damaged" in caplog.text
    assert (tmp_path / f"{FILE}.corrupt-1").read_bytes() == content
    assert once(tmp_path) == second


@pytest.mark.parametrize(
    "kind", ["file instead of folder", "folder instead of file", "pipe", "huge", "no lock"]
)
def test_a_folder_that_cannot_be_used_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    folder = tmp_path / "state"
    if kind == "file instead of folder":
        folder.write_text("")
    else:
        folder.mkdir()
    if kind == "folder instead of file":
        (folder / FILE).mkdir()
    if kind == "pipe":
        os.mkfifo(folder / FILE)
    if kind == "huge":
        (folder / FILE).write_bytes(b"0" * 2_000_000)
    if kind == "no lock":
        text = once(folder)
        (folder / f"gateway-{text}.lock").unlink()
        (folder / f"gateway-{text}.lock").mkdir()
    caplog.set_level(logging.WARNING)
    ids = {once(folder) for _ in range(2)}
    assert len(ids) == 2
    assert "cannot be kept" in caplog.text
