"""Gradients task by task: the Jacobian J of the losses by φ, one row for each task, and a direction made of its rows.

J = jacobian(L, φ)                   (K, P): row k is ∂Lₖ/∂φ, all parameters one behind the other
backward(L, φ, θ, aggregation)       .grad of φ is what the aggregation makes of J, that of θₖ is ∂Lₖ/∂θₖ, never a mixed one
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minimtl.autograd import Tensor, grad
from minimtl.backend import Array
from minimtl.equation import equation

Losses = Mapping[str, Tensor]
Owned = Mapping[str, Iterable[Tensor]]


@equation(
    "mtl.jacobian",
    r"J_{k,i} = \frac{\partial L_k}{\partial \phi_i}",
    symbols={"dLk_dφ": "L"},
    conventions="row k holds the gradient of task k's loss by all numbers of φ, 0 where the loss does not depend on one",
    unseen=("φ", "θ"),
)
def jacobian(L: Losses, φ: Sequence[Tensor], θ: Owned | None = None) -> Any:
    """Jₖᵢ = ∂Lₖ/∂φᵢ      {task: scalar loss}, P numbers in φ → (K, P); the graph is released

    With θ, {task: its own parameters}, returns J and {task: ∂Lₖ/∂θₖ}, both from one backward pass per task.
    """
    if not φ:
        raise ValueError("jacobian: no shared parameter requires a gradient, so there is nothing to mix")
    ends = np.cumsum([0, *(p.array.size for p in φ)])
    J = np.empty((len(L), int(ends[-1])), dtype=φ[0].dtype)
    own: dict[str, list[Tensor | None]] = {}
    *_, last = L
    for row, (k, loss) in enumerate(L.items()):
        θk = [] if θ is None else list(θ.get(k, ()))
        found = grad(loss, [*φ, *θk], retain_graph=k != last, allow_unused=True)
        for i, g in enumerate(found[: len(φ)]):
            J[row, ends[i] : ends[i + 1]] = 0 if g is None else g.array.reshape(-1)
        own[k] = list(found[len(φ) :])
    return J if θ is None else (J, own)


def backward(L: Losses, φ: Iterable[Tensor], θ: Owned, aggregation: Callable[[Array], Array]) -> Array:
    """φ.grad ← A(J), θₖ.grad ← ∂Lₖ/∂θₖ, added to what is there; returns J      aggregation A: J (K, P) → (P,)

    After an error no gradient has changed.
    """
    shared, own = [p for p in φ if p.requires_grad], {k: [p for p in θ.get(k, ()) if p.requires_grad] for k in L}
    J, gradients = jacobian(L, shared, own)
    d = aggregation(J)
    if getattr(d, "shape", None) != J.shape[1:] or d.dtype != J.dtype or not np.isfinite(d).all():
        came = f"{d.dtype} {d.shape}, finite: {bool(np.isfinite(d).all())}" if hasattr(d, "shape") else type(d).__name__
        raise ValueError(f"backward: the aggregation must give a finite {J.dtype} {J.shape[1:]}, got {came}")
    add(own, gradients)
    spread(d, shared)
    return J


def add(own: Owned, gradients: Mapping[str, Sequence[Tensor | None]]) -> None:
    """Add gradients to `.grad`."""
    for k, parameters in own.items():
        for p, g in zip(parameters, gradients[k], strict=True):
            if g is not None:
                p.grad = g if p.grad is None else p.grad + g


def spread(d: Array, φ: Sequence[Tensor]) -> None:
    """Cut the direction d (P,) into the shapes of φ, and add it to `.grad`."""
    start = 0
    for p in φ:
        g = Tensor(d[start : start + p.array.size].reshape(p.shape))
        p.grad = g if p.grad is None else p.grad + g
        start += p.array.size
