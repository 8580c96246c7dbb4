"""Normalisation: numbers shifted and scaled to mean 0 and variance 1, over a batch, a sample or a group of channels.

    μ = ⟨x⟩      σ² = ⟨(x − μ)²⟩      x̂ = (x − μ) / √(σ² + ε)      y = w x̂ + b

The kernels differ in the axes over which the mean ⟨·⟩ runs. The variance is the mean square of what is left after μ,
never ⟨x²⟩ − μ², which loses all digits where μ is large. The mean of nothing, in an empty batch, is 0.

Letters: N samples, C channels, G groups of channels; … any further axes.
"""

import math

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Map, Result

# what the letters in the equations below mean
OVER_THE_BATCH = (
    r" \quad \mu_c = \frac{1}{N S} \sum_{m=1}^{N} \sum_{r=1}^{S} x_{m,c,r},"
    r" \quad \sigma^2_c = \frac{1}{N S} \sum_{m=1}^{N} \sum_{r=1}^{S} (x_{m,c,r} - \mu_c)^2"
)
OVER_THE_FEATURES = (
    r" \quad \hat{x}_{n,d} = \frac{x_{n,d} - \mu_n}{\sqrt{\sigma^2_n + \varepsilon}},"
    r" \quad \mu_n = \frac{1}{D} \sum_{k=1}^{D} x_{n,k}, \quad \sigma^2_n = \frac{1}{D} \sum_{k=1}^{D} (x_{n,k} - \mu_n)^2"
)
OVER_THE_GROUP = (
    r" \quad \hat{x}_{n,c,s} = \frac{x_{n,c,s} - \mu_{n,k_c}}{\sqrt{\sigma^2_{n,k_c} + \varepsilon}},"
    r" \quad k_c = \lceil c G / C \rceil,"
    r" \quad \mu_{n,j} = \frac{G}{C S} \sum_{d=1}^{C} \sum_{r=1}^{S} x_{n,d,r} [k_d = j],"
    r" \quad \sigma^2_{n,j} = \frac{G}{C S} \sum_{d=1}^{C} \sum_{r=1}^{S} (x_{n,d,r} - \mu_{n,j})^2 [k_d = j]"
)


@equation(
    "nn.batch_norm",
    r"y_{n,c,s} = \frac{x_{n,c,s} - \mu_c}{\sqrt{\sigma^2_c + \varepsilon}} w_c + b_c," + OVER_THE_BATCH,
    shapes="x (N, C, S), w (C), b (C) → y (N, C, S)",
    source="Ioffe & Szegedy 2015, Alg. 1",
    conventions="S stands for all axes behind the channels; σ² divides by the count, not by one less",
    symbols={"ε": "eps"},
    helpers=("normalise", "affine"),
)
@equation(
    "nn.batch_norm.vjp.x",
    r"\frac{\partial L}{\partial x_{n,c,s}} = \frac{w_c}{\sqrt{\sigma^2_c + \varepsilon}} \left( g_{n,c,s}"
    r" - \frac{1}{N S} \sum_{m=1}^{N} \sum_{r=1}^{S} g_{m,c,r}"
    r" - \frac{\hat{x}_{n,c,s}}{N S} \sum_{m=1}^{N} \sum_{r=1}^{S} g_{m,c,r} \hat{x}_{m,c,r} \right), \quad"
    r" \hat{x}_{n,c,s} = \frac{x_{n,c,s} - \mu_c}{\sqrt{\sigma^2_c + \varepsilon}}," + OVER_THE_BATCH,
)
@equation(
    "nn.batch_norm.vjp.w",
    r"\frac{\partial L}{\partial w_c} = \sum_{n=1}^{N} \sum_{s=1}^{S} g_{n,c,s} \hat{x}_{n,c,s}, \quad"
    r" \hat{x}_{n,c,s} = \frac{x_{n,c,s} - \mu_c}{\sqrt{\sigma^2_c + \varepsilon}}," + OVER_THE_BATCH,
)
@equation("nn.batch_norm.vjp.b", r"\frac{\partial L}{\partial b_c} = \sum_{n=1}^{N} \sum_{s=1}^{S} g_{n,c,s}")
def batch_norm(x: Array, w: Array | None, b: Array | None, eps: float) -> Result:
    """y[n,c,s] = (x[n,c,s] − μ[c]) / √(σ²[c] + ε) · w[c] + b[c], over all axes but the channels      (N, C, …), (C), (C) → (N, C, …)

    ∂L/∂x[n,c,s] = w[c] / √(σ²[c] + ε) · (g[n,c,s] − 1 / (N S) · Σₘ Σᵣ g[m,c,r] − x̂[n,c,s] / (N S) · Σₘ Σᵣ g[m,c,r] x̂[m,c,r])
    ∂L/∂w[c] = Σₙ Σₛ g[n,c,s] x̂[n,c,s]      ∂L/∂b[c] = Σₙ Σₛ g[n,c,s]

    The value is (y, μ, σ²), μ and σ² (C) constants for the caller's running statistics; σ² divides by the count n, not
    by n − 1.
    """
    axes = (0, *range(2, x.ndim))
    x_hat, mean, var, gx_hat = normalise(x, axes, eps)
    y, *maps = affine(x_hat, gx_hat, w, b, axes)
    return (y, mean.ravel(), var.ravel()), *maps


