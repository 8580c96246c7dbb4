"""Metrics: how good outputs are. A metric is sums over samples and a function of them, so that it is of all data, not of a batch.

    METRICS["f1"](output, target)                      of one batch
    METRICS["f1"].value(s1 + s2), sᵢ = .sums(…)        of two together

Of classes they need outputs (N, C, …), the largest of which is predicted, and classes (N, …), or distributions (N, C, …), as one-hot
labels, whose largest is the class; or outputs (N) or (N, 1) and targets 0 or 1, predicted where an output is greater than 0. Labels of
−100 do not count. Of numbers they need outputs and targets of one shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array, to_numpy
from minimtl.equation import equation

IGNORED = -100


@dataclass(frozen=True)
class Metric:
    """`value` of `sums`, which add up over batches. Better when higher, or when lower."""

    sums: Callable[[Tensor, Tensor], Array]
    value: Callable[[Array], float]
    higher_is_better: bool

    def __call__(self, output: Tensor, target: Tensor) -> float:
        """The metric of these outputs."""
        return self.value(self.sums(output, target))


# Of classes


def predicted(output: Tensor, target: Tensor) -> tuple[Array, Array, int]:
    """True classes, predicted classes, as long rows, and how many classes there are."""
    x, t = to_numpy(output.array), to_numpy(target.array)
    if x.shape == t.shape and x.ndim > 1 and x.shape[1] > 1:
        if not np.allclose(t.sum(axis=1), 1, atol=1e-3):
            raise ValueError(
                "metric: targets in the shape of the outputs must be distributions over axis 1, which add up to 1; "
                f"where each of {x.shape[1:]} outputs is 0 or 1 by itself, outputs and targets are (N, 1, …)"
            )
        t = t.argmax(axis=1)
    elif x.shape == t.shape and x.dtype.kind == "f":
        if not np.isin(t, (0, 1)).all():
            raise ValueError("metric: targets in the shape of the outputs must be 0 or 1")
        return t.ravel().astype(np.int64), (x > 0).ravel().astype(np.int64), 2
    if x.ndim < 2 or x.shape[1] < 2 or t.shape != x.shape[:1] + x.shape[2:] or t.dtype.kind not in "iu":
        raise ValueError(f"metric: needs outputs (N, C, …), C > 1, and classes (N, …), got {x.shape} and {t.dtype} {t.shape}")
    t, p = t.ravel(), x.argmax(axis=1).ravel()
    counts = t != IGNORED
    t, p = t[counts], p[counts]
    if len(t) and not (t.min() >= 0 and t.max() < x.shape[1]):
        raise ValueError(f"metric: classes must lie in 0 … {x.shape[1] - 1}, got {t.min()} … {t.max()}")
    return t, p, x.shape[1]


@equation(
    "metrics.confusion",
    r"M_{ab} = \sum_{n=0}^{N-1} [t_n = a] [x_{n,b} = \max_{0 \le c < C} x_{n,c}]",
    symbols={"x": "output", "t": "target"},
    shapes="x (N, C), t (N) → M (C, C)",
    conventions="how often class a was taken for b; where two outputs are the largest the first counts",
    base=0,
)
def confusion(output: Tensor, target: Tensor) -> Array:
    """M[a,b] = Σₙ [tₙ = a] [x[n,b] = max_c x[n,c]]      (N, C, …), (N, …) → (C, C)"""
    t, p, C = predicted(output, target)
    return np.bincount(t * C + p, minlength=C * C).reshape(C, C).astype(float)


@equation(
    "metrics.accuracy",
    r"y = \frac{\sum_{c=1}^{C} M_{cc}}{\sum_{a=1}^{C} \sum_{b=1}^{C} M_{ab}}",
    shapes="M (C, C) → y ()",
    conventions="M is metrics.confusion",
)
def accuracy(M: Array) -> float:
    """y = Σ_c M[c,c] / (Σₐ Σ_b M[a,b])      the share of samples whose largest output is that of their class"""
    return ratio(float(np.trace(M)), float(M.sum()))


@equation(
    "metrics.f1",
    r"y = \frac{1}{C} \sum_{c=1}^{C} \frac{2 M_{cc}}{\sum_{j=1}^{C} M_{cj} + \sum_{j=1}^{C} M_{jc}}",
    shapes="M (C, C) → y ()",
    conventions="macro: the mean over the classes that occur, among labels or predictions",
)
def f1_macro(M: Array) -> float:
    """y = 1/C Σ_c 2 M[c,c] / (Σⱼ M[c,j] + Σⱼ M[j,c])"""
    both = M.sum(axis=1) + M.sum(axis=0)
    return mean_of(2 * np.diag(M), both)


@equation(
    "metrics.f1_micro",
    r"y = \frac{2 \sum_{c=1}^{C} M_{cc}}{\sum_{c=1}^{C} (\sum_{j=1}^{C} M_{cj} + \sum_{j=1}^{C} M_{jc})}",
    shapes="M (C, C) → y ()",
    conventions="of samples with one label each, as here, it is the accuracy",
)
def f1_micro(M: Array) -> float:
    """y = 2 Σ_c M[c,c] / (Σ_c (Σⱼ M[c,j] + Σⱼ M[j,c]))"""
    return ratio(2 * float(np.trace(M)), float((M.sum(axis=1) + M.sum(axis=0)).sum()))


@equation(
    "metrics.iou",
    r"y = \frac{1}{C} \sum_{c=1}^{C} \frac{M_{cc}}{\sum_{j=1}^{C} M_{cj} + \sum_{j=1}^{C} M_{jc} - M_{cc}}",
    shapes="M (C, C) → y ()",
    conventions="intersection over union, the mean over the classes that occur",
)
def iou(M: Array) -> float:
    """y = 1/C Σ_c M[c,c] / (Σⱼ M[c,j] + Σⱼ M[j,c] − M[c,c])"""
    return mean_of(np.diag(M), M.sum(axis=1) + M.sum(axis=0) - np.diag(M))


def mean_of(parts: Array, wholes: Array) -> float:
    """The mean of parts/wholes over the classes that occur."""
    occurs = wholes > 0
    return float((parts[occurs] / wholes[occurs]).mean()) if occurs.any() else float("nan")


def ratio(part: float, whole: float) -> float:
    """part/whole, NaN of nothing."""
    return part / whole if whole else float("nan")


# Of numbers


def pair(output: Tensor, target: Tensor) -> tuple[Array, Array]:
    """Outputs and targets, in float64."""
    if output.shape != target.shape:
        raise ValueError(f"metric: needs outputs and targets of one shape, got {output.shape} and {target.shape}")
    return to_numpy(output.array).astype(float), to_numpy(target.array).astype(float)


@equation(
    "metrics.mse",
    r"\mathrm{mse} = \frac{1}{n} \sum_{i=1}^{n} (\hat y_i - y_i)^2",
    symbols={"ŷ": "output", "y": "target"},
    shapes="ŷ (n), y (n)",
    conventions="i runs over all entries",
)
def squares(output: Tensor, target: Tensor) -> Array:
    """mse = 1/n Σᵢ (ŷᵢ − yᵢ)²      here (Σᵢ (ŷᵢ − yᵢ)², n)"""
    ŷ, y = pair(output, target)
    return np.array([((ŷ - y) ** 2).sum(), y.size])


@equation(
    "metrics.mae",
    r"\mathrm{mae} = \frac{1}{n} \sum_{i=1}^{n} |\hat y_i - y_i|",
    symbols={"ŷ": "output", "y": "target"},
    shapes="ŷ (n), y (n)",
    conventions="i runs over all entries",
)
def distances(output: Tensor, target: Tensor) -> Array:
    """mae = 1/n Σᵢ |ŷᵢ − yᵢ|      here (Σᵢ |ŷᵢ − yᵢ|, n)"""
    ŷ, y = pair(output, target)
    return np.array([np.abs(ŷ - y).sum(), y.size])


def mean(sums: Array) -> float:
    """The first sum over the second."""
    return ratio(float(sums[0]), float(sums[1]))


@equation(
    "metrics.r2",
    r"R = 1 - \frac{\sum_{i=1}^{n} (\hat y_i - y_i)^2}{\sum_{i=1}^{n} (y_i - \bar y)^2}, \quad \bar y = \frac{1}{n} \sum_{i=1}^{n} y_i",
    symbols={"ŷ": "output", "y": "target"},
    shapes="ŷ (n), y (n)",
    conventions="R is written R²; 0 is what the mean of the targets would get. i runs over all entries",
)
def moments(output: Tensor, target: Tensor) -> Array:
    """R = 1 − Σᵢ (ŷᵢ − yᵢ)² / (Σᵢ (yᵢ − ȳ)²);  ȳ = 1/n Σᵢ yᵢ      here (Σᵢ (ŷᵢ − yᵢ)², Σᵢ yᵢ², Σᵢ yᵢ, n)"""
    ŷ, y = pair(output, target)
    return np.array([((ŷ - y) ** 2).sum(), (y**2).sum(), y.sum(), y.size])


def r2(sums: Array) -> float:
    """1 − Σ (ŷ − y)² / Σ (y − ȳ)², where Σ (y − ȳ)² = Σ y² − (Σ y)²/n: exact to about 10⁻¹⁶ ȳ² beside the variance of y"""
    residual, square, total, n = map(float, sums)
    return 1 - ratio(residual, square - total**2 / n) if n else float("nan")


METRICS = {
    "accuracy": Metric(confusion, accuracy, True),
    "f1": Metric(confusion, f1_macro, True),
    "f1_micro": Metric(confusion, f1_micro, True),
    "iou": Metric(confusion, iou, True),
    "mse": Metric(squares, mean, False),
    "mae": Metric(distances, mean, False),
    "r2": Metric(moments, r2, True),
}
SHARES = ("accuracy", "f1", "f1_micro", "iou")  # shown in percent
