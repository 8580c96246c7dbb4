"""Weightings by what went before: how fast losses fall, how far metrics have come."""

from collections.abc import Mapping, Sequence

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels import softmax
from minimtl.mtl.weighting.base import Batch, Weighting


class DWA(Weighting):
    """F = Σₖ λₖ Lₖ      dynamic weight average: λ from the last two epochs' mean losses, 1 in the first two; Liu et al. 2019

    The losses are those of the tasks, not yet weighted.
    """

    def __init__(self, temperature: float = 2.0) -> None:
        if not temperature > 0:
            raise ValueError(f"DWA: temperature must be greater than 0, got {temperature}")
        self.temperature = temperature

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        self.λ, self.before = np.ones(len(tasks)), np.empty((0, len(tasks)))

    def after_epoch(self, losses: Mapping[str, float]) -> None:
        missing = [k for k in self.tasks if k not in losses]
        if missing:
            raise ValueError(f"DWA: the epoch has no loss of the tasks {missing}")
        self.before = np.vstack([self.before[-1:], [losses[k] for k in self.tasks]])
        if len(self.before) == 2:
            if not (self.before > 0).all():
                raise ValueError(f"DWA: mean losses must be greater than 0, got {dict(zip(self.tasks, self.before[-1]))}")
            self.λ = dwa(self.before[1], self.before[0], self.temperature)

    def objective(self, L: Tensor, now: Array) -> Tensor:
        return (Tensor(self.λ[now].astype(L.dtype)) * L).sum()


@equation(
    "mtl.dwa",
    r"\lambda_k = \frac{K e^{w_k / T}}{\sum_{j=1}^{K} e^{w_j / T}}, \quad w_k = \frac{L_k}{L'_k}",
    symbols={"K": "L"},
    source="Liu et al. 2019",
    conventions="Lₖ is the mean loss of task k in the last epoch, L′ₖ in the one before; T is the temperature",
)
def dwa(L: Array, Lʹ: Array, T: float) -> Array:
    """λₖ = K e^{wₖ/T} / (Σⱼ e^{wⱼ/T});  wₖ = Lₖ/L′ₖ      (K,), (K,) → (K,)"""
    w = L / Lʹ
    return len(L) * softmax(w / T, axis=0)[0]


class DTP(Weighting):
    """F = Σₖ αₖ Lₖ      dynamic task priority: tasks whose metric is low come first; Guo et al. 2018

    κₖ is the running mean of the first metric of task k, which must lie in [0, 1] and be better when higher, as accuracy;
    κ ← (1 − m) κ + m κ_batch, at first that of the first batch.
    """

    def __init__(self, gamma: float = 1.0, momentum: float = 0.1) -> None:
        if not (gamma >= 0 and 0 < momentum <= 1):
            raise ValueError(f"DTP: needs gamma ≥ 0 and momentum in (0, 1], got {gamma} and {momentum}")
        self.gamma, self.momentum = gamma, momentum

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        self.κ: dict[str, float] = {}

    def observe(self, batch: Batch) -> None:
        for task in batch.losses:
            now = next(iter(batch.metrics[task].values()), -1.0)
            if not 0 <= now <= 1:
                raise ValueError(f"DTP: task {task!r} needs a first metric in [0, 1], as accuracy, got {batch.metrics[task]}")
            self.κ[task] = now if task not in self.κ else (1 - self.momentum) * self.κ[task] + self.momentum * now

    def objective(self, L: Tensor, now: Array) -> Tensor:
        α = priority(np.array([self.κ[self.tasks[i]] for i in now]), self.gamma)
        return (Tensor(α.astype(L.dtype)) * L).sum()


@equation(
    "mtl.dtp",
    r"\alpha_k = -(1 - \kappa_k)^\gamma \ln \kappa_k",
    source="Guo et al. 2018",
    conventions="κₖ, a metric in [0, 1], counts as no less than 10⁻⁶",
)
def priority(κ: Array, γ: float) -> Array:
    """αₖ = −(1 − κₖ)^γ ln κₖ      (K,) → (K,)"""
    κ = np.maximum(κ, 1e-6)
    return -((1 - κ) ** γ) * np.log(κ)
