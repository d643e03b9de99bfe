from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
from pathlib import Path

import pytest

from nexus.config.manual import Manual
from nexus.domain import BackendType
from nexus.services import kept_backends
from nexus.services.kept_backends import KeptBackends
from nexus.tasks import SystemClock

A = Manual("a", "http://127.0.0.1:1001/v1", BackendType.VLLM, 7, 3, "A_KEY")
B = Manual("b", "http://127.0.0.1:1002/v1", draining=True)


def kept(folder: Path) -> KeptBackends:
    return KeptBackends(folder, SystemClock())


def names(folder: Path) -> list[str]:
    return sorted(row["name"] for row in json.loads((folder / "backends.json").read_text())["backends"])


async def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    assert kept(folder).load() == ()
    assert not folder.exists()
    first = kept(folder)
    assert [await first.keep(A), await first.keep(B), await first.keep(A)] == ["", "", ""]
    assert set(kept(folder).load()) == {A, B}
    assert stat.S_IMODE((folder / "backends.json").stat().st_mode) == 0o600
    assert await first.forget("a") == ""
    assert await first.forget("never there") == ""
    assert kept(folder).load() == (B,)


async def test_many_changes_at_once_are_all_kept(tmp_path: Path) -> None:
    one, two = kept(tmp_path), kept(tmp_path)
    added = [Manual(f"n{number}", f"http://127.0.0.1:{2000 + number}/v1") for number in range(20)]
    turns = (one, two)
    notes = await asyncio.gather(*(turns[number % 2].keep(manual) for number, manual in enumerate(added)))
    assert set(notes) == {""}
    assert set(kept(tmp_path).load()) == set(added)
    await asyncio.gather(*(turns[number % 2].forget(manual.name) for number, manual in enumerate(added)))
    assert kept(tmp_path).load() == ()


async def test_two_gateways_do_not_lose_each_others_entries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = kept(tmp_path), kept(tmp_path)
    await one.keep(A)
    await two.keep(B)
    assert names(tmp_path) == ["a", "b"]
    other = Manual("a", "http://127.0.0.1:9999/v1")
    note = await two.keep(other)
    assert "another Nexus" in note
    assert "not kept" in caplog.text
    assert await two.forget("a") == ""
    assert await one.forget("b") == ""
    assert set(kept(tmp_path).load()) == {A, B}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"backends": {}}',
        b'{"backends": [1]}',
        b'{"backends": ["a"]}',
        b'{"version": "x", "backends": []}',
        b"[" * 100_000,
    ],
)
async def test_a_file_that_is_none_is_set_aside_and_nothing_is_fatal(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "backends.json").write_bytes(data)
    (tmp_path / "backends.json.corrupt-1").write_text("an older one")
    again = kept(tmp_path)
    assert again.load() == ()
    assert (tmp_path / "backends.json.corrupt-1").read_text() == "an older one"
    assert (tmp_path / "backends.json.corrupt-2").read_bytes() == data
    assert "set aside" in caplog.text
    assert await again.keep(A) == ""
    assert kept(tmp_path).load() == (A,)


async def test_a_file_that_is_broken_while_nexus_runs_loses_nothing_of_its_own(tmp_path: Path) -> None:
    running = kept(tmp_path)
    await running.keep(A)
    (tmp_path / "backends.json").write_text("{broken")
    await running.keep(B)
    assert set(kept(tmp_path).load()) == {A, B}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"name": "x"},
        {"name": "x", "url": "ftp://x"},
        {"name": "x", "url": 1},
        {"name": 1, "url": "http://x:1"},
        {"name": "x", "url": "http://x:1", "type": "from-the-future"},
        {"name": "x", "url": "http://x:1", "priority": "high"},
        {"name": "x", "url": "http://x:1", "draining": 1},
        {"name": "x", "url": "http://x:1", "key": "a-secret"},
    ],
)
async def test_one_row_that_is_wrong_is_left_out_and_stays_in_the_file(
    tmp_path: Path, row: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    good = {"name": "a", "url": "http://127.0.0.1:1001/v1"}
    (tmp_path / "backends.json").write_text(json.dumps({"backends": [row, good]}))
    again = kept(tmp_path)
    assert [manual.name for manual in again.load()] == ["a"]
    assert "left an added backend out" in caplog.text
    assert "a-secret" not in caplog.text
    await again.keep(B)
    assert row in json.loads((tmp_path / "backends.json").read_text())["backends"]


async def test_an_unwritable_folder_is_a_note_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    note = await kept(tmp_path / "file" / "state").keep(A)
    assert "not kept for its next start" in note
    assert "not kept" in caplog.text


async def test_a_place_that_cannot_be_read_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "backends.json")
    assert kept(tmp_path).load() == ()
    assert "cannot read" in caplog.text
    assert "regular file" in await kept(tmp_path).keep(A)


async def test_a_lock_that_is_never_given_back_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_backends, "LOCK_SECONDS", 0.1)
    descriptor = os.open(tmp_path / "backends.json.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    running = kept(tmp_path)
    assert "another process holds" in await running.keep(A)
    os.close(descriptor)
    assert await running.keep(A) == ""
    assert kept(tmp_path).load() == (A,)
