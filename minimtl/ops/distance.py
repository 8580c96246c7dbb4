"""Losses that are distances: how far the input is from the target, averaged, summed or left ("mean", "sum", "none").

A mean divides by the number of entries, as PyTorch's, where D0 prints a sum over samples; `mtl.total_loss` sums. G is the
gradient of l. What all losses share stands here too.
"""

import numpy as np

from minimtl import dtypes
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.ops import check
from minimtl.ops.arithmetic import where
from minimtl.ops.elementwise import abs
from minimtl.ops.reduce import mean, sum

MEAN = 'with reduction "mean", over entries of whatever shape; "sum" leaves 1/n out, "none" the sum as well'
PAIR = {"x": "input", "y": "target"}


def reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of the losses, or the losses themselves."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    return mean(losses) if reduction == "mean" else sum(losses) if reduction == "sum" else losses


def targets_like(name: str, input: Tensor, target: Tensor) -> None:
    """The target is a Tensor of the input's shape, and holds no NaN."""
    check.tensor(name, "input", input)
    check.tensor(name, "target", target)
    check.floating(name, input)
    check.same_shape(name, input, target)
    no_nan(name, target.array)


def no_nan(name: str, target: Array) -> None:
    """The target holds no NaN."""
    if dtypes.is_float(target) and bool(np.isnan(target).any()):
        raise ValueError(f"{name}: the target holds NaN")


@equation(
    "nn.mse_loss",
    r"l = \frac{1}{n} \sum_{i=1}^{n} (x_i - y_i)^2",
    symbols=PAIR,
    shapes="x (n), y (n) → l ()",
    conventions=f"no factor ½; {MEAN}",
    unseen=("reduction",),
)
@equation("nn.mse_loss.vjp.x", r"\frac{\partial L}{\partial x_i} = \frac{2}{n} G \, (x_i - y_i)")
@equation("nn.mse_loss.vjp.y", r"\frac{\partial L}{\partial y_i} = -\frac{2}{n} G \, (x_i - y_i)")
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """l = 1/n Σᵢ (xᵢ − yᵢ)²      shapes must agree: broadcasting (N, 1) against (N) would compare all pairs

    ∂L/∂xᵢ = 2/n G (xᵢ − yᵢ)      ∂L/∂yᵢ = −2/n G (xᵢ − yᵢ)
    """
    targets_like("mse_loss", input, target)
    d = input - target
    return reduced("mse_loss", d * d, reduction)


@equation(
    "nn.l1_loss",
    r"l = \frac{1}{n} \sum_{i=1}^{n} |x_i - y_i|",
    symbols=PAIR,
    shapes="x (n), y (n) → l ()",
    conventions=f"{MEAN}; the derivative is 0 where x = y",
    unseen=("reduction",),
)
@equation("nn.l1_loss.vjp.x", r"\frac{\partial L}{\partial x_i} = \frac{G}{n} \mathrm{sign}(x_i - y_i)")
@equation("nn.l1_loss.vjp.y", r"\frac{\partial L}{\partial y_i} = -\frac{G}{n} \mathrm{sign}(x_i - y_i)")
def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """l = 1/n Σᵢ |xᵢ − yᵢ|      ∂L/∂xᵢ = G/n sign(xᵢ − yᵢ)      ∂L/∂yᵢ = −G/n sign(xᵢ − yᵢ)"""
    targets_like("l1_loss", input, target)
    return reduced("l1_loss", abs(input - target), reduction)


HUBER_SLOPE = r"\begin{cases} u & |u| \le \delta \\ \delta \, \mathrm{sign}(u) & \text{otherwise} \end{cases}"


@equation(
    "nn.huber_loss",
    r"l = \frac{1}{n} \sum_{i=1}^{n} h(x_i - y_i),"
    r" \quad h(u) = \begin{cases} \frac{1}{2} u^2 & |u| \le \delta \\"
    r" \delta \, (|u| - \frac{1}{2} \delta) & \text{otherwise} \end{cases}",
    symbols={**PAIR, "δ": "delta"},
    shapes="x (n), y (n) → l ()",
    source="Huber 1964",
    helpers=("huber",),
    conventions=MEAN,
    unseen=("reduction",),
)
@equation(
    "nn.huber_loss.vjp.x",
    r"\frac{\partial L}{\partial x_i} = \frac{G}{n} h'(x_i - y_i), \quad h'(u) = " + HUBER_SLOPE,
)
@equation(
    "nn.huber_loss.vjp.y",
    r"\frac{\partial L}{\partial y_i} = -\frac{G}{n} h'(x_i - y_i), \quad h'(u) = " + HUBER_SLOPE,
)
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """l = 1/n Σᵢ h(xᵢ − yᵢ)      h(u) = ½ u² where |u| ≤ δ, else δ (|u| − ½ δ)

    ∂L/∂xᵢ = G/n h′(xᵢ − yᵢ)      ∂L/∂yᵢ = −G/n h′(xᵢ − yᵢ)
    """
    targets_like("huber_loss", input, target)
    check.number("huber_loss", "delta", delta)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    return reduced("huber_loss", huber(input, target, delta), reduction)


def huber(input: Tensor, target: Tensor, delta: float) -> Tensor:
    """Huber's loss of each entry."""
    d = abs(input - target)
    return where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


SMOOTH_SLOPE = r"\begin{cases} \frac{u}{\beta} & |u| < \beta \\ \mathrm{sign}(u) & \text{otherwise} \end{cases}"


@equation(
    "nn.smooth_l1_loss",
    r"l = \frac{1}{n} \sum_{i=1}^{n} h(x_i - y_i),"
    r" \quad h(u) = \begin{cases} \frac{u^2}{2 \beta} & |u| < \beta \\ |u| - \frac{1}{2} \beta & \text{otherwise} \end{cases}",
    symbols={**PAIR, "β": "beta"},
    shapes="x (n), y (n) → l ()",
    source="Girshick 2015",
    conventions=MEAN,
    helpers=("huber",),
    unseen=("reduction",),
)
@equation(
    "nn.smooth_l1_loss.vjp.x",
    r"\frac{\partial L}{\partial x_i} = \frac{G}{n} h'(x_i - y_i), \quad h'(u) = " + SMOOTH_SLOPE,
)
@equation(
    "nn.smooth_l1_loss.vjp.y",
    r"\frac{\partial L}{\partial y_i} = -\frac{G}{n} h'(x_i - y_i), \quad h'(u) = " + SMOOTH_SLOPE,
)
def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """l = 1/n Σᵢ h(xᵢ − yᵢ)      h(u) = u² / 2β where |u| < β, else |u| − ½ β: Huber's loss divided by β

    ∂L/∂xᵢ = G/n h′(xᵢ − yᵢ)      ∂L/∂yᵢ = −G/n h′(xᵢ − yᵢ)
    """
    targets_like("smooth_l1_loss", input, target)
    check.number("smooth_l1_loss", "beta", beta)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    return reduced("smooth_l1_loss", huber(input, target, beta) / beta if beta else abs(input - target), reduction)
