"""Classes of very different size: weights for a loss, a loss that looks at what is hard, and re-sampling.

nn.CrossEntropyLoss(weight=mtl.class_weights(labels, 10))
DataLoader(dataset, 100, sampler=data.WeightedRandomSampler(mtl.balanced(labels), len(labels)))
"""

from typing import Any

import numpy as np

from minimtl import kernels
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.nn.losses import WeightedLoss
from minimtl.ops.distance import reduced
from minimtl.ops.loss import KEPT_WEIGHT, LABELS, logits, one_hot_targets, over

IGNORED = -100


def class_weights(labels: Any, num_classes: int) -> Tensor:
    """w_c = N/(C N_c), of mean 1 over the samples      labels (N,) integers, those of −100 left out → (C,) float32

    A class without a sample is refused: no weight makes up for it.
    """
    n = counts("class_weights", labels, num_classes)
    if (n == 0).any():
        raise ValueError(f"class_weights: classes {np.flatnonzero(n == 0).tolist()} have no sample")
    return Tensor(weights(n).astype(np.float32))


@equation(
    "mtl.class_weights",
    r"w_c = \frac{N}{C n_c}, \quad N = \sum_{a=1}^{C} n_a",
    shapes="n (C) → w (C)",
    source="King, Zeng 2001",
    conventions="n_c samples of class c",
)
def weights(n: Array) -> Array:
    """w[c] = N / (C n[c]);  N = Σₐ nₐ      (C,) → (C,)"""
    return n.sum() / (len(n) * n)


def balanced(labels: Any) -> Array:
    """1/N_c for each sample of class c: drawn in proportion to these, all classes come equally often; 0 for labels of −100"""
    y = np.asarray(getattr(labels, "array", labels))
    n = counts("balanced", y, int(y.max(initial=0)) + 1)
    return np.where(y == IGNORED, 0.0, 1 / np.maximum(n[np.maximum(y, 0)], 1))


def counts(name: str, labels: Any, num_classes: int) -> Array:
    """How many samples each class has."""
    y: Array = np.asarray(getattr(labels, "array", labels))
    fits = y.ndim == 1 and y.dtype.kind in "iu"
    y = y[y != IGNORED] if fits else y
    if not fits or len(y) == 0 or y.min() < 0 or y.max() >= num_classes:
        raise ValueError(f"{name}: needs integer labels (N,) from 0 to {num_classes - 1}, or −100, got {labels!r:.200}")
    return np.bincount(y, minlength=num_classes).astype(float)


class FocalLoss(WeightedLoss):
    """−w_y (1 − p)^γ ln p, p the probability of the true class y      (N, C, …) logits, (N, …) classes; Lin et al. 2017

    What is right already counts little; γ = 0 is `nn.CrossEntropyLoss`, whose `weight`, `ignore_index` and mean this takes
    over: with weights the mean is over Σ w.
    """

    shown = ("gamma", "ignore_index", "reduction")

    def __init__(
        self, gamma: float = 2.0, weight: Tensor | None = None, ignore_index: int = IGNORED, reduction: str = "mean"
    ) -> None:
        if not gamma >= 0:
            raise ValueError(f"FocalLoss: gamma must not be negative, got {gamma}")
        super().__init__(weight, reduction)
        self.gamma, self.ignore_index = gamma, ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (N, C, …) and classes (N, …)."""
        return focal_loss(input, target, self.gamma, self.weight, self.ignore_index, self.reduction)


P_TRUE = r" \quad p_n = \frac{e^{x_{n,y_n}}}{\sum_{k=0}^{C-1} e^{x_{nk}}},"


@equation(
    "nn.focal_loss",
    r"l = -\frac{1}{W} \sum_{n=0}^{N-1} [y_n \ne I] \, w_{y_n} (1 - p_n)^\gamma \ln p_n,"
    + P_TRUE
    + r" \quad W = "
    + KEPT_WEIGHT,
    symbols={"x": "input", "y": "target", "w": "weight", "γ": "gamma", "I": "ignore_index"},
    shapes="x (N, C), y (N), w (C) → l ()",
    source="Lin et al. 2017",
    conventions=LABELS,
    helpers=("_focal",),
    unseen=("reduction",),
    base=0,
    outside={"x": 0, "w": 0},
)
@equation(
    "nn.focal_loss.vjp",
    r"\frac{\partial L}{\partial x_{nk}} = \frac{G}{W} [y_n \ne I] \, w_{y_n} (1 - p_n)^\gamma"
    r" \left(1 - \gamma \frac{p_n \ln p_n}{1 - p_n}\right) \left(\frac{e^{x_{nk}}}{\sum_{j=0}^{C-1} e^{x_{nj}}} - [k = y_n]\right),"
    + P_TRUE
    + r" \quad W = "
    + KEPT_WEIGHT,
)
def focal_loss(
    input: Tensor, target: Tensor, gamma: float, weight: Tensor | None, ignore_index: int = IGNORED, reduction: str = "mean"
) -> Tensor:
    """l = −1/W Σₙ [yₙ ≠ I] w[yₙ] (1 − pₙ)^γ ln pₙ      pₙ = e^{x[n,yₙ]} / (Σₖ e^{xₙₖ})      W = Σₙ [yₙ ≠ I] w[yₙ]

    ∂L/∂xₙₖ = G/W [yₙ ≠ I] w[yₙ] (1 − pₙ)^γ (1 − γ pₙ ln pₙ / (1 − pₙ)) (e^{xₙₖ} / (Σⱼ e^{xₙⱼ}) − [k = yₙ])

    x: (N, C, …) logits, or (C); y: integers (N, …); I: ignore_index, whose labels have no loss.
    """
    name = "focal_loss"
    logits(name, input, target, weight)
    x = input if input.ndim > 1 else input.unsqueeze(0)
    q, total = one_hot_targets(name, input, target, weight, ignore_index)
    losses = _focal(x, q, gamma)
    if weight is not None:
        losses = losses * (q * weight.reshape(1, -1, *[1] * (x.ndim - 2))).sum(dim=1)
    if reduction == "mean":
        return over(losses.sum(), total)
    return reduced(name, losses if input.ndim > 1 else losses.reshape(()), reduction)


@differentiable
def _focal(x: Array, q: Array, gamma: float) -> Result:
    """lₙ = (1 − e^{−aₙ})^γ aₙ      ∂l/∂a = (1 − e^{−a})^γ (1 + γ a / (eᵃ − 1)), a = −Σₖ qₙₖ ln softmax(x)ₙₖ

    (N, C, …), (N, C, …) → (N, …), q one 1 or none. In a nothing is lost where p = e^{−a} is nearly 1, and a / (eᵃ − 1) is 1 at 0.
    """
    a, gx, _ = kernels.cross_entropy(x, q)
    focus, e = (-np.expm1(-a)) ** gamma, np.expm1(a)
    return focus * a, lambda G: gx(G * focus * (1 + gamma * np.where(e == 0, 1, a / e)))
