"""The recorded graph, and the way back through it.

A Node holds, for each argument that needs a gradient, the map from the gradient of its value to the gradient of that
argument: the vector-Jacobian product. `pull_back` calls the maps from the last Node made to the first and adds up what
arrives. Nodes know arrays and other Nodes; a leaf, where the way ends, is any object with an identity (it is a Tensor).

Nodes refer only to older Nodes and to leaves, never to the Tensors that they made, so there is no cycle: a graph that is
dropped is freed at once.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

from minimtl.backend import Array, is_array, owner

Map = Callable[[Array], Array]
Leaf = Any


class Version:
    """How often the memory of a Tensor was written to in place; shared by all Tensors that show this memory.

    `owner` is the id of the array that holds the memory: to compare while that array lives, as it does while a map needs it.
    """

    __slots__ = ("count", "owner")

    def __init__(self, array: Array) -> None:
        self.count = 0
        self.owner = id(owner(array))


class Node:
    """A recorded operation: edges to what it was computed from, each with the map that carries the gradient there."""

    __slots__ = ("dtype", "edges", "guards", "name", "number", "shape")
    made = count()

    def __init__(self, name: str, value: Array, edges: "list[Edge]", versions: Iterable[Version]) -> None:
        self.name = name
        self.number = next(Node.made)  # a node is made after all that it depends on: a topological order for free
        self.shape, self.dtype = value.shape, value.dtype
        self.edges: list[Edge] | None = edges
        self.guards = [(version, version.count) for version in versions]

    def check(self) -> None:
        """Refuse to run where an array that a map needs was written to after the map was made."""
        changed = {version.owner for version, seen in self.guards if version.count != seen}
        if changed:
            for _, carry, _, _ in self.edges or ():
                if any(id(owner(array)) in changed for array in captured(carry)):
                    raise RuntimeError(
                        f"backward: a tensor that {self.name} needs for its gradient was modified in place afterwards"
                    )

    def __repr__(self) -> str:
        return f"<{self.name} {self.shape}>"


Edge = tuple[Node | Leaf, Map, tuple[int, ...], np.dtype[Any]]  # where the gradient goes, by which map, in which form


def captured(function: Any) -> Iterator[Array]:
    """The arrays that a map keeps alive: in its closure, its defaults, and those of the functions in them."""
    stack, seen = [function], set()
    while stack:
        item = stack.pop()
        if is_array(item):
            yield item
        elif isinstance(item, (tuple, list)):
            stack.extend(item)
        elif isinstance(item, functools.partial):
            stack.extend([item.func, *item.args, *item.keywords.values()])
        elif callable(item) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(cell.cell_contents for cell in getattr(item, "__closure__", None) or ())
            stack.extend([*(getattr(item, "__defaults__", None) or ()), getattr(item, "__self__", None)])


@np.errstate(all="ignore")
def pull_back(
    name: str, seeds: dict[Node | Leaf, Array], wanted: set[Node | Leaf] | None = None, retain_graph: bool = False
) -> dict[Node | Leaf, Array]:
    """What arrives at the leaves, or at what is wanted, when the gradients in `seeds` are pulled back through the graph.

    Nothing runs before all versions are checked, and no map that does not lead to what is wanted. The graph is released
    as it is used, unless it is retained.
    """
    grads, nodes = dict(seeds), reachable(name, seeds)
    edges_of = {node: node.edges or [] for node in nodes} if wanted is None else leading(nodes, wanted)
    for node in edges_of:
        node.check()
    while edges_of:
        node, edges = edges_of.popitem()  # the last made
        g = grads[node] if wanted and node in wanted else grads.pop(node)
        for target, carry, shape, dtype in edges:
            add(grads, target, checked(node, carry(g), shape, dtype))
        if not retain_graph:
            node.edges = None
    return grads


def reachable(name: str, start: Iterable[Node | Leaf]) -> list[Node]:
    """All nodes that the start depends on, in the order in which they were made."""
    stack = [node for node in start if isinstance(node, Node)]
    seen = set(stack)
    while stack:
        edges = stack.pop().edges
        if edges is None:
            raise RuntimeError(
                f"{name}: this graph has been used and released. Add the losses and call backward() once, "
                "or pass retain_graph=True to every call but the last"
            )
        for target, *_ in edges:
            if isinstance(target, Node) and target not in seen:
                seen.add(target)
                stack.append(target)
    return sorted(seen, key=lambda node: node.number)


def leading(nodes: list[Node], wanted: set[Node | Leaf]) -> dict[Node, list[Edge]]:
    """Of the nodes, in the order in which they were made, those that lead to what is wanted, each with the edges that do."""
    lead, edges_of = set(wanted), {}
    for node in nodes:
        edges = [edge for edge in node.edges or () if edge[0] in lead]
        if edges:
            lead.add(node)
            edges_of[node] = edges
    return edges_of


def add(grads: dict[Node | Leaf, Array], target: Node | Leaf, g: Array) -> None:
    """Add g to what has arrived at the target; a new array, for g may be shared."""
    grads[target] = grads[target] + g if target in grads else g


def checked(node: Node, g: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The gradient g that a map of the node gave: an array of its argument's shape and dtype."""
    if getattr(g, "shape", None) != shape or g.dtype != dtype:
        came = f"{g.dtype} {g.shape}" if is_array(g) or isinstance(g, np.generic) else type(g).__name__
        raise RuntimeError(f"backward: {node.name} gives a gradient of {came} for an argument of {dtype} {shape}")
    return g
