"""Walks over graphs, held to their definitions on random ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from experiments.graph import in_order, longest_paths, reach, reversed_arrows


@st.composite
def graphs(draw):
    """{node: nodes it leads to}, without circles: arrows lead to larger numbers."""
    count = draw(st.integers(0, 8))
    return {
        node: sorted(draw(st.sets(st.integers(node + 1, count - 1), max_size=4))) if node + 1 < count else []
        for node in draw(st.permutations(range(count)))
    }


def led_to(arrows, node):
    """By the definition."""
    return set(arrows[node]).union(*(led_to(arrows, other) for other in arrows[node]))


@given(graphs(), st.data())
def test_reach_is_what_the_beginning_leads_to(arrows, data):
    begin = data.draw(st.sets(st.sampled_from(sorted(arrows)))) if arrows else set()
    found = reach(begin, arrows.__getitem__)
    assert len(set(found)) == len(found)
    assert set(found) == set().union(*(led_to(arrows, node) for node in begin)) - begin


@given(graphs(), st.data())
def test_in_order_has_each_node_after_what_it_needs(arrows, data):
    wanted = data.draw(st.lists(st.sampled_from(sorted(arrows)))) if arrows else []
    found = in_order(wanted, arrows.__getitem__)
    assert sorted(found) == sorted(set(wanted).union(*(led_to(arrows, node) for node in wanted)))
    for place, node in enumerate(found):
        assert set(arrows[node]) <= set(found[:place])


@given(graphs())
def test_reversed_twice_is_the_same(arrows):
    assert {node: sorted(others) for node, others in reversed_arrows(reversed_arrows(arrows)).items()} == arrows


@given(graphs())
def test_longest_paths(arrows):
    def length(node):
        return node + 1 + max(map(length, arrows[node]), default=0)

    assert longest_paths(arrows, lambda node: node + 1) == {node: length(node) for node in arrows}


def test_a_long_chain_needs_no_recursion():
    arrows = {node: [node + 1] for node in range(20_000)}
    assert in_order([0], lambda node: arrows.get(node, ()))[:2] == [20_000, 19_999]
    assert longest_paths(arrows, lambda node: 1.0)[0] == 20_001
