"""What operations check before they compute, so that a mistake is named in their terms and not in NumPy's."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array

Dims = int | Sequence[int] | None


def tensor(name: str, what: str, x: object) -> None:
    """x is a Tensor, not a list or a number."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: {what} must be a Tensor, got {type(x).__name__}")


def is_integer(n: object) -> bool:
    """Whether n is an integer, and no truth value."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)


def number(name: str, what: str, n: object) -> None:
    """n is a real number, of Python's or NumPy's."""
    if not isinstance(n, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: {what} must be a number, got {n!r}")


def axis(name: str, x: Array, dim: int, new: int = 0) -> int:
    """dim as an axis of x counted from the front, or of x with new axes."""
    if not is_integer(dim):
        raise TypeError(f"{name}: dim must be an integer, got {dim!r}")
    n = max(x.ndim + new, 1)  # a 0-d tensor may be reduced over dim 0, as in PyTorch
    if not -n <= dim < n:
        raise IndexError(f"{name}: dim {dim} is out of range for {'a result' if new else 'a tensor'} of {x.ndim + new} axes")
    return dim % n


def axes(name: str, x: Array, dim: Dims) -> tuple[int, ...]:
    """dim, one or several, as distinct axes of x counted from the front; None is all of them."""
    if dim is None:
        return tuple(range(x.ndim))
    found = tuple([axis(name, x, d) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))])
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: dim {dim} names an axis twice")
    return found if x.ndim else ()


def numbers(name: str, *operands: Array) -> None:
    """The operands, arrays or Python numbers, are not truth values alone."""
    if all(isinstance(x, bool) or (hasattr(x, "dtype") and x.dtype.kind == "b") for x in operands):
        raise TypeError(f"{name}: needs numbers, got booleans")


def bits(name: str, *operands: Array) -> None:
    """The operands, arrays or Python numbers, are integers or truth values."""
    for x in operands:
        if isinstance(x, float) or getattr(x, "dtype", np.dtype(int)).kind == "f":
            raise TypeError(f"{name}: needs integers or booleans, got {getattr(x, 'dtype', 'float')}")


def floating(name: str, x: Array) -> None:
    """x holds floating-point numbers."""
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: needs floating-point numbers, got {x.dtype}")


def one_dtype(name: str, *arrays: Array | None) -> None:
    """All arrays, where given, are of one dtype."""
    found = list(dict.fromkeys(str(x.dtype) for x in arrays if x is not None))
    if len(found) > 1:
        raise TypeError(f"{name}: all tensors must be of one dtype, got {' and '.join(found)}")


def integers(name: str, what: str, x: Array, low: int, high: int) -> None:
    """x holds integers from low to high − 1: indices never wrap."""
    if x.dtype.kind not in "iu":
        raise TypeError(f"{name}: {what} must be integers, got {x.dtype}")
    if x.size and not (low <= int(x.min()) and int(x.max()) < high):
        raise IndexError(f"{name}: {what} must lie in {low} … {high - 1}, got {int(x.min())} … {int(x.max())}")


def same_shape(name: str, x: Array, y: Array) -> None:
    """Input and target have one shape: silent broadcasting hides mistakes."""
    if x.shape != y.shape:
        raise ValueError(f"{name}: input {x.shape} and target {y.shape} must have the same shape")


def shape_of(name: str, sizes: Sequence[Any]) -> tuple[int, ...]:
    """The sizes, given one by one or as one sequence, as a tuple of integers."""
    if not isinstance(sizes, (tuple, list)):
        raise TypeError(f"{name}: sizes must be a tuple of integers, got {sizes!r}")
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    if not all(is_integer(n) for n in sizes):
        raise TypeError(f"{name}: sizes must be integers, got {tuple(sizes)}")
    return tuple([int(n) for n in sizes])
