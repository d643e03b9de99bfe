"""The guide's examples are carried out on a copy of the source, and work."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, blocks

_BLOCKS = [block.text for block in blocks("python") if block.page == "docs/adding-a-backend.md"]
_SHOW = """
from nexus.backends import ADAPTERS
from nexus.config.schema import Config
from nexus.domain import BackendType, Strategy
from nexus.protocol.surfaces import SURFACES, surfaces_of
from nexus.routing.policies import POLICIES
from nexus.routing.strategies import STRATEGIES

assert ADAPTERS[BackendType("koboldcpp")].default_slots == 1
assert "on_premises" in [policy.name for policy in POLICIES]
assert STRATEGIES[Strategy("least_busy")]([], None) == ([],)
assert SURFACES["moderations"].path == "/moderations"
assert "moderations" in surfaces_of(BackendType.OPENAI) - surfaces_of(BackendType.KOBOLDCPP)
"""


def _one(start: str) -> str:
    (found,) = [text for text in _BLOCKS if text.lstrip().startswith(start)]
    return found


def _insert(path: Path, before: str, line: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{path.name}: {before!r}"
    path.write_text(text.replace(before, line + before), encoding="utf-8")


def test_the_examples_work_on_a_copy(tmp_path: Path) -> None:
    source = tmp_path / "nexus"
    shutil.copytree(ROOT / "src" / "nexus", source, ignore=shutil.ignore_patterns("__pycache__", "fixtures"))

    _insert(source / "domain/backend.py", '    GENERIC = "generic"', _one("KOBOLDCPP ="))
    (source / "backends/koboldcpp.py").write_text(_one('"""KoboldCpp'), encoding="utf-8")
    adapters = source / "backends/__init__.py"
    _insert(adapters, "        BackendType.GENERIC: GenericAdapter()", _one("BackendType.KOBOLDCPP:"))
    _insert(
        adapters, "from nexus.backends.llamacpp", "from nexus.backends.koboldcpp import KoboldCppAdapter\n"
    )

    (source / "routing/policies/on_premises.py").write_text(_one('"""Nothing goes'), encoding="utf-8")
    policies = source / "routing/policies/__init__.py"
    _insert(policies, "    remote_image,\n", "    on_premises,\n")
    _insert(policies, "    remote_image.POLICY,", _one("on_premises.POLICY"))

    _insert(source / "domain/rules.py", '    RANDOM = "random"', '    LEAST_BUSY = "least_busy"\n')
    strategies = source / "routing/strategies.py"
    _insert(strategies, "def by_chance", _one("def least_busy") + "\n\n")
    _insert(strategies, "        Strategy.RANDOM:", _one("Strategy.LEAST_BUSY"))

    _insert(source / "protocol/surfaces.py", '    Surface("responses"', _one("Surface("))

    subprocess.run([sys.executable, "-c", _SHOW], check=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
