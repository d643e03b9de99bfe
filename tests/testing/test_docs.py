"""The guide's examples run, and it names every fault and every kind."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import nexus.testing
from nexus.testing import Fault
from nexus.testing.dialects import DIALECTS

GUIDE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.findall(r"def (\w+)", text)[0])
async def test_an_example_runs(example: str) -> None:
    space: dict[str, Any] = {}
    exec(compile(example, "docs/testing.md", "exec"), space)  # noqa: S102 - the guide is our own
    tests = [value for name, value in space.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        await test()


def test_every_fault_and_kind_is_in_the_guide() -> None:
    faults = [
        name
        for name, value in vars(nexus.testing).items()
        if inspect.isclass(value) and issubclass(value, Fault) and value is not Fault
    ]
    assert [name for name in [*faults, *DIALECTS] if f"`{name}" not in GUIDE] == []


def test_every_public_member_of_a_backend_that_people_use_is_in_the_guide() -> None:
    for name in ("next", "always", "clear", "policy", "set_models", "set_loading", "set_key", "stop", "kill"):
        assert name in GUIDE
