from __future__ import annotations

import re
import tomllib

import pytest
from tests.docs.pages import ROOT, rows, section

PAGE = "docs/dependencies.md"
_SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _names(requirements: list[str]) -> list[str]:
    return sorted(re.split(r"[^\w-]", requirement)[0] for requirement in requirements)


@pytest.mark.parametrize(
    ("heading", "requirements"),
    [
        ("## At run time", _SETTINGS["project"]["dependencies"]),
        ("## For the demo (extra `demo`)", _SETTINGS["project"]["optional-dependencies"]["demo"]),
        ("## For traces (extra `otel`)", _SETTINGS["project"]["optional-dependencies"]["otel"]),
        ("## For development", _SETTINGS["dependency-groups"]["dev"]),
        ("## To build", [*_SETTINGS["build-system"]["requires"], "editables", "uv"]),
    ],
)
def test_every_dependency_has_its_line_and_no_other(heading: str, requirements: list[str]) -> None:
    table = [cells for cells in rows(section(PAGE, heading)) if cells[0].startswith("`")]
    assert sorted(cells[0].strip("`") for cells in table) == _names(requirements)
    assert all(len(cells) == 3 and all(cells) for cells in table)
