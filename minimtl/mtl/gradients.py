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
from minimtl.mtl.aggregation import Aggregation, Weighted

Losses = Mapping[str, Tensor]
Owned = Mapping[str, Iterable[Tensor]]
Own = dict[str, Sequence[Tensor | None]]


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
    parts, own = gradients(L, φ, θ or {})
    J = joined(parts)
    return J if θ is None else (J, own)


def gradients(L: Losses, φ: Sequence[Tensor], θ: Owned) -> tuple[list[list[Array]], Own]:
    """J cut by the parameters of φ, each part K flat rows, and {task: ∂Lₖ/∂θₖ}."""
    if not φ:
        raise ValueError("jacobian: no shared parameter requires a gradient, so there is nothing to mix")
    parts: list[list[Array]] = [[] for _ in φ]
    own: Own = {}
    *_, last = L
    for k, loss in L.items():
        found = grad(loss, [*φ, *θ.get(k, ())], retain_graph=k != last, allow_unused=True)
        for rows, p, g in zip(parts, φ, found, strict=False):
            rows.append(np.zeros_like(p.array).reshape(-1) if g is None else g.array.reshape(-1))
        own[k] = found[len(φ) :]
    return parts, own


def joined(parts: Sequence[Sequence[Array]]) -> Array:
    """J (K, P) of its parts."""
    first, dtype = parts[0][0], np.result_type(*(rows[0] for rows in parts))
    J = np.empty_like(first, dtype=dtype, shape=(len(parts[0]), sum(rows[0].size for rows in parts)))
    for whole, row in zip(J, zip(*parts, strict=True), strict=True):
        np.concatenate(row, out=whole)
    return J


def backward(L: Losses, φ: Iterable[Tensor], θ: Owned, aggregation: Callable[[Array], Array]) -> None:
    """φ.grad ← A(J), θₖ.grad ← ∂Lₖ/∂θₖ, added to what is there      aggregation A: J (K, P) → (P,)

    After an error no gradient has changed.
    """
    shared, owned = [p for p in φ if p.requires_grad], {k: [p for p in θ.get(k, ()) if p.requires_grad] for k in L}
    parts, own = gradients(L, shared, owned)
    if isinstance(aggregation, Aggregation):
        aggregation.rows = list(L)
    d = direction(parts, shared, aggregation)
    add(shared, [Tensor(dᵢ.reshape(p.shape)) for dᵢ, p in zip(d, shared, strict=True)])
    for k, parameters in owned.items():
        add(parameters, own[k])


def direction(parts: Sequence[Sequence[Array]], φ: Sequence[Tensor], aggregation: Callable[[Array], Array]) -> list[Array]:
    """What the aggregation makes of J, by the parameters of φ; where weights are all it gives, J is never put together."""
    if isinstance(aggregation, Weighted):
        return aggregation.directions(parts)
    ends = np.cumsum([p.numel() for p in φ])[:-1]
    whole = np.split(checked(aggregation, joined(parts)), ends)
    return [part.astype(p.dtype, copy=False) for part, p in zip(whole, φ, strict=True)]


def checked(aggregation: Callable[[Array], Array], J: Array) -> Array:
    """The direction of an aggregation, which may be anyone's function."""
    d = aggregation(J)
    if getattr(d, "shape", None) != J.shape[1:] or d.dtype != J.dtype or not np.isfinite(d).all():
        came = f"{d.dtype} {d.shape}, finite: {bool(np.isfinite(d).all())}" if hasattr(d, "shape") else type(d).__name__
        raise ValueError(f"backward: the aggregation must give a finite {J.dtype} {J.shape[1:]}, got {came}")
    return d


def add(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Add gradients to `.grad`."""
    for p, g in zip(parameters, gradients, strict=True):
        if g is not None:
            p.grad = g if p.grad is None else p.grad + g
