"""Names for requests that came without one."""

from __future__ import annotations

import re
from random import Random

from nexus.gateway.request_ids import RequestIds


def test_ids_are_digits_and_none_comes_twice() -> None:
    ids = RequestIds(Random(1))
    made = [ids.make() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(re.fullmatch("[0-9a-f]{24}", name) for name in made)
    assert RequestIds(Random(2)).make() not in made
