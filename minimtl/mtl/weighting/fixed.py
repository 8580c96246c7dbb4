"""Weightings without memory: a formula of the losses of the batch, or no formula at all."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels import softmax
from minimtl.mtl.weighting.base import Batch, Weighting
from minimtl.ops import exp, log, logsumexp
from minimtl.random import Generator, rng_of

ε = 1e-8


class Fixed(Weighting):
    """F = Σₖ αₖ Lₖ      α: {task: weight}, 1 where nothing is said; D1 §3.1"""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self.given = {} if weights is None else dict(weights)
        wrong = {k: α for k, α in self.given.items() if not (math.isfinite(α) and α >= 0)}
        if wrong:
            raise ValueError(f"Fixed: weights must be finite and not negative, got {self.given}")

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        unknown = sorted(set(self.given) - set(tasks))
        if unknown:
            raise ValueError(f"Fixed: there are weights for {unknown}, the tasks are {list(tasks)}")
        self.α = np.array([float(self.given.get(k, 1.0)) for k in tasks])
        if not self.α.any():
            raise ValueError(f"Fixed: the weights of {list(tasks)} must not all be 0")

    def objective(self, L: Tensor, now: Array) -> Tensor:
        return (Tensor(self.α[now].astype(L.dtype)) * L).sum()


class PerLabel(Weighting):
    """F = Σₖ nₖ Lₖ / Σₖ nₖ      nₖ labels of task k in the batch, of which Lₖ is the mean: every label counts alike

    So a task of which most labels are missing counts as much less; other weightings count a mean as a mean.
    """

    def observe(self, batch: Batch) -> None:
        self.labels = np.array([batch.labels[k] for k in batch.losses], dtype=float)

    @equation(
        "mtl.per_label",
        r"F = \frac{\sum_{k=1}^{K} n_k L_k}{\sum_{j=1}^{K} n_j}",
        symbols={"n": "self", "K": "L"},
        conventions="nₖ labels of task k are in the batch, and Lₖ is the mean over them",
        unseen=("now",),
    )
    def objective(self, L: Tensor, now: Array) -> Tensor:
        """F = Σₖ nₖ Lₖ / (Σⱼ nⱼ)"""
        share = self.labels / self.labels.sum()
        return (Tensor(share.astype(L.dtype)) * L).sum()


class RLW(Weighting):
    """F = Σₖ softmax(u)ₖ Lₖ, u ∼ N(0, 1) anew at each step      random loss weighting: a baseline; Lin et al. 2022"""

    def __init__(self, generator: Generator | None = None) -> None:
        self.generator = generator

    def objective(self, L: Tensor, now: Array) -> Tensor:
        u = rng_of(self.generator).standard_normal(len(now))
        return (Tensor(shares(u).astype(L.dtype)) * L).sum()


@equation(
    "mtl.rlw",
    r"\lambda_k = \frac{e^{u_k}}{\sum_{j=1}^{K} e^{u_j}}",
    symbols={"K": "u"},
    source="Lin et al. 2022",
    conventions="u ∼ N(0, 1) anew at each step; the weights λ add up to 1, not to K",
)
def shares(u: Array) -> Array:
    """λₖ = e^{uₖ} / (Σⱼ e^{uⱼ})      (K,) → (K,)"""
    λ: Array = softmax(u, axis=0)[0]
    return λ


class GLS(Weighting):
    """F = (Πₖ (Lₖ + ε))^{1/K}      the geometric mean of the losses, ε = 1e-8; Chennupati et al. 2019

    A task's weight is F / (K Lₖ): scales of losses make no difference. Negative losses are refused.
    """

    @equation(
        "mtl.gls",
        r"F = (\prod_{k=1}^{K} (L_k + \varepsilon))^{1/K}",
        symbols={"K": "L", "ε": "ε"},
        source="Chennupati et al. 2019",
        conventions="ε = 1e-8, so that a loss of 0 has a gradient; losses are not negative",
        unseen=("now",),
    )
    def objective(self, L: Tensor, now: Array) -> Tensor:
        """F = (Πₖ (Lₖ + ε))^{1/K}"""
        self.refuse(L, now, L.array < 0, "≥ 0")
        return exp(log(L + ε).mean())  # the product itself would under- or overflow


class STCH(Weighting):
    """F = μ ln Σₖ e^{wₖ (Lₖ − zₖ)/μ}      a smooth maximum of the losses above their ideals z; Lin et al. 2024

    μ → 0 is Tchebycheff's maximum, μ → ∞ the weighted sum. Preferences w are 1/K each unless given.
    """

    def __init__(
        self, mu: float = 0.1, preferences: Mapping[str, float] | None = None, ideals: Mapping[str, float] | None = None
    ) -> None:
        if not (mu > 0 and math.isfinite(mu)):
            raise ValueError(f"STCH: mu must be greater than 0, got {mu}")
        self.mu, self.preferences, self.ideals = mu, preferences, ideals or {}

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        given = dict.fromkeys(tasks, 1 / len(tasks)) if self.preferences is None else self.preferences
        if set(given) != set(tasks) or not all(w > 0 for w in given.values()) or not set(self.ideals) <= set(tasks):
            raise ValueError(f"STCH: needs a preference > 0 for each of {list(tasks)}, got {given}, ideals {self.ideals}")
        self.w, self.z = (np.array(v) for v in ([given[k] for k in tasks], [self.ideals.get(k, 0.0) for k in tasks]))

    @equation(
        "mtl.stch",
        r"F = \mu \ln \sum_{k=1}^{K} e^{w_k (L_k - z_k) / \mu}",
        symbols={"μ": "self", "w": "self", "z": "self", "K": "L"},
        source="Lin et al. 2024",
        conventions="wₖ preferences, zₖ ideal losses, 0 unless given",
        unseen=("now",),
    )
    def objective(self, L: Tensor, now: Array) -> Tensor:
        """F = μ ln(Σₖ e^{wₖ (Lₖ − zₖ) / μ})"""
        w, z = (Tensor(a[now].astype(L.dtype)) for a in (self.w, self.z))
        return self.mu * logsumexp(w * (L - z) / self.mu, dim=0)
