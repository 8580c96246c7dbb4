"""Batches mixed with themselves, labels too."""

import math

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.random import Generator, rng_of


@equation(
    "data.mixup",
    r"y_{n,d} = \lambda_n x_{n,d} + (1 - \lambda_n) x_{j_n,d}",
    symbols={"λ": "share", "j": "partner"},
    shapes="x (N, D), λ (N), j (N) → y (N, D)",
    source="Zhang et al. 2018, mixup",
    conventions="for pictures and for one-hot labels alike, d counts all their numbers; λ ~ Beta(α, α)",
    base=0,
)
def mixed(x: Array, share: Array, partner: Array) -> Array:
    """y[n,d] = λₙ x[n,d] + (1 − λₙ) x[jₙ,d]      (N, …) → (N, …)"""
    λ = share.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return np.asarray(λ * x + (1 - λ) * x[partner])


class MixUp:
    """(x, y) ↦ (λ xₙ + (1 − λ) xⱼ, λ yₙ + (1 − λ) yⱼ), λ ~ Beta(α, α)      j = π(n): see `mixed`

    x (N, …) floating-point; y distributions (N, C), or classes (N), of which there are `num_classes` and which become one-hot. Every
    sample draws its own λ, and π is a random order of the batch, as in the paper; torchvision has one λ for a batch, and the sample
    before as partner. Not for validation: `data.Mapped(training_loader, MixUp(…))`.
    """

    random = True

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None, generator: Generator | None = None) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < math.inf:
            raise ValueError(f"MixUp: alpha must be a number greater than 0, got {alpha!r}")
        if num_classes is not None and (not isinstance(num_classes, int) or num_classes < 2):
            raise ValueError(f"MixUp: num_classes must be an integer of at least 2, got {num_classes!r}")
        self.alpha, self.num_classes, self.generator = alpha, num_classes, generator

    def __call__(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """A batch (x, y)."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2 or not all(isinstance(t, Tensor) for t in batch):
            raise TypeError(f"MixUp: needs a batch (x, y) of two Tensors, got {type(batch).__name__}")
        x, y = batch[0].array, batch[1].array
        if x.dtype.kind != "f" or x.ndim < 2 or len(x) != len(y):
            raise ValueError(
                f"MixUp: needs floating-point x (N, …) and labels (N) or (N, C), got {x.dtype} {x.shape}, {y.shape}"
            )
        q = self.distributions(y, x)
        rng = rng_of(self.generator)
        λ, partner = rng.beta(self.alpha, self.alpha, len(x)), rng.permutation(len(x))
        return Tensor(mixed(x, λ, partner)), Tensor(mixed(q, λ, partner))

    def distributions(self, y: Array, x: Array) -> Array:
        """Labels as rows (N, C); classes in the dtype of x."""
        if y.ndim == 2 and y.dtype.kind == "f":
            return y
        C = self.num_classes
        if y.ndim != 1 or y.dtype.kind not in "iu" or C is None:
            raise ValueError(
                f"MixUp: needs distributions (N, C), or classes (N) and num_classes; got {y.dtype} {y.shape} and {C}"
            )
        if y.size and not (y.min() >= 0 and y.max() < C):
            raise ValueError(f"MixUp: classes must lie in 0 … {C - 1}, got {y.min()} … {y.max()}")
        return np.eye(C, dtype=x.dtype)[y]

    def __repr__(self) -> str:
        return f"MixUp(alpha={self.alpha}, num_classes={self.num_classes})"
