"""What kernels have in common: the form of their answer, and the adjoint of broadcasting."""

from collections.abc import Callable
from typing import Any

from minimtl.backend import Array

Map = Callable[[Array], Array]  # from the gradient of a value to that of an argument
Result = tuple[Any, ...]  # a value, then for each argument in order its Map, or None


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """The adjoint of broadcasting from `shape`: the sum over every axis along which numbers were repeated."""
    if g.shape == shape:
        return g
    new = g.ndim - len(shape)
    axes = tuple([i for i, n in enumerate(g.shape) if i < new or (shape[i - new] == 1 and n != 1)])
    g = g.sum(axis=axes, keepdims=True)
    return g.reshape(g.shape[max(new, 0) :])
