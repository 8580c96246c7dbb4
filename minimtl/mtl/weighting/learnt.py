"""Weightings with parameters of their own, trained along with the model."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from minimtl import nn, optim
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.weighting.base import Batch, Losses, Weighting
from minimtl.ops import exp, full, ones, softmax, zeros

ε = 1e-8


class Uncertainty(Weighting):
    """F = Σₖ ½ (cₖ e^{−sₖ} Lₖ + sₖ)      sₖ = ln σₖ², learnt; Kendall et al. 2018

    cₖ is 1 where Lₖ is a squared error, whose Gaussian likelihood gives L/(2σ²) + ln σ, and 2 for the tasks named in
    `classification`, whose softmax gives L/σ² + ln σ. The field's code takes 1 for all, and so does the default. F may be
    negative. At its minimum over sₖ the weight is ½ cₖ/σₖ² = 1/(2 Lₖ).
    """

    def __init__(self, classification: Collection[str] = (), initial: float = 0.0, lr: float | None = None) -> None:
        self.classification, self.initial, self.lr = classification, initial, lr

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        unknown = sorted(set(self.classification) - set(tasks))
        if unknown:
            raise ValueError(f"Uncertainty: classification names {unknown}, the tasks are {list(tasks)}")
        self.s = nn.Parameter(full((len(tasks),), self.initial))
        self.c = np.array([2.0 if k in self.classification else 1.0 for k in tasks])

    @equation(
        "mtl.uncertainty",
        r"F = \sum_{k=1}^{K} \frac{1}{2} (c_k e^{-s_k} L_k + s_k)",
        symbols={"s": "self", "c": "self", "K": "L"},
        source="Kendall et al. 2018",
        conventions="sₖ = ln σₖ²; cₖ = 1 for a squared error, 2 for a cross-entropy",
        unseen=("now",),
    )
    def objective(self, L: Tensor, now: Array) -> Tensor:
        """F = Σₖ 1/2 (cₖ e^{−sₖ} Lₖ + sₖ)"""
        s, c = self.s[now], Tensor(self.c[now].astype(L.dtype))
        return (0.5 * (c * exp(-s) * L + s)).sum()


class IMTLL(Weighting):
    """F = Σₖ (e^{sₖ} Lₖ − sₖ)      sₖ learnt, at its minimum e^{sₖ} Lₖ = 1: the L of IMTL; Liu et al. 2021"""

    def __init__(self, lr: float | None = None) -> None:
        self.lr = lr

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        self.s = nn.Parameter(zeros(len(tasks)))

    @equation(
        "mtl.imtl_l",
        r"F = \sum_{k=1}^{K} (e^{s_k} L_k - s_k)",
        symbols={"s": "self", "K": "L"},
        source="Liu et al. 2021",
        unseen=("now",),
    )
    def objective(self, L: Tensor, now: Array) -> Tensor:
        """F = Σₖ (e^{sₖ} Lₖ − sₖ)"""
        s = self.s[now]
        return (exp(s) * L - s).sum()


class GradNorm(Weighting):
    """F = Σₖ wₖ Lₖ      w learnt, so that the gradients of all tasks are of a size fit for their progress; Chen et al. 2018

    The norms are by `on`, in the paper the last layer that is shared, and by all of φ unless given. w goes down the gradient
    of `balance`, at the rate `lr`, and is brought to Σₖ wₖ = K; it is kept above 0.001, where the paper lets it fall below 0.
    """

    least = 1e-3

    def __init__(self, alpha: float = 1.5, on: Sequence[nn.Parameter] | None = None, lr: float | None = 0.025) -> None:
        if not (np.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"GradNorm: alpha must be finite and not negative, got {alpha}")
        self.alpha, self.on, self.lr = alpha, on, lr

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        self.w = nn.Parameter(ones(len(tasks)))
        self.first = np.full(len(tasks), np.nan)  # L(0)

    def measured(self, shared: Sequence[nn.Parameter]) -> Sequence[nn.Parameter]:
        return list(shared) if self.on is None else list(self.on)

    def observe(self, batch: Batch) -> None:
        if not batch.norms:
            raise ValueError("GradNorm: there is no parameter to measure gradients by: φ is empty or frozen")
        self.norms = np.array([batch.norms[k] for k in batch.losses])

    def objective(self, L: Tensor, now: Array) -> Tensor:
        new = np.isnan(self.first[now])
        self.refuse(L, now, new & ~(L.array > 0), "greater than 0 at the first step")
        self.refuse(L, now, L.array < 0, "≥ 0")
        self.first[now] = np.where(new, L.array, self.first[now])
        return (self.w[now].detach().to(L.dtype) * L).sum()

    def weights(self, L: Losses) -> dict[str, float]:
        """The weights wₖ; the gradient of `balance` is left in w.grad."""
        α, now = super().weights(L), [self.tasks.index(k) for k in L]
        progress = np.array([loss.item() for loss in L.values()]) / self.first[now]
        mean = progress.mean()
        r = progress / mean if mean > 0 else np.ones_like(progress)
        balance(self.w[now], Tensor(self.norms.astype(self.w.dtype)), Tensor(r.astype(self.w.dtype)), self.alpha).backward()
        return α

    def after_step(self, losses: Callable[[], Losses]) -> None:
        w = np.maximum(self.w.array, self.least)
        self.w.data = Tensor((len(w) * w / w.sum()).astype(w.dtype))


@equation(
    "mtl.gradnorm",
    r"F = \sum_{k=1}^{K} |w_k n_k - \bar{G} r_k^\alpha|, \quad \bar{G} = \frac{1}{K} \sum_{j=1}^{K} w_j n_j",
    symbols={"K": "w"},
    source="Chen et al. 2018",
    conventions="nₖ is the norm of task k's gradient, rₖ its Lₖ/Lₖ(0) over the mean of all; Ḡ counts as a constant when w is moved",
)
def balance(w: Tensor, n: Tensor, r: Tensor, α: float) -> Tensor:
    """F = Σₖ |wₖ nₖ − Ḡ rₖ^α|;  Ḡ = 1/K Σⱼ wⱼ nⱼ      (K,), (K,), (K,) → scalar"""
    G = (w * n).mean().detach()
    return (w * n - G * r**α).abs().sum()


class FAMO(Weighting):
    """F = c Σₖ zₖ ln(Lₖ − bₖ + ε), z = softmax(ξ)      all losses fall at one rate; no gradient per task; Liu et al. 2023

    c makes the weights αₖ = c zₖ/(Lₖ − bₖ + ε) add up to 1. After the step the losses of the same batch are asked for once more:
    what each has gained moves ξ, by Adam at the rate `lr` with the decay `gamma`. That costs a forward pass, in training mode, so
    statistics of batch normalisation move a second time and dropout draws anew. b: {task: lower bound of its loss}, 0 unless
    given; a loss below it is refused.
    """

    def __init__(self, lr: float = 0.025, gamma: float = 0.01, bounds: Mapping[str, float] | None = None) -> None:
        self.rate, self.gamma, self.bounds = lr, gamma, bounds or {}

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        unknown = sorted(set(self.bounds) - set(tasks))
        if unknown:
            raise ValueError(f"FAMO: there are bounds for {unknown}, the tasks are {list(tasks)}")
        self.ξ = nn.Parameter(zeros(len(tasks)))
        self.b = np.array([float(self.bounds.get(k, 0.0)) for k in tasks])
        self.optimizer = optim.Adam([self.ξ], lr=self.rate, weight_decay=self.gamma)

    def trained(self) -> Iterator[nn.Parameter]:
        return iter(())  # moved in `after_step`

    def objective(self, L: Tensor, now: Array) -> Tensor:
        b = self.b[now].astype(L.dtype)
        self.refuse(L, now, L.array < b, f"at least {dict(zip(self.tasks, self.b.tolist()))}")
        self.last = now, L.array - b
        α = famo(softmax(self.ξ[now], dim=0).array.astype(float), L.array.astype(float), self.b[now])
        return (Tensor(α.astype(L.dtype)) * L).sum()

    def after_step(self, losses: Callable[[], Losses]) -> None:
        now, before = self.last
        L = losses()
        after = np.array([L[self.tasks[i]].item() for i in now]) - self.b[now]
        δ = np.log(np.maximum(before, 0) + ε) - np.log(np.maximum(after, 0) + ε)
        self.optimizer.zero_grad()
        (softmax(self.ξ[now], dim=0) * Tensor(δ.astype(self.ξ.dtype))).sum().backward()  # ∂z/∂ξᵀ δ
        self.optimizer.step()


@equation(
    "mtl.famo",
    r"\alpha_k = \frac{c z_k}{L_k - b_k + \varepsilon}, \quad c = \frac{1}{\sum_{j=1}^{K} \frac{z_j}{L_j - b_j + \varepsilon}}",
    symbols={"K": "L", "ε": "ε"},
    source="Liu et al. 2023",
    conventions="z = softmax(ξ); bₖ is a lower bound of Lₖ; ε = 1e-8",
)
def famo(z: Array, L: Array, b: Array) -> Array:
    """αₖ = c zₖ / (Lₖ − bₖ + ε);  c = 1 / (Σⱼ zⱼ / (Lⱼ − bⱼ + ε))      (K,), (K,), (K,) → (K,)"""
    share = z / (L - b + ε)
    return share / share.sum()
