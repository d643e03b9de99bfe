from __future__ import annotations

import re
import tomllib

from tests.docs.pages import ROOT, quoted, read, rows, section

PAGE = "docs/architecture.md"
_TOPS = ("src/nexus", "tests", "bench", "compiled", "docs")
# Data below a folder that is explained as a whole.
_DATA = re.compile(r"tests/captures/|tests/http/corpus|src/nexus/testing/fixtures/|bench/(?:raw|\.peers)")


def _folders() -> set[str]:
    found = set(_TOPS)
    for top in _TOPS:
        for path in (ROOT / top).rglob("*"):
            if path.is_dir() and "__pycache__" not in path.parts and any(path.glob("*.*")):
                found.add(path.relative_to(ROOT).as_posix())
    return {name for name in found if not _DATA.match(name)}


def test_every_folder_is_explained() -> None:
    assert sorted(_folders() - quoted(section(PAGE, "## Every folder"))) == []


def test_where_to_start_exists() -> None:
    for cells in rows(section(PAGE, "## Every folder")):
        folder = cells[0].strip("`")
        for name in quoted(cells[2]):
            inside = ROOT / name if "/" in name else ROOT / folder / name
            assert inside.exists(), f"{folder}: {name}"


def test_files_named_without_their_folder_exist() -> None:
    known = {path.name for path in (ROOT / "src").rglob("*.py")}
    named = {text for text in quoted(read(PAGE)) if re.fullmatch(r"\w+\.py", text)}
    assert sorted(named - known) == []


def test_the_ladder_is_the_one_that_is_enforced() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    enforced = [[name.strip().removeprefix("nexus.") for name in layer.split("|")] for layer in layers]
    drawn = section(PAGE, "## The ladder").partition("```text\n")[2].partition("```")[0]
    told = [re.split(r"\s*[·|]\s*", line.split("   ")[0].strip()) for line in drawn.splitlines()]
    assert told == enforced
