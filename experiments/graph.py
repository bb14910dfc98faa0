"""Traversals of an acyclic graph, given as {node: its successors}; each takes linear time.

A node missing from the mapping has no successors. With {stage: its inputs}, the successors of a stage are its inputs;
`reversed_arrows` gives {stage: the stages that need it}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

Node = TypeVar("Node")
Arrows = Mapping[Node, Iterable[Node]]


def reversed_arrows(arrows: Arrows[Node]) -> dict[Node, list[Node]]:
    """{node: its predecessors}, with every node of `arrows` among the keys."""
    found: dict[Node, list[Node]] = {node: [] for node in arrows}
    for node, others in arrows.items():
        for other in others:
            found.setdefault(other, []).append(node)
    return found


def reach(begin: Iterable[Node], follow: Callable[[Node], Iterable[Node]]) -> list[Node]:
    """Nodes reachable from `begin`, without those of `begin`; nearer ones first."""
    seen = dict.fromkeys(begin)
    pending, begun = list(seen), len(seen)
    for node in pending:  # grows during the loop
        for other in follow(node):
            if other not in seen:
                seen[other] = None
                pending.append(other)
    return pending[begun:]


def in_order(wanted: Iterable[Node], needs: Callable[[Node], Iterable[Node]]) -> list[Node]:
    """The wanted nodes and their direct and indirect needs, in topological order: each after its needs."""
    ordered: dict[Node, None] = {}
    pending = [(node, False) for node in reversed(list(wanted))]
    while pending:
        node, complete = pending.pop()
        if complete:
            ordered[node] = None
        elif node not in ordered:
            pending.append((node, True))
            pending += [(other, False) for other in reversed(list(needs(node))) if other not in ordered]
    return list(ordered)


def longest_paths(arrows: Arrows[Node], length: Callable[[Node], float]) -> dict[Node, float]:
    """{node: length of the longest path that begins at it}, the node's own length included."""
    found: dict[Node, float] = {}
    for node in in_order(arrows, lambda each: arrows.get(each, ())):
        found[node] = length(node) + max((found[other] for other in arrows.get(node, ())), default=0.0)
    return found
