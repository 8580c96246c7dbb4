"""Losses: how far the input is from the target, per sample, then averaged, summed or left ("mean", "sum", "none").

A mean divides by the number of entries, as PyTorch's, where D0 prints a sum over samples; `mtl.total_loss` sums.
"""

import numpy as np

from minimtl import dtypes, kernels
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array
from minimtl.kernels.shared import Result
from minimtl.ops import check
from minimtl.ops.arithmetic import where
from minimtl.ops.elementwise import abs, exp, log
from minimtl.ops.reduce import mean, sum


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


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """l = (x − y)²      shapes must agree: broadcasting (N, 1) against (N) would compare all pairs"""
    targets_like("mse_loss", input, target)
    d = input - target
    return reduced("mse_loss", d * d, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """l = |x − y|"""
    targets_like("l1_loss", input, target)
    return reduced("l1_loss", abs(input - target), reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """l = ½ (x − y)² where |x − y| ≤ δ, else δ (|x − y| − ½ δ)"""
    targets_like("huber_loss", input, target)
    check.number("huber_loss", "delta", delta)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    return reduced("huber_loss", huber(input, target, delta), reduction)


def huber(input: Tensor, target: Tensor, delta: float) -> Tensor:
    """Huber's loss of each entry."""
    d = abs(input - target)
    return where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """l = ½ (x − y)² / β where |x − y| < β, else |x − y| − ½ β: Huber's loss divided by β"""
    targets_like("smooth_l1_loss", input, target)
    check.number("smooth_l1_loss", "beta", beta)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    return reduced("smooth_l1_loss", huber(input, target, beta) / beta if beta else abs(input - target), reduction)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """l = t (ln t − x)      input x: log-probabilities; target t: probabilities, or their logarithms with `log_target`

    "batchmean" divides the sum by N and is the divergence itself; "mean" divides by all entries, as PyTorch's default.
    """
    targets_like("kl_div", input, target)
    t = exp(target) if log_target else target
    log_t = target if log_target else log(where(target > 0, target, 1.0))  # 0 ln 0 = 0
    losses = t * (log_t - input)
    if reduction == "batchmean":
        return sum(losses) / (input.shape[0] if input.ndim else 1)
    return reduced("kl_div", losses, reduction)


def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """l = −w (y ln p + (1 − y) ln (1 − p))      input p: probabilities; logarithms are cut off at −100, as PyTorch's"""
    name = "binary_cross_entropy"
    targets_like(name, input, target)
    for what, x in (("input", input.array), ("target", target.array)):
        if x.size and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"{name}: {what} must lie in [0, 1], got {x.min()} … {x.max()}")
    return reduced(name, weighted(name, _binary_cross_entropy(input, target), weight), reduction)


@differentiable
def _binary_cross_entropy(p: Array, y: Array) -> Result:
    """l = −(y ln p + (1 − y) ln (1 − p))      ∂L/∂p = G (p − y) / p(1 − p)      ∂L/∂y = −G (ln p − ln (1 − p))"""
    check.one_dtype("binary_cross_entropy", p, y)
    log_p, log_q = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return (
        -(y * log_p + (1 - y) * log_q),
        lambda G: G * (p - y) / np.maximum(p * (1 - p), 1e-12),
        lambda G: G * (log_q - log_p),
    )


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """l = −w (v y ln σ(x) + (1 − y) ln (1 − σ(x)))      v: pos_weight, how much a positive counts"""
    name = "binary_cross_entropy_with_logits"
    targets_like(name, input, target)
    v = 1.0 if pos_weight is None else broadcastable(name, "pos_weight", pos_weight, input)
    # −ln σ(x) = softplus(−x) = softplus(x) − x, exact at both ends
    losses = (1 - target) * input + (1 + (v - 1) * target) * softplus_stable(-input)
    return reduced(name, weighted(name, losses, weight), reduction)


@differentiable
def softplus_stable(x: Array) -> Result:
    """y = ln (1 + eˣ) to the last digit      ∂L/∂x = G σ(x)"""
    return np.logaddexp(0, x).astype(x.dtype, copy=False), lambda G: G * kernels.sigmoid(x)


def weighted(name: str, losses: Tensor, weight: Tensor | None) -> Tensor:
    """Each loss times its weight, if there are any."""
    return losses if weight is None else losses * broadcastable(name, "weight", weight, losses)


def broadcastable(name: str, what: str, weight: Tensor, losses: Tensor) -> Tensor:
    """The weight, which broadcasts to the shape of the losses and does not widen it."""
    check.tensor(name, what, weight)
    new = losses.ndim - weight.ndim
    if new < 0 or any(m not in (1, n) for m, n in zip(weight.shape, losses.shape[new:], strict=True)):
        raise ValueError(f"{name}: {what} {weight.shape} does not broadcast to the input {losses.shape}")
    return weight


@differentiable
def _cross_entropy(x: Array, q: Array) -> Result:
    """l = −Σ_c q_c ln softmax(x)_c: see `kernels.cross_entropy`."""
    return kernels.cross_entropy(x, q)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """l = −Σ_c w_c q_c ln softmax(x)_c      (N, C, …) logits, or (C) → (N, …), then the reduction

    target: integers (N, …), q_c = [c = y], or probabilities (N, C, …), q = target. Label smoothing ε replaces q by
    (1 − ε) q + ε/C. Labels equal to ignore_index have no loss. The mean of integer labels divides by Σ w_y of those
    that count, the mean of probabilities by their number.
    """
    name = "cross_entropy"
    logits(name, input, target, weight)
    check.number(name, "label_smoothing", label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing must lie in [0, 1], got {label_smoothing}")
    x = input if input.ndim > 1 else input.unsqueeze(0)
    C = x.shape[1]
    w = None if weight is None else weight.reshape(1, C, *[1] * (x.ndim - 2))
    if dtypes.is_float(target.array):
        if target.shape != input.shape:
            raise ValueError(
                f"{name}: labels must be integers; a target of {target.dtype} means probabilities and must have the "
                f"input's shape {input.shape}, got {target.shape}"
            )
        no_nan(name, target.array)
        q, total = target.reshape(*x.shape).to(x.dtype), x.array.size / C
    else:
        q, total = one_hot_targets(name, input, target, weight, ignore_index)
    if label_smoothing:
        kept = (
            1.0 if dtypes.is_float(target.array) else (target != ignore_index).reshape(q.shape[0], 1, *q.shape[2:]).to(x.dtype)
        )
        q = (1 - label_smoothing) * q + label_smoothing / C * kept
    losses = _cross_entropy(x, q if w is None else q * w)
    if reduction == "mean":
        return over(sum(losses), total)
    return reduced(name, losses if input.ndim > 1 else losses.reshape(()), reduction)


def over(total: Tensor, count: float) -> Tensor:
    """total / count, NaN where nothing was counted, with the derivative 0."""
    return total / count if count else total + float("nan")


def logits(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """The input has classes, target and weights are Tensors that fit them."""
    check.tensor(name, "input", input)
    check.tensor(name, "target", target)
    C = (0, *input.shape[:2])[-1]
    if C == 0:
        raise ValueError(f"{name}: input must be (N, C, …) or (C) with one class or more, got {input.shape}")
    check.floating(name, input)
    if weight is not None:
        check.tensor(name, "weight", weight)
        check.one_dtype(name, input.array, weight.array)
        if weight.shape != (C,):
            raise ValueError(f"{name}: weight must have shape ({C},), got {weight.shape}")
        if weight.requires_grad:  # the mean divides by Σ w_y, which is taken as a number
            raise ValueError(f"{name}: has no derivative with respect to weight; detach() it")


def one_hot_targets(name: str, x: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, float]:
    """q (N, C, …) = [c = y], all 0 where y = ignore_index, and Σ w_y over the others; N is 1 for a lone (C)."""
    shape = x.shape if x.ndim > 1 else (1, *x.shape)
    C, wanted = shape[1], (shape[0], *shape[2:]) if x.ndim > 1 else ()
    if target.shape != wanted:
        raise ValueError(f"{name}: input {x.shape} wants labels of shape {wanted}, got {target.shape}")
    if not check.is_integer(ignore_index):
        raise TypeError(f"{name}: ignore_index must be an integer, got {ignore_index!r}")
    y = target.array.reshape(shape[0], *shape[2:])
    kept = y != ignore_index
    check.integers(name, "labels", y[kept], 0, C)
    classes = np.arange(C, like=x.array).reshape(-1, *[1] * (y.ndim - 1))  # (C, 1, …) against (N, 1, …)
    q = (y[:, None] == classes) & kept[:, None]
    total = float(kept.sum()) if weight is None else float(weight.array[y[kept]].sum())
    return Tensor(q.astype(x.dtype)), total


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """l = −w_y x_y      input x: log-probabilities (N, C, …) or (C); target y: integers; the mean divides by Σ w_y"""
    name = "nll_loss"
    logits(name, input, target, weight)
    x = input if input.ndim > 1 else input.unsqueeze(0)
    q, total = one_hot_targets(name, input, target, weight, ignore_index)
    w = 1.0 if weight is None else weight.reshape(1, -1, *[1] * (x.ndim - 2))
    losses = -sum(where(q > 0, x * w, 0.0), dim=1)
    if reduction == "mean":
        return over(sum(losses), total)
    return reduced(name, losses if input.ndim > 1 else losses.reshape(()), reduction)