@equation(
    "nn.batch_norm_eval",
    r"y_{n,c,s} = \frac{x_{n,c,s} - \mu_c}{\sqrt{\sigma^2_c + \varepsilon}} w_c + b_c",
    shapes="x (N, C, S), μ (C), σ2 (C), w (C), b (C) → y (N, C, S)",
    source="Ioffe & Szegedy 2015, Alg. 2",
    conventions="μ and σ² are given: running statistics of the past, constants here",
    symbols={"μ": "mean", "σ2": "var", "ε": "eps"},
)
@equation(
    "nn.batch_norm_eval.vjp.x", r"\frac{\partial L}{\partial x_{n,c,s}} = \frac{w_c}{\sqrt{\sigma^2_c + \varepsilon}} g_{n,c,s}"
)
@equation(
    "nn.batch_norm_eval.vjp.w",
    r"\frac{\partial L}{\partial w_c} = \sum_{n=1}^{N} \sum_{s=1}^{S} g_{n,c,s}"
    r" \frac{x_{n,c,s} - \mu_c}{\sqrt{\sigma^2_c + \varepsilon}}",
    part="gw",
)
@equation("nn.batch_norm_eval.vjp.b", r"\frac{\partial L}{\partial b_c} = \sum_{n=1}^{N} \sum_{s=1}^{S} g_{n,c,s}")
def batch_norm_eval(x: Array, mean: Array, var: Array, w: Array | None, b: Array | None, eps: float) -> Result:
    """y[n,c,s] = (x[n,c,s] − μ[c]) / √(σ²[c] + ε) · w[c] + b[c], μ and σ² given      (N, C, …), (C), (C), (C), (C) → (N, C, …)

    ∂L/∂x[n,c,s] = w[c] / √(σ²[c] + ε) · g[n,c,s]      ∂L/∂w[c] = Σₙ Σₛ g[n,c,s] (x[n,c,s] − μ[c]) / √(σ²[c] + ε)
    ∂L/∂b[c] = Σₙ Σₛ g[n,c,s]

    μ and σ² are statistics of the past and have no derivative. What multiplies x is joined first, and what is added:
    two passes over x.
    """
    axes, channels = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
    inverse = 1 / np.sqrt(var + eps)
    slope = inverse if w is None else w * inverse
    shift = (0 if b is None else b) - mean * slope
    slope = slope.reshape(channels)
    y = x * slope
    y += shift.reshape(channels)

    def gw(g: Array) -> Array:
        return (g * (x - mean.reshape(channels))).sum(axes) * inverse

    return y, lambda g: g * slope, None, None, gw, lambda g: g.sum(axes)


@equation(
    "nn.layer_norm",
    r"y_{n,d} = \hat{x}_{n,d} w_d + b_d," + OVER_THE_FEATURES,
    shapes="x (N, D), w (D), b (D) → y (N, D)",
    source="Ba, Kiros & Hinton 2016",
    conventions="D stands for the last axes, those of w and b",
    symbols={"ε": "eps"},
    unseen=("dims",),
)
@equation(
    "nn.layer_norm.vjp.x",
    r"\frac{\partial L}{\partial x_{n,d}} = \frac{1}{\sqrt{\sigma^2_n + \varepsilon}} \left( w_d g_{n,d}"
    r" - \frac{1}{D} \sum_{k=1}^{D} w_k g_{n,k}"
    r" - \frac{\hat{x}_{n,d}}{D} \sum_{k=1}^{D} w_k g_{n,k} \hat{x}_{n,k} \right)," + OVER_THE_FEATURES,
)
@equation("nn.layer_norm.vjp.w", r"\frac{\partial L}{\partial w_d} = \sum_{n=1}^{N} g_{n,d} \hat{x}_{n,d}," + OVER_THE_FEATURES)
@equation("nn.layer_norm.vjp.b", r"\frac{\partial L}{\partial b_d} = \sum_{n=1}^{N} g_{n,d}")
def layer_norm(x: Array, dims: int, w: Array | None, b: Array | None, eps: float) -> Result:
    """y[n,d] = x̂[n,d] w[d] + b[d], normalised over the last `dims` axes, which are those of w and b      (…, D), (D), (D) → (…, D)

    ∂L/∂x[n,d] = 1 / √(σ²ₙ + ε) · (w[d] g[n,d] − 1/D Σₖ wₖ gₙₖ − x̂[n,d] / D · Σₖ wₖ gₙₖ x̂ₙₖ)
    ∂L/∂w[d] = Σₙ g[n,d] x̂[n,d]      ∂L/∂b[d] = Σₙ g[n,d]
    """
    axes = tuple(range(x.ndim))
    x_hat, _, _, gx_hat = normalise(x, axes[x.ndim - dims :], eps)
    y, gx, gw, gb = affine(x_hat, gx_hat, w, b, axes[: x.ndim - dims])
    return y, gx, None, gw, gb


