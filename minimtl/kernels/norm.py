"""Normalisation: numbers shifted and scaled to mean 0 and variance 1, over a batch, a sample or a group of channels.

    μ = ⟨x⟩      σ² = ⟨(x − μ)²⟩      x̂ = (x − μ) / √(σ² + ε)      y = w x̂ + b

The kernels differ in the axes over which the mean ⟨·⟩ runs. The variance is the mean square of what is left after μ,
never ⟨x²⟩ − μ², which loses all digits where μ is large. The mean of nothing, in an empty batch, is 0.

Letters: N samples, C channels, G groups of channels; … any further axes.
"""

import math

import numpy as np

from minimtl.backend import Array
from minimtl.kernels.shared import Map, Result


def batch_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> Result:
    """y = w x̂ + b, normalised over all axes but the channels        (N, C, …), (C), (C) → (N, C, …)

    The value is (y, μ, σ²), μ and σ² (C) constants for the caller's running statistics; σ² divides by the count n, not
    by n − 1.
    """
    axes = (0, *range(2, x.ndim))
    x_hat, mean, var, gx_hat = normalise(x, axes, eps)
    y, *maps = affine(x_hat, gx_hat, w, b, axes)
    return (y, mean.ravel(), var.ravel()), *maps


def batch_norm_eval(x: Array, mean: Array, var: Array, w: Array | None, b: Array | None, eps: float) -> Result:
    """y = w (x − μ) / √(σ² + ε) + b with μ and σ² given        (N, C, …), (C), (C), (C), (C) → (N, C, …)

    μ and σ² are statistics of the past and have no derivative. What multiplies x is joined first, and what is added:
    two passes over x.
    """
    axes, channels = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
    inverse = 1 / np.sqrt(var + eps)
    slope = inverse if w is None else w * inverse
    shift = -mean * slope if b is None else b - mean * slope
    slope = slope.reshape(channels)
    y = x * slope
    y += shift.reshape(channels)

    def gw(g: Array) -> Array:
        return (g * (x - mean.reshape(channels))).sum(axes) * inverse

    return y, lambda g: g * slope, None, None, gw, lambda g: g.sum(axes)


def layer_norm(x: Array, dims: int, w: Array | None, b: Array | None, eps: float) -> Result:
    """y = w x̂ + b, normalised over the last `dims` axes, which are those of w and b        (…, D), (D), (D) → (…, D)"""
    axes = tuple(range(x.ndim))
    x_hat, _, _, gx_hat = normalise(x, axes[x.ndim - dims :], eps)
    y, gx, gw, gb = affine(x_hat, gx_hat, w, b, axes[: x.ndim - dims])
    return y, gx, None, gw, gb


def group_norm(x: Array, groups: int, w: Array | None, b: Array | None, eps: float) -> Result:
    """y = w x̂ + b, normalised over a group's C/G channels and all axes after        (N, C, …), (C), (C) → (N, C, …)"""
    (N, C, *rest), axes = x.shape, tuple(range(x.ndim + 1))
    x_hat, _, _, gx_hat = normalise(x.reshape(N, groups, C // groups, *rest), axes[2:], eps)
    x_hat = x_hat.reshape(N, C, *rest)  # (N, G, C/G, …) → (N, C, …)

    def ungrouped(g: Array) -> Array:
        g = gx_hat(g.reshape(N, groups, C // groups, *rest))  # (N, C, …) → (N, G, C/G, …)
        return g.reshape(N, C, *rest)  # (N, G, C/G, …) → (N, C, …)

    y, gx, gw, gb = affine(x_hat, ungrouped, w, b, (0, *axes[2:-1]))
    return y, gx, None, gw, gb


def normalise(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array, Map]:
    """x̂ = (x − μ) / √(σ² + ε)      gx = (g − ⟨g⟩ − x̂ ⟨g x̂⟩) / √(σ² + ε)        returns x̂, μ, σ², gx

    Were μ and σ² constants, only g would stand in the brackets; ⟨g⟩ is there because μ follows x, x̂ ⟨g x̂⟩ because σ²
    does. Nothing but x̂ and the denominator is kept.
    """
    n = max(math.prod(x.shape[axis] for axis in axes), 1)

    def mean(a: Array) -> Array:
        return a.sum(axes, keepdims=True) / n

    mu = mean(x)
    x_hat = x - mu
    var = mean(x_hat * x_hat)
    inverse = 1 / np.sqrt(var + eps)
    x_hat *= inverse
    return x_hat, mu, var, lambda g: (g - mean(g) - x_hat * mean(g * x_hat)) * inverse


def affine(x_hat: Array, gx_hat: Map, w: Array | None, b: Array | None, axes: tuple[int, ...]) -> Result:
    """y = w x̂ + b, w and b repeated along the axes      gx = gx̂(w g)      gw = Σ g x̂      gb = Σ g, over the axes"""
    shape = [1 if axis in axes else n for axis, n in enumerate(x_hat.shape)]
    w = None if w is None else w.reshape(shape)
    y = x_hat if w is None else x_hat * w
    if b is not None:
        y = y + b.reshape(shape)

    def gx(g: Array) -> Array:
        return gx_hat(g if w is None else g * w)

    return y, gx, lambda g: (g * x_hat).sum(axes), lambda g: g.sum(axes)
