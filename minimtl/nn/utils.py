"""Gradient clipping."""

import math
from collections.abc import Iterable

import numpy as np

from minimtl.autograd import Tensor


def with_grad(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The parameters that have a gradient."""
    return [p for p in ([parameters] if isinstance(parameters, Tensor) else parameters) if p.grad is not None]


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0) -> Tensor:
    """g ← g · min(1, max_norm / ‖g‖), g all gradients as one vector; returns ‖g‖ before. Where that is NaN, so is g after."""
    if max_norm < 0:
        raise ValueError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    found = with_grad(parameters)
    with np.errstate(all="ignore"):
        sizes = [float(np.linalg.norm(p.grad.array.reshape(-1), norm_type)) for p in found if p.grad is not None]
        total = float(np.linalg.norm(np.array(sizes), norm_type)) if sizes else 0.0
    scale = max_norm / (total + 1e-6)
    for p in found if scale < 1 or math.isnan(scale) else ():
        p.grad = p.grad * scale if p.grad is not None else None
    return Tensor(np.asarray(total, dtype=found[0].dtype if found else np.float32))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """g ← min(max(g, −clip_value), clip_value), entry by entry."""
    if clip_value < 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    for p in with_grad(parameters):
        p.grad = p.grad.clip(-clip_value, clip_value) if p.grad is not None else None