@equation(
    "nn.group_norm",
    r"y_{n,c,s} = \hat{x}_{n,c,s} w_c + b_c," + OVER_THE_GROUP,
    shapes="x (N, C, S), w (C), b (C) → y (N, C, S)",
    source="Wu & He 2018",
    conventions="channel c is in group k_c; S stands for all axes behind the channels",
    symbols={"ε": "eps", "G": "groups"},
)
@equation(
    "nn.group_norm.vjp.x",
    r"\frac{\partial L}{\partial x_{n,c,s}}"
    r" = \frac{1}{\sqrt{\sigma^2_{n,k_c} + \varepsilon}}"
    r" \left( w_c g_{n,c,s} - \alpha_{n,k_c} - \hat{x}_{n,c,s} \beta_{n,k_c} \right), \quad"
    r" \alpha_{n,j} = \frac{G}{C S} \sum_{d=1}^{C} \sum_{r=1}^{S} w_d g_{n,d,r} [k_d = j], \quad"
    r" \beta_{n,j} = \frac{G}{C S} \sum_{d=1}^{C} \sum_{r=1}^{S} w_d g_{n,d,r} \hat{x}_{n,d,r} [k_d = j]," + OVER_THE_GROUP,
)
@equation(
    "nn.group_norm.vjp.w",
    r"\frac{\partial L}{\partial w_c} = \sum_{n=1}^{N} \sum_{s=1}^{S} g_{n,c,s} \hat{x}_{n,c,s}," + OVER_THE_GROUP,
)
@equation("nn.group_norm.vjp.b", r"\frac{\partial L}{\partial b_c} = \sum_{n=1}^{N} \sum_{s=1}^{S} g_{n,c,s}")
def group_norm(x: Array, groups: int, w: Array | None, b: Array | None, eps: float) -> Result:
    """y[n,c,s] = x̂[n,c,s] w[c] + b[c], normalised over a group's C/G channels and all axes after      (N, C, …), (C), (C) → (N, C, …)

    ∂L/∂x[n,c,s] = 1 / √(σ²[n,k[c]] + ε) · (w[c] g[n,c,s] − α[n,k[c]] − x̂[n,c,s] β[n,k[c]]), α and β the means of w g and w g x̂ over
    the group k[c] = ⌈c G/C⌉
    ∂L/∂w[c] = Σₙ Σₛ g[n,c,s] x̂[n,c,s]      ∂L/∂b[c] = Σₙ Σₛ g[n,c,s]
    """
    (N, C, *rest), axes = x.shape, tuple(range(x.ndim + 1))
    x_hat, _, _, gx_hat = normalise(x.reshape(N, groups, C // groups, *rest), axes[2:], eps)
    x_hat = x_hat.reshape(N, C, *rest)  # (N, G, C/G, …) → (N, C, …)

    def ungrouped(g: Array) -> Array:
        g = gx_hat(g.reshape(N, groups, C // groups, *rest))  # (N, C, …) → (N, G, C/G, …)
        return g.reshape(N, C, *rest)  # (N, G, C/G, …) → (N, C, …)

    y, gx, gw, gb = affine(x_hat, ungrouped, w, b, (0, *axes[2:-1]))
    return y, gx, None, gw, gb


@equation(
    "nn.normalise",
    r"\hat{x}_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \quad \mu = \frac{1}{n} \sum_{j=1}^{n} x_j,"
    r" \quad \sigma^2 = \frac{1}{n} \sum_{j=1}^{n} (x_j - \mu)^2",
    shapes="x (n) → x̂ (n)",
    conventions="n counts the numbers over which the mean runs",
    symbols={"ε": "eps"},
    unseen=("axes",),
)
@equation(
    "nn.normalise.vjp",
    r"\frac{\partial L}{\partial x_i} = \frac{1}{\sqrt{\sigma^2 + \varepsilon}}"
    r" \left( g_i - \frac{1}{n} \sum_{j=1}^{n} g_j - \frac{\hat{x}_i}{n} \sum_{j=1}^{n} g_j \hat{x}_j \right), \quad"
    r" \hat{x}_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \quad \mu = \frac{1}{n} \sum_{j=1}^{n} x_j,"
    r" \quad \sigma^2 = \frac{1}{n} \sum_{j=1}^{n} (x_j - \mu)^2",
)
def normalise(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array, Map]:
    """x̂ᵢ = (xᵢ − μ) / √(σ² + ε)      ∂L/∂xᵢ = 1 / √(σ² + ε) · (gᵢ − 1/n Σⱼ gⱼ − x̂ᵢ / n · Σⱼ gⱼ x̂ⱼ)      returns x̂, μ, σ², gx

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
