from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from nexus.services.config_watch import ConfigWatch, watchable
from nexus.tasks import SystemClock, TaskOwner


class Fixture:
    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.said: list[str] = []
        self.watch = ConfigWatch(
            lambda: self.path,
            lambda: self.said.append("changed"),
            lambda path: self.said.append(f"vanished {path.name}"),
            SystemClock(),
        )

    def looks(self, count: int = 2) -> list[str]:
        """Look so many times and return what was told."""
        self.said.clear()
        for _ in range(count):
            self.watch.look()
        return list(self.said)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "nexus.toml"
    path.write_text("a")
    return path


@pytest.fixture
def watched(path: Path) -> Fixture:
    """A file that was seen and is at rest."""
    fixture = Fixture(path)
    assert fixture.looks(3) == ["changed"]  # what changed between loading and watching
    return fixture


def test_a_file_at_rest_is_told_of_once(watched: Fixture) -> None:
    assert watched.looks(5) == []


def test_a_change_is_told_when_it_has_come_to_rest(watched: Fixture, path: Path) -> None:
    path.write_text("longer")
    assert watched.looks(1) == []
    assert watched.looks(1) == ["changed"]
    assert watched.looks(3) == []


def test_a_file_that_is_being_written_is_left_alone(watched: Fixture, path: Path) -> None:
    for size in range(2, 8):
        path.write_text("x" * size)
        assert watched.looks(1) == []
    assert watched.looks(1) == ["changed"]


def test_a_replaced_file_has_changed_even_if_time_and_size_are_the_same(watched: Fixture, path: Path) -> None:
    found = path.stat()
    other = path.with_name("nexus.toml~")
    other.write_text("b")
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(path)
    assert watched.looks() == ["changed"]


def test_a_link_that_is_swapped_has_changed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nexus.toml").write_text("a")
    (tmp_path / "data").symlink_to("one")
    fixture = Fixture(tmp_path / "data" / "nexus.toml")
    assert fixture.looks() == ["changed"]
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "data")
    assert fixture.looks() == ["changed"]


def test_a_file_that_vanishes_is_missed_once_and_its_return_is_a_change(watched: Fixture, path: Path) -> None:
    path.unlink()
    assert watched.looks(1) == []
    assert watched.looks(1) == ["vanished nexus.toml"]
    assert watched.looks(3) == []
    path.write_text("a")
    assert watched.looks() == ["changed"]


def test_a_gap_while_an_editor_replaces_the_file_is_not_missed(watched: Fixture, path: Path) -> None:
    path.unlink()
    assert watched.looks(1) == []
    path.write_text("b")
    assert watched.looks(2) == ["changed"]


def test_a_folder_that_vanishes_takes_the_file_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "nexus.toml").write_text("a")
    fixture = Fixture(folder / "nexus.toml")
    fixture.looks()
    (folder / "nexus.toml").unlink()
    folder.rmdir()
    folder.write_text("no folder")
    assert fixture.looks() == ["vanished nexus.toml"]


def test_a_file_that_cannot_be_reached_is_a_change_for_its_reader(watched: Fixture, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)  # leads to itself
    assert watched.looks() == ["changed"]


def test_without_a_file_there_is_nothing_to_miss_until_there_is_one(path: Path) -> None:
    fixture = Fixture(None)
    assert fixture.looks(3) == []
    fixture.path = path
    assert fixture.looks() == ["changed"]


async def test_it_looks_for_ever_until_it_is_ended(path: Path) -> None:
    class Steps(SystemClock):
        async def sleep(self, seconds: float) -> None:
            assert seconds == 1.0
            await asyncio.sleep(0)

    told = asyncio.Event()
    owner = TaskOwner("test")
    owner.spawn(ConfigWatch(lambda: path, told.set, lambda _: None, Steps()).run(), "watch")
    await asyncio.wait_for(told.wait(), 20)
    told.clear()
    await asyncio.to_thread(path.write_text, "changed")
    await asyncio.wait_for(told.wait(), 20)
    assert await owner.close() == 1


def test_a_pipe_is_not_watched(path: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert watchable(path)
    assert watchable(tmp_path / "missing")
    assert not watchable(tmp_path / "pipe")
    assert not watchable(Path("/dev/null"))
