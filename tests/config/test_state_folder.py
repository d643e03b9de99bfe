from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nexus.config.state_folder import MAX_BYTES, read_state, set_aside, state_folder, write_state


def test_the_variable_names_the_folder(tmp_path: Path) -> None:
    assert state_folder({"NEXUS_STATE_DIR": str(tmp_path / "here")}) == tmp_path / "here"


@pytest.mark.parametrize("environ", [{}, {"NEXUS_STATE_DIR": ""}, {"NEXUS_STATE_DIR": "  "}])
def test_without_it_the_users_own_is_taken(environ: dict[str, str]) -> None:
    assert state_folder(environ).name == "nexus"
    assert state_folder(environ).is_absolute()


def test_a_file_is_written_whole_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.json"
    assert read_state(path) is None
    write_state(path, b"one")
    write_state(path, b"two")
    assert read_state(path) == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_state(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_state(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        read_state(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):  # noqa: PT011  # the system's own words
        read_state(tmp_path / "folder")
    (tmp_path / "huge").write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(OSError, match="more than"):
        read_state(tmp_path / "huge")


def test_what_is_set_aside_never_replaces_anything(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        path = tmp_path / "a.json"
        path.write_text(f"broken {number}")
        assert set_aside(path) == tmp_path / f"a.json.corrupt-{number}"
    assert (tmp_path / "a.json.corrupt-1").read_text() == "broken 1"
