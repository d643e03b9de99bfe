"""What `make` installs: one lock file for all, and the weights that the demo names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from nexus.demo.weights import INSTALL_WEIGHTS

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def needs() -> list[str]:
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    groups += [PROJECT["dependency-groups"]["dev"], PROJECT["build-system"]["requires"]]
    return [re.split(r"[^A-Za-z0-9-]", need)[0] for group in groups for need in group]


@pytest.mark.parametrize("need", needs())
def test_everything_needed_is_locked(need: str) -> None:
    assert re.search(rf"(?m)^{re.escape(need)}==", LOCK), f"{need} is not locked: run make lock"


def test_every_locked_version_has_a_hash() -> None:
    entries = re.split(r"(?m)^(?=\S)", LOCK)[1:]
    assert entries
    for entry in entries:
        assert "--hash=sha256:" in entry


def test_the_lock_names_no_host_and_no_place_on_a_disk() -> None:
    assert "://" not in LOCK
    assert not re.search(r"(?m)(^|\s)[/~]|^-", LOCK)


def test_make_installs_the_weights_that_the_demo_asks_for() -> None:
    pinned = INSTALL_WEIGHTS.split()[-1]
    assert f"WEIGHTS := {pinned} --hash=sha256:" in (ROOT / "Makefile").read_text()
