"""Arithmetic of two tensors, or of a tensor and a number, entry by entry, and comparisons.

Operands are promoted as in PyTorch and broadcast; `differentiable` sums the gradients back. G is the gradient of the result.
"""

import numpy as np

from minimtl.autograd import differentiable
from minimtl.backend import Array
from minimtl.dtypes import promote
from minimtl.kernels.shared import Result
from minimtl.ops import check


@differentiable(broadcasts=True)
def add(a: Array, b: Array) -> Result:
    """y = a + b      ∂L/∂a = G      ∂L/∂b = G"""
    a, b = promote(a, b)
    return a + b, lambda G: G, lambda G: G


@differentiable(broadcasts=True)
def sub(a: Array, b: Array) -> Result:
    """y = a − b      ∂L/∂a = G      ∂L/∂b = −G"""
    check.numbers("sub", a, b)
    a, b = promote(a, b)
    return a - b, lambda G: G, lambda G: -G


@differentiable(broadcasts=True)
def mul(a: Array, b: Array) -> Result:
    """y = a b      ∂L/∂a = G b      ∂L/∂b = G a"""
    a, b = promote(a, b)
    return a * b, lambda G: G * b, lambda G: G * a


@differentiable(broadcasts=True)
def div(a: Array, b: Array) -> Result:
    """y = a / b      ∂L/∂a = G / b      ∂L/∂b = −G a / b²"""
    a, b = promote(a, b)
    return a / b, lambda G: G / b, lambda G: -G * a / (b * b)


@differentiable(broadcasts=True)
def remainder(a: Array, b: Array) -> Result:
    """y = a − b ⌊a/b⌋, with the sign of b      ∂L/∂a = G      ∂L/∂b = −G ⌊a/b⌋"""
    check.numbers("remainder", a, b)
    a, b = promote(a, b)
    if np.result_type(a, b).kind in "iu" and not np.all(b):
        raise ZeroDivisionError("remainder: integer division by zero")
    return a % b, lambda G: G, lambda G: -G * (a // b)


@differentiable
def neg(x: Array) -> Result:
    """y = −x      ∂L/∂x = −G"""
    check.numbers("neg", x)
    return -x, lambda G: -G


@differentiable(broadcasts=True)
def pow(a: Array, b: Array) -> Result:
    """y = a^b      ∂L/∂a = G b a^(b−1)      ∂L/∂b = G y log a

    Where b = 0 the first is 0, and where a = 0 ≤ b the second is 0, their limits.
    """
    check.numbers("pow", a, b)
    a, b = promote(a, b)
    if np.result_type(a, b).kind in "iu" and np.any(np.less(b, 0)):
        raise ValueError(f"pow: integers have no negative powers, got {np.min(b)}; make the base floating-point")
    y = a**b

    def ga(G: Array) -> Array:
        return np.where(np.equal(b, 0), 0, G * (b * a ** (b - 1)))

    def gb(G: Array) -> Array:
        return np.where(np.equal(a, 0) & np.greater_equal(b, 0), 0, G * (y * np.log(a)))

    return y, ga, gb


@differentiable(broadcasts=True)
def maximum(a: Array, b: Array) -> Result:
    """y = max(a, b)      ∂L/∂a = G [a > b] + ½ G [a = b], and the same for b"""
    a, b = promote(a, b)
    return np.maximum(a, b), lambda G: G * share(a > b, a == b, G), lambda G: G * share(b > a, a == b, G)


@differentiable(broadcasts=True)
def minimum(a: Array, b: Array) -> Result:
    """y = min(a, b)      ∂L/∂a = G [a < b] + ½ G [a = b], and the same for b"""
    a, b = promote(a, b)
    return np.minimum(a, b), lambda G: G * share(a < b, a == b, G), lambda G: G * share(b < a, a == b, G)


def share(wins: Array, ties: Array, like: Array) -> Array:
    """1 where it wins, ½ where both are equal."""
    return (wins + 0.5 * ties).astype(like.dtype)


@differentiable(broadcasts=True)
def where(condition: Array, a: Array, b: Array) -> Result:
    """y = a where the condition holds, else b      ∂L/∂a = G [condition]      ∂L/∂b = G [not condition]"""
    a, b = promote(a, b)
    if np.result_type(condition).kind != "b":
        raise TypeError(f"where: condition must be a boolean tensor, got {np.result_type(condition)}")
    return np.where(condition, a, b), None, lambda G: G * condition, lambda G: G * ~condition


@differentiable
def clip(x: Array, min: float | None = None, max: float | None = None) -> Result:
    """y = min(max(x, min), max)      ∂L/∂x = G [min ≤ x ≤ max]"""
    if min is None and max is None:
        raise ValueError("clip: needs min, max or both")
    for what, bound in (("min", min), ("max", max)):
        if bound is not None:
            check.number("clip", what, bound)
    low = -np.inf if min is None else min
    high = np.inf if max is None else max
    if x.dtype.kind in "iu" and isinstance(low + high, float):  # integers stay integers between integer bounds
        bounded = x if min is None else np.maximum(*promote(x, low))
        return bounded if max is None else np.minimum(*promote(bounded, high)), None
    return np.minimum(np.maximum(*promote(x, low)), high), lambda G: G * ((x >= low) & (x <= high))


@differentiable(broadcasts=True)
def eq(a: Array, b: Array) -> Result:
    """[a = b]"""
    a, b = promote(a, b)
    return (a == b,)


@differentiable(broadcasts=True)
def ne(a: Array, b: Array) -> Result:
    """[a ≠ b]"""
    a, b = promote(a, b)
    return (a != b,)


@differentiable(broadcasts=True)
def lt(a: Array, b: Array) -> Result:
    """[a < b]"""
    a, b = promote(a, b)
    return (a < b,)


@differentiable(broadcasts=True)
def le(a: Array, b: Array) -> Result:
    """[a ≤ b]"""
    a, b = promote(a, b)
    return (a <= b,)


@differentiable(broadcasts=True)
def gt(a: Array, b: Array) -> Result:
    """[a > b]"""
    a, b = promote(a, b)
    return (a > b,)


@differentiable(broadcasts=True)
def ge(a: Array, b: Array) -> Result:
    """[a ≥ b]"""
    a, b = promote(a, b)
    return (a >= b,)


@differentiable
def logical_not(x: Array) -> Result:
    """[not x]"""
    return (~x if x.dtype.kind == "b" else x == 0,)


@differentiable(broadcasts=True)
def logical_and(a: Array, b: Array) -> Result:
    """[a and b]"""
    return (np.logical_and(a, b),)


@differentiable(broadcasts=True)
def logical_or(a: Array, b: Array) -> Result:
    """[a or b]"""
    return (np.logical_or(a, b),)


@differentiable
def bitwise_not(x: Array) -> Result:
    """Every bit of an integer turned over; of a truth value, [not x]"""
    check.bits("bitwise_not", x)
    return (~x,)


@differentiable(broadcasts=True)
def bitwise_and(a: Array, b: Array) -> Result:
    """The bits that a and b have in common; of truth values, [a and b]"""
    check.bits("bitwise_and", a, b)
    a, b = promote(a, b)
    return (a & b,)


@differentiable(broadcasts=True)
def bitwise_or(a: Array, b: Array) -> Result:
    """The bits that a or b has; of truth values, [a or b]"""
    check.bits("bitwise_or", a, b)
    a, b = promote(a, b)
    return (a | b,)
