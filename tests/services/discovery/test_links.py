from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus.services.discovery.links import Links, Mark

MARKS: list[Mark] = [("id", "a", 0), ("id", "b", 0), *(("at", f"h{number}", 1) for number in range(5))]

Events = list[tuple[int, frozenset[Mark], bool, bool]]
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 7), st.frozensets(st.sampled_from(MARKS), min_size=1), st.booleans(), st.booleans()
    ),
    max_size=30,
)


def played(events: Events) -> tuple[Links, dict[str, tuple[frozenset[Mark], bool]]]:
    links = Links()
    there: dict[str, tuple[frozenset[Mark], bool]] = {}
    for number, marks, trusted, dropped in events:
        key = f"k{number}"
        if dropped:
            links.drop(key)
            there.pop(key, None)
        else:
            links.put(key, marks, trusted=trusted)
            there[key] = (marks, trusted)
    return links, there


def whole(there: dict[str, tuple[frozenset[Mark], bool]]) -> list[set[str]]:
    sets: list[tuple[set[str], set[Mark]]] = []
    for key, (marks, _) in there.items():
        keys, all_marks = {key}, set(marks)
        apart = []
        for other_keys, other_marks in sets:
            if all_marks & other_marks:
                keys |= other_keys
                all_marks |= other_marks
            else:
                apart.append((other_keys, other_marks))
        sets = [*apart, (keys, all_marks)]
    return [keys for keys, _ in sets]


@given(EVENTS)
def test_what_shares_a_mark_is_one_server_unless_two_trusted_ones_are_joined(events: Events) -> None:
    links, there = played(events)
    groups = links.groups(there)
    assert sorted(key for group in groups for key in group) == sorted(there)
    for component in whole(there):
        inside = [group for group in groups if group <= component]
        assert set().union(*inside) == component
        named = {key: there[key] for key in component if there[key][1]}
        assert len(inside) == max(1, len(whole(named)))
        for trusted in whole(named):
            assert any(trusted == group & named.keys() for group in inside)


@given(EVENTS)
def test_any_member_leads_to_the_whole_and_nothing_is_left_behind(events: Events) -> None:
    links, there = played(events)
    for component in whole(there):
        for key in component:
            assert set().union(*links.groups([key])) == component
    for key in there:
        links.drop(key)
    assert len(links) == 0
    assert links._by_mark == {}
    assert links._trusted == set()
    assert links.groups(there) == []
