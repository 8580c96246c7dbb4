"""Relatedness by labels: correlation and mutual information, of numbers and of classes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.relatedness.grouping import Relatedness

EULER = 0.5772156649015329
BLOCK = 512  # rows of distances at once


def label_correlation(labels: Mapping[str, Any]) -> Relatedness:
    """|ρ| of the labels of tasks, {task: (N,)}, in [0, 1]: integers are classes, floating-point numbers are numbers

    Of two tasks with numbers Pearson's |ρ|, of two with classes Cramér's V, of one with each the correlation ratio η. A label that
    is NaN or negative (−100) is missing; a pair of tasks is measured on the samples that have both.
    """
    return pairwise("label_correlation", labels, correlation)


def label_information(labels: Mapping[str, Any]) -> Relatedness:
    """I(yⱼ; yₖ) of the labels of tasks, in nats, as `label_correlation` takes them; the diagonal of tasks with numbers is NaN (∞)."""
    return pairwise(
        "label_information", labels, lambda a, b: np.nan if a is b and a.dtype.kind == "f" else mutual_information(a, b)
    )


def pairwise(name: str, labels: Mapping[str, Any], measure: Callable[[Array, Array], float]) -> Relatedness:
    """The measure of every pair of tasks, on the samples that have both labels."""
    arrays = {k: np.asarray(getattr(y, "array", y)) for k, y in labels.items()}
    shapes = {k: a.shape for k, a in arrays.items()}
    if len(arrays) < 2 or len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1:
        raise ValueError(f"{name}: needs labels (N,) of at least two tasks, equally many, got {shapes}")
    there = {k: np.isfinite(a) if a.dtype.kind == "f" else a >= 0 for k, a in arrays.items()}
    M = np.eye(len(arrays))
    for i, j in enumerate(arrays):
        for h, k in enumerate(arrays):
            if h > i:
                continue
            both = there[j] & there[k]
            if both.sum() < 3:
                raise ValueError(f"{name}: tasks {j!r} and {k!r} have {both.sum()} samples in common, at least 3 are needed")
            a, b = arrays[j][both], arrays[k][both]
            M[i, h] = M[h, i] = measure(a, a if i == h else b)
    return Relatedness(list(arrays), M)


def correlation(a: Array, b: Array) -> float:
    """|ρ|, V or η."""
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        return abs(pearson(a.astype(float), b.astype(float)))
    if a.dtype.kind != "f" and b.dtype.kind != "f":
        return cramers_v(table(a, b))
    numbers, classes = (a, b) if a.dtype.kind == "f" else (b, a)
    return correlation_ratio(numbers.astype(float), classes)


@equation(
    "mtl.label_correlation",
    r"\rho = \frac{\sum_{i=1}^{N} u_i v_i}{\sqrt{\sum_{i=1}^{N} u_i^2} \sqrt{\sum_{i=1}^{N} v_i^2}}, "
    r"\quad u_i = a_i - \frac{1}{N} \sum_{j=1}^{N} a_j, \quad v_i = b_i - \frac{1}{N} \sum_{j=1}^{N} b_j",
    shapes="a (N), b (N) → ρ ()",
    source="Pearson 1895",
    conventions="0 where one of the two is constant",
)
def pearson(a: Array, b: Array) -> float:
    """ρ = Σᵢ uᵢ vᵢ / (√(Σᵢ uᵢ²) √(Σᵢ vᵢ²));  uᵢ = aᵢ − 1/N Σⱼ aⱼ;  vᵢ = bᵢ − 1/N Σⱼ bⱼ"""
    u, v = a - a.mean(), b - b.mean()
    size = np.sqrt((u * u).sum()) * np.sqrt((v * v).sum())
    return float((u * v).sum() / size) if size > 0 else 0.0


def table(a: Array, b: Array) -> Array:
    """How often each pair of classes occurs, those that occur."""
    (first, rows), (second, columns) = (np.unique(x, return_inverse=True) for x in (a, b))
    return np.bincount(rows * len(second) + columns, minlength=len(first) * len(second)).reshape(len(first), -1).astype(float)


@equation(
    "mtl.cramers_v",
    r"V = \sqrt{\frac{1}{q} (\sum_{a=1}^{A} \sum_{b=1}^{B} \frac{n_{ab}^2}{r_a c_b} - 1)}, "
    r"\quad r_a = \sum_{b=1}^{B} n_{ab}, \quad c_b = \sum_{a=1}^{A} n_{ab}, \quad q = \min(A, B) - 1",
    shapes="n (A, B) → V ()",
    source="Cramér 1946",
    conventions="nₐb samples are of class a in one task and b in the other; 0 where a task has one class",
)
def cramers_v(n: Array) -> float:
    """V = √(1/q (Σₐ Σ_b n[a,b]² / (rₐ c[b]) − 1));  rₐ = Σ_b n[a,b];  c[b] = Σₐ n[a,b];  q = min(A, B) − 1"""
    q = min(n.shape) - 1
    if q == 0:
        return 0.0
    r, c = n.sum(axis=1, keepdims=True), n.sum(axis=0, keepdims=True)
    return float(np.sqrt(max(((n * n / (r * c)).sum() - 1) / q, 0.0)))


@equation(
    "mtl.correlation_ratio",
    r"\eta = \sqrt{\frac{\sum_{i=1}^{N} (m_i - \bar y)^2}{\sum_{i=1}^{N} (y_i - \bar y)^2}}, "
    r"\quad \bar y = \frac{1}{N} \sum_{i=1}^{N} y_i, \quad m_i = \frac{\sum_{j=1}^{N} [c_j = c_i] y_j}{\sum_{j=1}^{N} [c_j = c_i]}",
    shapes="y (N), c (N) → η ()",
    source="Pearson 1905",
    conventions="y numbers, c classes, mᵢ the mean of y in the class of i",
)
def correlation_ratio(y: Array, c: Array) -> float:
    """η = √(Σᵢ (mᵢ − ȳ)² / (Σᵢ (yᵢ − ȳ)²));  ȳ = 1/N Σᵢ yᵢ;  mᵢ = Σⱼ [cⱼ = cᵢ] yⱼ / (Σⱼ [cⱼ = cᵢ])"""
    _, where = np.unique(c, return_inverse=True)
    m = (np.bincount(where, weights=y) / np.bincount(where))[where]
    spread = ((y - y.mean()) ** 2).sum()
    return float(np.sqrt(((m - y.mean()) ** 2).sum() / spread)) if spread > 0 else 0.0


# Mutual information


def mutual_information(a: Any, b: Any, neighbours: int = 3) -> float:
    """I(a; b) ≥ 0 in nats      a, b (N,): integers are classes, floating-point numbers are numbers

    Of classes by their frequencies; of numbers by nearest neighbours (Kraskov et al. 2004); of one each alike (Ross 2014). Numbers
    are brought to one scale first, and must not repeat often.
    """
    x, y = (np.asarray(getattr(v, "array", v)) for v in (a, b))
    if x.shape != y.shape or x.ndim != 1 or len(x) <= neighbours + 1:
        raise ValueError(f"mutual_information: needs two of (N,), N > {neighbours + 1}, got {x.shape} and {y.shape}")
    if x.dtype.kind != "f" and y.dtype.kind != "f":
        n = table(x, y)
        return max(0.0, plug_in(n / n.sum()))
    if x.dtype.kind == "f" and y.dtype.kind == "f":
        return max(0.0, of_numbers(scaled(x), scaled(y), neighbours))
    numbers, classes = (x, y) if x.dtype.kind == "f" else (y, x)
    return max(0.0, of_both(scaled(numbers), classes, neighbours))


@equation(
    "mtl.mutual_information",
    r"I = \sum_{a=1}^{A} \sum_{b=1}^{B} p_{ab} \ln \frac{p_{ab}}{r_a c_b}, "
    r"\quad r_a = \sum_{b=1}^{B} p_{ab}, \quad c_b = \sum_{a=1}^{A} p_{ab}",
    shapes="p (A, B) → I ()",
    source="Shannon 1948",
    conventions="p the shares of pairs of classes; 0 ln 0 is 0. In nats",
)
def plug_in(p: Array) -> float:
    """I = Σₐ Σ_b p[a,b] ln(p[a,b] / (rₐ c[b]));  rₐ = Σ_b p[a,b];  c[b] = Σₐ p[a,b]"""
    r, c = p.sum(axis=1, keepdims=True), p.sum(axis=0, keepdims=True)
    return float((p * np.log(np.where(p > 0, p / (r * c), 1.0))).sum())


def scaled(x: Array) -> Array:
    """Numbers of deviation 1, in float64."""
    x = x.astype(float)
    return x / x.std() if x.std() > 0 else x


def digamma(n: Array) -> Array:
    """ψ(n) = −γ + Σ_{m<n} 1/m at integers n ≥ 1."""
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(n.max()) + 1))])
    return harmonic[n - 1] - EULER


def of_numbers(x: Array, y: Array, k: int) -> float:
    """ψ(k) + ψ(N) − ⟨ψ(nₓ + 1) + ψ(n_y + 1)⟩, nₓ and n_y the points nearer in one coordinate than the k-th neighbour in both."""
    N, terms = len(x), []
    for start in range(0, N, BLOCK):
        dx, dy = (np.abs(v[start : start + BLOCK, None] - v) for v in (x, y))
        rows = np.arange(len(dx))
        dx[rows, start + rows] = dy[rows, start + rows] = np.inf  # no point is its own neighbour
        radius = np.partition(np.maximum(dx, dy), k - 1, axis=1)[:, k - 1 : k]
        terms.append(digamma((dx < radius).sum(axis=1) + 1) + digamma((dy < radius).sum(axis=1) + 1))
    return float(digamma(np.array([k]))[0] + digamma(np.array([N]))[0] - np.concatenate(terms).mean())


def of_both(x: Array, c: Array, k: int) -> float:
    """ψ(N) + ψ(k) − ⟨ψ(N_c) + ψ(m)⟩, m the points as near as the k-th neighbour of one's own class; classes of one are left out."""
    _, where, sizes = np.unique(c, return_inverse=True, return_counts=True)
    kept = sizes[where] > k
    x, where = x[kept], where[kept]
    if len(x) == 0:
        raise ValueError(f"mutual_information: no class has more than {k} samples")
    own, inside = np.bincount(where, minlength=len(sizes))[where], []
    for start in range(0, len(x), BLOCK):
        d = np.abs(x[start : start + BLOCK, None] - x)
        rows = np.arange(len(d))
        d[rows, start + rows] = np.inf
        same = np.where(where[start : start + BLOCK, None] == where, d, np.inf)
        radius = np.partition(same, k - 1, axis=1)[:, k - 1 : k]
        inside.append((d <= radius).sum(axis=1))
    terms = digamma(own) + digamma(np.concatenate(inside))
    return float(digamma(np.array([len(x)]))[0] + digamma(np.array([k]))[0] - terms.mean())
