from __future__ import annotations

import pytest
from tests.support.fixtures import fleet
from tests.support.prometheus import missing

__all__ = ["fleet"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("prometheus") is not None and (lacking := missing()):
        pytest.skip(lacking)
