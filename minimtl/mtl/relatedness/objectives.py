"""Relatedness by objectives: whether gradients agree, and what a step on one loss does to the others."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from minimtl.autograd import Tensor, grad
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.grad_mode import no_grad
from minimtl.mtl.aggregation import cosines, gramian
from minimtl.mtl.relatedness.grouping import Relatedness


def gradient_cosine(J: Array, tasks: Sequence[str] | None = None) -> Relatedness:
    """The cosines of the rows of J (K, P), the gradients of tasks: below 0 they are in conflict."""
    return Relatedness(list(tasks or map(str, range(len(J)))), cosines(gramian(J)))


class Conflict:
    """Cosines of gradients over training: an aggregation that watches another, or the plain sum.

    watch = Conflict(["a", "b"], mtl.aggregation.Sum())
    mtl.Trainer(…, aggregation=watch).fit(…);  watch.mean() and watch.share() are matrices
    """

    def __init__(self, tasks: Sequence[str], aggregation: Callable[[Array], Array]) -> None:
        self.tasks, self.aggregation = list(tasks), aggregation
        self.total, self.below = np.zeros((len(tasks), len(tasks))), np.zeros((len(tasks), len(tasks)))
        self.steps = 0

    def __call__(self, J: Array) -> Array:
        """The direction of the other aggregation; the cosines of J are kept."""
        if len(J) != len(self.tasks):
            raise ValueError(f"Conflict: watches the tasks {self.tasks}, got {len(J)} gradients")
        c = cosines(gramian(J))
        self.total += c
        self.below += c < 0
        self.steps += 1
        return self.aggregation(J)

    def mean(self) -> Relatedness:
        """The mean cosine of each pair."""
        return Relatedness(self.tasks, self.total / max(self.steps, 1))

    def share(self) -> Relatedness:
        """The share of steps in which each pair was in conflict."""
        return Relatedness(self.tasks, self.below / max(self.steps, 1))


def affinity(losses: Callable[[], Mapping[str, Tensor]], shared: Iterable[Tensor], lr: float) -> Relatedness:
    """Zᵢⱼ: by what share Lⱼ falls when φ takes a step on Lᵢ alone, φ − η ∂Lᵢ/∂φ; Fifty et al. 2021

    losses() are those of a fixed batch, each a scalar above 0; lr is η. φ is put back exactly, whatever happens; no `.grad` changes.
    Row i is the task whose gradient is followed: the matrix is not symmetric.
    """
    φ = [p for p in shared if p.requires_grad]
    L = losses()
    tasks = list(L)
    before = np.array([loss.item() for loss in L.values()])
    if not (before > 0).all():
        raise ValueError(f"affinity: losses must be greater than 0, got {dict(zip(tasks, before.tolist(), strict=True))}")
    if not φ or not lr > 0:
        raise ValueError(
            f"affinity: needs shared parameters that require gradients and a rate greater than 0, got {len(φ)}, {lr}"
        )
    gradients = [grad(L[k], φ, retain_graph=k != tasks[-1], allow_unused=True) for k in tasks]
    start = [p.array.copy() for p in φ]
    Z = np.zeros((len(tasks), len(tasks)))
    for i, gs in enumerate(gradients):
        try:
            with no_grad():
                for p, p0, g in zip(φ, start, gs, strict=True):
                    p.copy_(Tensor(p0 if g is None else p0 - lr * g.array))
                after = losses()
        finally:
            with no_grad():
                for p, p0 in zip(φ, start, strict=True):
                    p.copy_(Tensor(p0))
        Z[i] = gain(before, np.array([after[k].item() for k in tasks]))
    return Relatedness(tasks, Z)


@equation(
    "mtl.affinity",
    r"Z_j = 1 - \frac{L'_j}{L_j}",
    shapes="L (K), Lʹ (K) → Z (K)",
    source="Fifty et al. 2021",
    conventions="L′ⱼ is the loss of task j after a step of φ on one task's loss alone",
)
def gain(L: Array, Lʹ: Array) -> Array:
    """Zⱼ = 1 − L′ⱼ / Lⱼ      (K,), (K,) → (K,)"""
    return 1 - Lʹ / L
