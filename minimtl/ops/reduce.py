"""From many entries to few: sums, means, extremes and norms along axes; and softmax.

`dim` is one axis, several, or None for all; `keepdim` keeps the axes as size 1. G is the gradient of the result, and
"over the axes" means that it is repeated along those that were reduced.
"""

import math
from typing import NamedTuple

import numpy as np

from minimtl import dtypes, kernels
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.ops import check
from minimtl.ops.check import Dims


def reduced(name: str, x: Array, dim: Dims) -> tuple[int, ...]:
    """The axes to reduce; an empty tuple means all of them, as in PyTorch."""
    return check.axes(name, x, None if isinstance(dim, (tuple, list)) and not dim else dim)


def spread(G: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """G repeated along the axes that were reduced, in the shape that they had."""
    return np.broadcast_to(G.reshape([1 if i in axes else n for i, n in enumerate(shape)]), shape)


@equation("ops.sum", r"y = \sum_{i=1}^{n} x_i", shapes="x (n) → y ()", unseen=("dim", "keepdim"))
@equation("ops.sum.vjp", r"\frac{\partial L}{\partial x_i} = G")
@differentiable
def sum(x: Array, dim: Dims = None, keepdim: bool = False) -> Result:
    """y = Σᵢ xᵢ      ∂L/∂xᵢ = G, over the axes      integers and booleans add up to int64"""
    axes, shape = reduced("sum", x, dim), x.shape
    dtype = None if dtypes.is_float(x) else dtypes.int64
    return x.sum(axis=axes, keepdims=keepdim, dtype=dtype), lambda G: spread(G, shape, axes)


@equation("ops.mean", r"y = \frac{1}{n} \sum_{i=1}^{n} x_i", shapes="x (n) → y ()", unseen=("dim", "keepdim"))
@equation("ops.mean.vjp", r"\frac{\partial L}{\partial x_i} = \frac{G}{n}")
@differentiable
def mean(x: Array, dim: Dims = None, keepdim: bool = False) -> Result:
    """y = 1/n Σᵢ xᵢ      ∂L/∂xᵢ = G/n, over the axes      NaN where n = 0"""
    check.floating("mean", x)
    axes, shape = reduced("mean", x, dim), x.shape
    n = math.prod(shape[i] for i in axes)
    return x.sum(axis=axes, keepdims=keepdim) / n, lambda G: spread(G / n, shape, axes)


def centred(name: str, x: Array, dim: Dims, correction: int) -> tuple[tuple[int, ...], Array, float]:
    """What variance and deviation share: the axes, x − x̄, and 1 / (n − correction)."""
    check.floating(name, x)
    check.number(name, "correction", correction)
    axes = reduced(name, x, dim)
    n = math.prod(x.shape[i] for i in axes)
    d = x - x.sum(axis=axes, keepdims=True) / n
    return axes, d, 1 / (n - correction) if n > correction else math.nan if n < 2 else math.inf


AVERAGE = r" \quad \bar{x} = \frac{1}{n} \sum_{j=1}^{n} x_j"


@equation(
    "ops.var",
    r"y = \frac{1}{n - c} \sum_{i=1}^{n} (x_i - \bar{x})^2," + AVERAGE,
    shapes="x (n) → y ()",
    conventions="c is 1 unless said: the unbiased estimate. Normalisation divides by n",
    symbols={"c": "correction"},
    unseen=("dim", "keepdim"),
)
@equation("ops.var.vjp", r"\frac{\partial L}{\partial x_i} = \frac{2 G}{n - c} \, (x_i - \bar{x})," + AVERAGE)
@differentiable
def var(x: Array, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Result:
    """y = 1 / (n − c) · Σᵢ (xᵢ − x̄)²      ∂L/∂xᵢ = 2 G / (n − c) · (xᵢ − x̄)      c: correction, 1 for the unbiased estimate"""
    axes, d, scale = centred("var", x, dim, correction)
    return (d * d).sum(axis=axes, keepdims=keepdim) * scale, lambda G: spread(G, d.shape, axes) * (2 * scale * d)


@equation(
    "ops.std",
    r"y = \sqrt{\frac{1}{n - c} \sum_{i=1}^{n} (x_i - \bar{x})^2}," + AVERAGE,
    shapes="x (n) → y ()",
    conventions="where y = 0 its derivative counts as 0",
    symbols={"c": "correction"},
    unseen=("dim", "keepdim"),
)
@equation("ops.std.vjp", r"\frac{\partial L}{\partial x_i} = \frac{G}{(n - c) \, y} \, (x_i - \bar{x})," + AVERAGE)
@differentiable
def std(x: Array, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Result:
    """y = √(1 / (n − c) · Σᵢ (xᵢ − x̄)²)      ∂L/∂xᵢ = G / ((n − c) y) · (xᵢ − x̄), and 0 where y = 0"""
    axes, d, scale = centred("std", x, dim, correction)
    y = np.sqrt((d * d).sum(axis=axes, keepdims=keepdim) * scale)

    def gx(G: Array) -> Array:
        return spread(np.where(y == 0, 0, G / y), d.shape, axes) * (scale * d)

    return y, gx


class Extreme(NamedTuple):
    """The extreme values along an axis, and where they are: `values, indices = x.max(dim=1)`."""

    values: Tensor
    indices: Tensor


def not_empty(name: str, x: Array, axes: tuple[int, ...]) -> None:
    """There is an entry to choose."""
    if math.prod(x.shape[i] for i in axes) == 0:
        raise ValueError(f"{name}: the reduced axes of a tensor of shape {x.shape} are empty")


@differentiable
def extreme_along(x: Array, largest: bool, dim: int, keepdim: bool) -> Result:
    """y = the largest or the smallest entry along dim, and its index; the first of equals takes the gradient."""
    name = "max" if largest else "min"
    axis = check.axis(name, x, dim)
    if x.ndim == 0:
        return (x.copy(), np.zeros_like(x, dtype=dtypes.int64)), lambda G: G
    not_empty(name, x, (axis,))
    shape = x.shape
    k = np.expand_dims(x.argmax(axis=axis) if largest else x.argmin(axis=axis), axis)

    def gx(G: Array) -> Array:
        gx = np.zeros_like(G, shape=shape)
        np.put_along_axis(gx, k, G.reshape(k.shape), axis)
        return gx

    y = np.take_along_axis(x, k, axis)
    return ((y, k) if keepdim else (y.squeeze(axis), k.squeeze(axis))), gx


@differentiable
def extreme(x: Array, largest: bool) -> Result:
    """y = the largest or the smallest entry; equals share the gradient."""
    not_empty("max" if largest else "min", x, tuple(range(x.ndim)))
    y = x.max() if largest else x.min()

    def gx(G: Array) -> Array:
        best = x == y if y == y else x != x  # NaN is above and below all numbers, and differs from itself
        return (best * (G / best.sum())).astype(x.dtype)

    return y, gx


def max(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | Extreme:
    """The largest entry, ties sharing its gradient; along `dim` (values, indices), the first of equals taking it."""
    check.tensor("max", "x", x)
    return extreme(x, True) if dim is None else Extreme(*extreme_along(x, True, dim, keepdim))


def min(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | Extreme:
    """The smallest entry, ties sharing its gradient; along `dim` (values, indices), the first of equals taking it."""
    check.tensor("min", "x", x)
    return extreme(x, False) if dim is None else Extreme(*extreme_along(x, False, dim, keepdim))


@differentiable
def argmax(x: Array, dim: int | None = None, keepdim: bool = False) -> Result:
    """Where the largest entry is, the first of equals; without `dim`, counted through the flattened tensor."""
    axis = None if dim is None else check.axis("argmax", x, dim)
    not_empty("argmax", x, check.axes("argmax", x, dim))
    return (x.argmax(axis=axis if x.ndim else None, keepdims=keepdim),)


@differentiable
def argmin(x: Array, dim: int | None = None, keepdim: bool = False) -> Result:
    """Where the smallest entry is, the first of equals; without `dim`, counted through the flattened tensor."""
    axis = None if dim is None else check.axis("argmin", x, dim)
    not_empty("argmin", x, check.axes("argmin", x, dim))
    return (x.argmin(axis=axis if x.ndim else None, keepdims=keepdim),)


@differentiable
def any(x: Array, dim: Dims = None, keepdim: bool = False) -> Result:
    """Whether an entry is true."""
    return (np.any(x, axis=check.axes("any", x, dim), keepdims=keepdim),)


@differentiable
def all(x: Array, dim: Dims = None, keepdim: bool = False) -> Result:
    """Whether every entry is true."""
    return (np.all(x, axis=check.axes("all", x, dim), keepdims=keepdim),)


@differentiable
def logsumexp(x: Array, dim: Dims, keepdim: bool = False) -> Result:
    """y = ln Σⱼ e^{xⱼ}: see `kernels.softmax.logsumexp`."""
    check.floating("logsumexp", x)
    return kernels.logsumexp(x, reduced("logsumexp", x, dim), keepdim)


@differentiable
def softmax(x: Array, dim: int) -> Result:
    """yᵢ = e^{xᵢ} / Σⱼ e^{xⱼ}: see `kernels.softmax.softmax`."""
    check.floating("softmax", x)
    axis = check.axis("softmax", x, dim)
    return kernels.softmax(x, axis) if x.ndim else (np.ones_like(x), np.zeros_like)


@differentiable
def log_softmax(x: Array, dim: int) -> Result:
    """yᵢ = xᵢ − ln Σⱼ e^{xⱼ}: see `kernels.softmax.log_softmax`."""
    check.floating("log_softmax", x)
    axis = check.axis("log_softmax", x, dim)
    return kernels.log_softmax(x, axis) if x.ndim else (np.zeros_like(x), np.zeros_like)


@equation(
    "ops.norm",
    r"y = \left( \sum_{i=1}^{n} |x_i|^p \right)^{1/p}",
    shapes="x (n) → y ()",
    conventions="p = ∞ is the largest |xᵢ|, p = 0 how many are not 0",
    unseen=("dim", "keepdim"),
)
@equation("ops.norm.vjp", r"\frac{\partial L}{\partial x_i} = G \mathrm{sign}(x_i) \left( \frac{|x_i|}{y} \right)^{p - 1}")
@differentiable
def norm(x: Array, p: float = 2.0, dim: Dims = None, keepdim: bool = False) -> Result:
    """y = (Σᵢ |xᵢ|ᵖ)^{1/p}      ∂L/∂xᵢ = G sign(xᵢ) (|xᵢ| / y)^{p − 1}, and 0 where y = 0

    p = ∞ takes the largest |x|, whose equals share the gradient, p = −∞ the smallest, p = 0 counts entries other than 0.
    """
    check.floating("norm", x)
    check.number("norm", "p", p)
    axes = reduced("norm", x, dim)
    size = np.abs(x)
    if p < 0 or math.isinf(p):
        not_empty("norm", x, axes)
    if math.isinf(p):
        y = (size.max if p > 0 else size.min)(axis=axes, keepdims=True)
    elif p == 0:
        y = (size != 0).sum(axis=axes, keepdims=True).astype(x.dtype)
    elif p == 2:
        y = np.sqrt((x * x).sum(axis=axes, keepdims=True))
    else:
        y = (size**p).sum(axis=axes, keepdims=True) ** (1 / p)

    def gx(G: Array) -> Array:
        g = G.reshape(y.shape)
        if p == 0:
            return np.zeros_like(x)
        if math.isinf(p):
            best = size == y
            return np.sign(x) * best * (g / best.sum(axis=axes, keepdims=True).astype(x.dtype))
        ratio = x / y if p == 2 else np.sign(x) * (size / y) ** (p - 1)
        return g * np.where((y == 0) | (size == 0), 0, ratio).astype(x.dtype)

    return y if keepdim else y.squeeze(axes), gx
