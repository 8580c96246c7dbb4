"""Softmax, its logarithm, its normaliser, and the cross-entropy that ends in it.

All subtract the largest entry first, m = maxⱼ xⱼ: the formulas do not change, and no exponential overflows.
"""

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result


def largest(x: Array, axis: int | tuple[int, ...]) -> Array:
    """m = maxⱼ xⱼ along the axes, kept; 0 where it is infinite, so that x − m stays a number."""
    m = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(m), m, 0)


@equation(
    "nn.softmax",
    r"y_i = \frac{e^{x_i}}{\sum_{j=1}^{n} e^{x_j}}",
    shapes="x (n) → y (n)",
    source="Bridle 1990",
    conventions="n is the length of the axis; the other axes are looped over",
    unseen=("axis",),
)
@equation("nn.softmax.vjp", r"\frac{\partial L}{\partial x_i} = y_i \left( g_i - \sum_{j=1}^{n} g_j y_j \right)")
def softmax(x: Array, axis: int) -> Result:
    """yᵢ = e^{xᵢ} / (Σⱼ e^{xⱼ})      ∂L/∂xᵢ = yᵢ (gᵢ − Σⱼ gⱼ yⱼ)"""
    e = np.exp(x - largest(x, axis))
    y = e / e.sum(axis=axis, keepdims=True)
    return y, lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True))


@equation(
    "nn.log_softmax",
    r"y_i = \ln \frac{e^{x_i}}{\sum_{j=1}^{n} e^{x_j}}",
    shapes="x (n) → y (n)",
    conventions="n is the length of the axis; the other axes are looped over",
    unseen=("axis",),
)
@equation("nn.log_softmax.vjp", r"\frac{\partial L}{\partial x_i} = g_i - e^{y_i} \sum_{j=1}^{n} g_j")
def log_softmax(x: Array, axis: int) -> Result:
    """yᵢ = ln(e^{xᵢ} / (Σⱼ e^{xⱼ})) = xᵢ − ln Σⱼ e^{xⱼ}      ∂L/∂xᵢ = gᵢ − e^{yᵢ} Σⱼ gⱼ"""
    z = x - largest(x, axis)
    y = z - np.log(np.exp(z).sum(axis=axis, keepdims=True))
    return y, lambda g: g - np.exp(y) * g.sum(axis=axis, keepdims=True)


@equation(
    "nn.logsumexp",
    r"y = \ln \sum_{j=1}^{n} e^{x_j}",
    shapes="x (n) → y ()",
    conventions="n is the number of entries along the axes; the other axes are looped over",
    unseen=("axis", "keepdims"),
)
@equation("nn.logsumexp.vjp", r"\frac{\partial L}{\partial x_i} = g \frac{e^{x_i}}{\sum_{j=1}^{n} e^{x_j}}")
def logsumexp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Result:
    """y = ln(Σⱼ e^{xⱼ})      ∂L/∂xᵢ = g e^{xᵢ} / (Σⱼ e^{xⱼ}) = g e^{xᵢ − y}"""
    m = largest(x, axis)
    y = m + np.log(np.exp(x - m).sum(axis=axis, keepdims=True))

    def gx(g: Array) -> Array:
        return g.reshape(y.shape) * np.exp(x - y)

    return y if keepdims else y.squeeze(axis), gx


@equation(
    "nn.soft_cross_entropy",
    r"y_n = -\sum_{k=1}^{C} q_{nk} \ln \frac{e^{x_{nk}}}{\sum_{j=1}^{C} e^{x_{nj}}}",
    shapes="x (N, C), q (N, C) → y (N)",
    conventions="of each sample, before the reduction; q need not sum to 1: it holds class weights too; 0 · (−∞) counts as 0",
)
@equation(
    "nn.soft_cross_entropy.vjp.x",
    r"\frac{\partial L}{\partial x_{nk}}"
    r" = g_n \left(\frac{e^{x_{nk}}}{\sum_{j=1}^{C} e^{x_{nj}}} \sum_{j=1}^{C} q_{nj} - q_{nk}\right)",
)
@equation(
    "nn.soft_cross_entropy.vjp.q",
    r"\frac{\partial L}{\partial q_{nk}} = -g_n \ln \frac{e^{x_{nk}}}{\sum_{j=1}^{C} e^{x_{nj}}}",
)
def cross_entropy(x: Array, q: Array) -> Result:
    """yₙ = −Σₖ qₙₖ ln(e^{xₙₖ} / (Σⱼ e^{xₙⱼ}))      (N, C, …), (N, C, …) → (N, …)

    ∂L/∂xₙₖ = gₙ (e^{xₙₖ} / (Σⱼ e^{xₙⱼ}) · Σⱼ qₙⱼ − qₙₖ)
    ∂L/∂qₙₖ = −gₙ ln(e^{xₙₖ} / (Σⱼ e^{xₙⱼ}))

    q are the target probabilities, times class weights.
    """
    z = x - largest(x, 1)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    y = -np.where(q == 0, 0, q * log_p).sum(axis=1)  # 0 · (−∞) counts as 0

    def gx(g: Array) -> Array:
        return g[:, None] * (np.exp(log_p) * q.sum(axis=1, keepdims=True) - q)

    return y, gx, lambda g: -g[:, None] * log_p
