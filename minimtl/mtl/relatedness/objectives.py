"""Relatedness by objectives: whether gradients agree, and what a step on one loss does to the others."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from minimtl.autograd import Tensor, grad
from minimtl.backend import Array, is_array
from minimtl.equation import equation
from minimtl.grad_mode import no_grad
from minimtl.mtl.aggregation import Aggregation, cosines, gramian
from minimtl.mtl.relatedness.grouping import Relatedness


def gradient_cosine(J: Array, tasks: Sequence[str] | None = None) -> Relatedness:
    """The cosines of the rows of J (K, P), the gradients of tasks: below 0 they are in conflict."""
    check("gradient_cosine", "J", J)
    return Relatedness(list(tasks or map(str, range(len(J)))), cosines(gramian(J)))


def check(name: str, argument: str, A: Array) -> None:
    """A matrix of finite floating-point numbers."""
    if not is_array(A) or A.ndim != 2 or A.dtype.kind != "f":
        came = f"{A.dtype} {A.shape}" if is_array(A) else type(A).__name__
        raise ValueError(f"{name}: {argument} must be a floating-point array, a row for each task, got {came}")
    if not np.isfinite(A).all():
        raise ValueError(f"{name}: {argument} must be finite, it holds NaN or ∞")


class Conflict(Aggregation):
    """Cosines of gradients over training: an aggregation that watches another, or a record that is fed.

    watch = Conflict(["a", "b"], mtl.aggregation.Sum())
    mtl.Trainer(…, aggregation=watch).fit(…);  watch.mean() and watch.share() are matrices

    watch = Conflict(["a", "b"]);  watch.add(J), or watch.add(G=J @ J.T), at every step

    Of a pair of tasks the steps count in which both take part and have a gradient that is not 0; where there are none, both matrices
    have 0.
    """

    def __init__(self, tasks: Sequence[str], aggregation: Callable[[Array], Array] | None = None) -> None:
        self.tasks, self.aggregation = list(tasks), aggregation
        K = len(self.tasks)
        self.total, self.below, self.counted = np.zeros((K, K)), np.zeros((K, K)), np.zeros((K, K))
        self.steps = 0

    def direction(self, J: Array) -> Array:
        """The direction of the other aggregation; the cosines of J are kept."""
        if self.aggregation is None:
            raise ValueError("Conflict: has no aggregation to give a direction; add(J) keeps the cosines alone")
        if isinstance(self.aggregation, Aggregation):
            self.aggregation.rows = self.rows
        G = gramian(J)
        if len(self.rows) == len(J) < len(self.tasks):  # tasks without a label are absent
            there, part = [self.tasks.index(k) for k in self.rows], G
            G = np.zeros((len(self.tasks),) * 2)
            G[np.ix_(there, there)] = part
        self.add(G=G)
        return self.aggregation(J)

    def reset(self) -> None:
        if isinstance(self.aggregation, Aggregation):
            self.aggregation.reset()

    def add(self, J: Array | None = None, *, G: Array | None = None) -> None:
        """Keep the cosines of a step: of J (K, P), or of the Gramian G = J Jᵀ (K, K)."""
        if (J is None) == (G is None):
            raise ValueError("Conflict: needs J or G, and not both")
        A, name = (J, "J") if G is None else (G, "G")
        assert A is not None
        check("Conflict", name, A)
        K = len(self.tasks)
        if len(A) != K or (name == "G" and A.shape[1] != K):
            raise ValueError(f"Conflict: watches the tasks {self.tasks}, got {name} of shape {A.shape}")
        G = gramian(A) if name == "J" else np.asarray(A, dtype=np.float64)
        if (np.diag(G) < 0).any():
            raise ValueError("Conflict: G must be a Gramian, its diagonal is negative")
        c, there = cosines(G), np.diag(G) > 0
        self.total += c
        self.below += c < 0
        self.counted += np.outer(there, there)
        self.steps += 1

    def mean(self) -> Relatedness:
        """The mean cosine of each pair."""
        return Relatedness(self.tasks, self.total / np.maximum(self.counted, 1))

    def share(self) -> Relatedness:
        """The share of steps in which each pair was in conflict."""
        return Relatedness(self.tasks, self.below / np.maximum(self.counted, 1))


@equation(
    "mtl.affinity",
    r"Z_{ij} = 1 - \frac{L_j(\phi - \eta \frac{\partial L_i}{\partial \phi})}{L_j(\phi)}",
    symbols={"L": "losses", "φ": "shared", "η": "lr", "dLi_dφ": "losses"},
    source="Fifty et al. 2021",
    conventions="a step of φ on one task's loss alone, on a fixed batch; Zᵢⱼ > 0 where a step for task i helps task j",
    helpers=("after_step",),
)
def affinity(losses: Callable[[], Mapping[str, Tensor]], shared: Iterable[Tensor], lr: float) -> Relatedness:
    """Zᵢⱼ = 1 − Lⱼ(φ − η ∂Lᵢ/∂φ) / Lⱼ(φ): by what share Lⱼ falls when φ takes a step on Lᵢ alone; Fifty et al. 2021

    losses() are those of a fixed batch, each a scalar above 0; lr is η. It is called K + 1 times: with dropout or batch norm, let
    the model be in `eval()`. φ gets its own arrays back, which are never written to, whatever happens; no `.grad` changes.
    Row i is the task whose gradient is followed: the matrix is not symmetric.
    """
    φ, η = [p for p in shared if p.requires_grad], lr
    L = losses()
    before = numbers(L, list(L), "at φ")
    if not all(value > 0 for value in before.values()):
        raise ValueError(f"affinity: losses must be greater than 0, got {before}")
    if not φ or not (η > 0 and math.isfinite(η)) or len(before) < 2:
        raise ValueError(
            f"affinity: needs two tasks, shared parameters that require gradients and a finite rate above 0, "
            f"got {list(before)}, {len(φ)} and {lr}"
        )
    if len(set(φ)) < len(φ) or not all(p.is_leaf for p in φ):
        raise ValueError("affinity: shared must be leaves, each once")
    Z = np.zeros((len(before), len(before)))
    for n, i in enumerate(before):
        after = numbers(after_step(losses, slopes(i, L[i], φ), φ, η), list(before), f"after a step on {i!r}")
        Z[n] = [1 - after[j] / before[j] for j in before]
    return Relatedness(list(before), Z)


def slopes(i: str, Lᵢ: Tensor, φ: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """∂Lᵢ/∂φ; None for parameters that Lᵢ does not use."""
    if not Lᵢ.requires_grad:
        raise ValueError(f"affinity: the loss of {i!r} depends on nothing that requires a gradient")
    return grad(Lᵢ, φ, retain_graph=True, allow_unused=True)


def after_step(
    losses: Callable[[], Mapping[str, Tensor]], g: Sequence[Tensor | None], φ: Sequence[Tensor], η: float
) -> Mapping[str, Tensor]:
    """L(φ − η g)"""
    own = [p.data for p in φ]
    try:
        with np.errstate(all="ignore"), no_grad():
            for p, gₚ in zip(φ, g, strict=True):
                if gₚ is not None:
                    p.data = Tensor(p.array - η * gₚ.array)
            return losses()
    finally:
        for p, before in zip(φ, own, strict=True):
            p.data = before


def numbers(L: Mapping[str, Tensor], tasks: Sequence[str], where: str) -> dict[str, float]:
    """The losses as numbers."""
    if set(L) != set(tasks) or any(loss.numel() != 1 for loss in L.values()):
        shapes = {k: loss.shape for k, loss in L.items()}
        raise ValueError(f"affinity: losses {where} must be a scalar for each of {list(tasks)}, got {shapes}")
    found = {k: float(L[k].item()) for k in tasks}
    if not all(map(math.isfinite, found.values())):
        raise FloatingPointError(f"affinity: losses {where} are {found}; a smaller lr may keep them finite")
    return found
