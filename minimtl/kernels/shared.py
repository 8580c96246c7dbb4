"""What the kernels share."""

from collections.abc import Callable
from typing import Any, TypeVar

from minimtl.backend import Array

T = TypeVar("T")
Map = Callable[[Array], Array]  # from the gradient of a value to that of an argument
Result = tuple[Any, ...]  # a value, then for each argument in order its Map, or None


def once(f: Callable[[Array], T]) -> Callable[[Array], T]:
    """f, computed once for an array that several maps ask about in turn.

    Only the last array and its result are remembered, in the closure, and are gone with the maps that hold it. The
    array is recognised by identity, which is safe because nobody writes into a gradient.
    """
    last: list[tuple[Array, T]] = []

    def remembering(g: Array) -> T:
        if not last or last[0][0] is not g:
            last[:] = [(g, f(g))]
        return last[0][1]

    return remembering


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """The adjoint of broadcasting from `shape`: the sum over every axis along which numbers were repeated."""
    if g.shape == shape:
        return g
    new = g.ndim - len(shape)
    axes = tuple(i for i, n in enumerate(g.shape) if i < new or (shape[i - new] == 1 and n != 1))
    g = g.sum(axis=axes, keepdims=True)
    return g.reshape(g.shape[max(new, 0) :])
