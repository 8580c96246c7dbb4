"""Classes of very different size: weights for a loss, a loss that looks at what is hard, and re-sampling.

nn.CrossEntropyLoss(weight=mtl.class_weights(labels, 10))
DataLoader(dataset, 100, sampler=data.WeightedRandomSampler(mtl.balanced(labels), len(labels)))
"""

from typing import Any

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.nn.functional import cross_entropy
from minimtl.ops import exp

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


class FocalLoss(nn.Module):
    """l = −(1 − p)^γ ln p, p the probability of the true class      Lin et al. 2017

    (N, C, …) logits, (N, …) classes. What is right already counts little; γ = 0 is `nn.CrossEntropyLoss`, whose `weight`,
    `ignore_index` and mean this takes over: with weights the mean is over Σ w.
    """

    shown = ("gamma", "ignore_index", "reduction")
    weight: Tensor | None

    def __init__(
        self, gamma: float = 2.0, weight: Tensor | None = None, ignore_index: int = IGNORED, reduction: str = "mean"
    ) -> None:
        if not gamma >= 0:
            raise ValueError(f"FocalLoss: gamma must not be negative, got {gamma}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"FocalLoss: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.gamma, self.ignore_index, self.reduction = gamma, ignore_index, reduction
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (N, C, …) and classes (N, …)."""
        plain = cross_entropy(input, target, ignore_index=self.ignore_index, reduction="none")  # −ln p
        losses = focal(plain, self.gamma)
        if self.weight is not None:
            losses = losses * self.weight[target.clip(0, len(self.weight) - 1)]
        if self.reduction != "mean":
            return losses if self.reduction == "none" else losses.sum()
        counted = target.array != self.ignore_index
        w = np.ones(counted.shape) if self.weight is None else self.weight.array[np.where(counted, target.array, 0)]
        return losses.sum() / float((w * counted).sum())


@equation(
    "mtl.focal_loss",
    r"l_n = -(1 - p_n)^\gamma \ln p_n",
    symbols={"p": "nll"},
    source="Lin et al. 2017",
    conventions="pₙ is the probability of the class of sample n",
)
def focal(nll: Tensor, γ: float) -> Tensor:
    """lₙ = −(1 − pₙ)^γ ln pₙ      of −ln pₙ, (N, …) → (N, …)"""
    if γ == 0:
        return nll
    return (1 - exp(-nll)).clip(1e-7, None) ** γ * nll
