"""Relatedness by labels: correlation and mutual information, of numbers and of classes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.relatedness.grouping import Relatedness

EULER = 0.5772156649015329
BLOCK = 512  # rows of distances at once


def label_correlation(labels: Mapping[str, Any], missing: Any = -100) -> Relatedness:
    """|ρ| of the labels of tasks, {task: (N,)}, in [0, 1]: floating-point numbers are numbers, integers and texts are classes

    Of two tasks with numbers Pearson's |ρ|, of two with classes Cramér's V, of one with each the correlation ratio η; 0 where a
    label does not vary. A label that is NaN or equals `missing` is missing; a pair is measured on the samples that have both.
    """
    return pairwise("label_correlation", labels, correlation, missing)


def label_information(labels: Mapping[str, Any], missing: Any = -100) -> Relatedness:
    """I(yⱼ; yₖ) of the labels of tasks, in nats, as `label_correlation` takes them; the diagonal of tasks with numbers is NaN (∞)."""
    return pairwise(
        "label_information",
        labels,
        lambda a, b: np.nan if a is b and numeric(a) else mutual_information(a, b),
        missing,
    )


def numeric(a: Array) -> bool:
    """Whether labels are numbers, not classes."""
    return bool(a.dtype.kind == "f")


def constant(a: Array) -> bool:
    """Whether all labels are the same: exactly, where a − mean(a) may be left with rounding errors."""
    return bool((a == a[0]).all())


def pairwise(name: str, labels: Mapping[str, Any], measure: Callable[[Array, Array], float], missing: Any) -> Relatedness:
    """The measure of every pair of tasks, on the samples that have both labels."""
    arrays = {k: np.asarray(getattr(y, "array", y)) for k, y in labels.items()}
    shapes = {k: a.shape for k, a in arrays.items()}
    if len(arrays) < 2 or len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1:
        raise ValueError(f"{name}: needs labels (N,) of at least two tasks, equally many, got {shapes}")
    for k, a in arrays.items():
        if a.dtype.kind not in "fiubU" or (numeric(a) and np.isinf(a).any()):
            raise ValueError(f"{name}: labels must be finite numbers, integers or texts, those of {k!r} are {a.dtype}, or ∞")
    there = {k: (a == a) & (a != missing) for k, a in arrays.items()}  # NaN is not equal to itself
    M = np.eye(len(arrays))
    for i, j in enumerate(arrays):
        for h, k in enumerate(arrays):
            if h > i:
                continue
            both = there[j] & there[k]
            if both.sum() < 3:
                raise ValueError(f"{name}: tasks {j!r} and {k!r} have {both.sum()} samples in common, at least 3 are needed")
            a, b = arrays[j][both], arrays[k][both]
            try:
                M[i, h] = M[h, i] = measure(a, a if i == h else b)
            except ValueError as error:
                raise ValueError(f"tasks {j!r} and {k!r}: {error}") from error
    return Relatedness(list(arrays), M)


def correlation(a: Array, b: Array) -> float:
    """|ρ|, V or η; 0 where one of the two does not vary."""
    if constant(a) or constant(b):
        return 0.0
    if numeric(a) and numeric(b):
        return min(1.0, abs(pearson(a.astype(float), b.astype(float))))
    if not numeric(a) and not numeric(b):
        return min(1.0, cramers_v(table(a, b)))
    numbers, classes = (a, b) if numeric(a) else (b, a)
    return min(1.0, correlation_ratio(numbers.astype(float), classes))


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


def mutual_information(a: Any, b: Any, neighbours: int = 3, normalised: bool = False) -> float:
    """I(a; b) ≥ 0 in nats      a, b (N,): floating-point numbers are numbers, integers and texts are classes

    Of classes by their frequencies; `normalised` divides by the geometric mean of both entropies. Of numbers by nearest neighbours
    (Kraskov et al. 2004); of one each alike (Ross 2014). Numbers are brought to one scale first, and must not repeat often: where
    more than `neighbours` samples are the same there is no distance to measure, and as integers they are classes.
    """
    x, y = (np.asarray(getattr(v, "array", v)) for v in (a, b))
    if isinstance(neighbours, bool) or not isinstance(neighbours, (int, np.integer)) or neighbours < 1:
        raise ValueError(f"mutual_information: neighbours must be an integer ≥ 1, got {neighbours!r}")
    if x.shape != y.shape or x.ndim != 1 or len(x) <= neighbours + 1:
        raise ValueError(f"mutual_information: needs two of (N,), N > {neighbours + 1}, got {x.shape} and {y.shape}")
    if any(v.dtype.kind not in "fiubU" or (numeric(v) and not np.isfinite(v).all()) for v in (x, y)):
        raise ValueError(f"mutual_information: labels must be finite numbers, integers or texts, got {x.dtype} and {y.dtype}")
    if normalised and (numeric(x) or numeric(y)):
        raise ValueError("mutual_information: normalised needs two of classes, numbers have no entropy to divide by")
    if constant(x) or constant(y):
        return 0.0
    if not numeric(x) and not numeric(y):
        return max(0.0, normalised_plug_in(x, y) if normalised else plug_in(shares(x, y)))
    if numeric(x) and numeric(y):
        return max(0.0, of_numbers(scaled(x), scaled(y), neighbours))
    numbers, classes = (x, y) if numeric(x) else (y, x)
    return max(0.0, of_both(scaled(numbers), classes, neighbours))


def shares(a: Array, b: Array) -> Array:
    """The share of the samples that each pair of classes has."""
    n = table(a, b)
    return n / n.sum()


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


@equation(
    "mtl.mutual_information.normalised",
    r"U = \frac{I(a, b)}{\sqrt{I(a, a) I(b, b)}}",
    symbols={"I": "plug_in"},
    shapes="a (N), b (N) → U ()",
    source="Strehl and Ghosh 2002",
    conventions="of classes; I(a, a) is the entropy of a",
)
def normalised_plug_in(a: Array, b: Array) -> float:
    """U = I(a, b) / √(I(a, a) I(b, b))      a, b (N,): classes, of which two or more occur"""
    I, H, K = (plug_in(shares(u, v)) for u, v in ((a, b), (a, a), (b, b)))
    return min(1.0, I / float(np.sqrt(H * K)))


def scaled(x: Array) -> Array:
    """Numbers that vary, of deviation 1, in float64."""
    x = x.astype(float)
    return x / x.std()


def kth(d: Array, k: int) -> Array:
    """The k-th smallest distance of each row, which may not be 0.      (n, N) → (n, 1)"""
    radius = np.partition(d, k - 1, axis=1)[:, k - 1 : k]
    if not radius.all():
        raise ValueError("mutual_information: too many numbers are the same; as integers they are classes")
    return radius


def digamma(n: Array) -> Array:
    """ψ(n) = −γ + Σ_{m<n} 1/m at integers n ≥ 1."""
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(n.max()) + 1))])
    return harmonic[n - 1] - EULER


@equation(
    "mtl.mutual_information.numbers",
    r"I = H_{k-1} + H_{N-1} - \frac{1}{N} \sum_{i=1}^{N} (H_{u_i} + H_{v_i}), "
    r"\quad u_i = \sum_{j=1}^{N} [j \ne i] \, [|x_i - x_j| < \varepsilon_i], "
    r"\quad v_i = \sum_{j=1}^{N} [j \ne i] \, [|y_i - y_j| < \varepsilon_i], "
    r"\quad \varepsilon_i = \min_{1 \le j \le N} "
    r"\begin{cases} d_{ij} & \sum_{l=1}^{N} [d_{il} \le d_{ij}] > k \\ \infty & \text{otherwise} \end{cases}, "
    r"\quad d_{ij} = \max(|x_i - x_j|, |y_i - y_j|), \quad H_n = \sum_{q=1}^{n} \frac{1}{q}",
    shapes="x (N), y (N) → I ()",
    source="Kraskov, Stögbauer and Grassberger 2004, the first estimator",
    conventions="εᵢ is the distance to the k-th neighbour, among those counted i itself; ψ(n) = H[n−1] − γ, and γ cancels",
)
def of_numbers(x: Array, y: Array, k: int) -> float:
    """I = H[k − 1] + H[N − 1] − 1/N Σᵢ (H[uᵢ] + H[vᵢ])      x, y (N,): numbers, of one scale

    uᵢ = Σⱼ [j ≠ i] [|xᵢ − xⱼ| < εᵢ];  vᵢ = Σⱼ [j ≠ i] [|yᵢ − yⱼ| < εᵢ];  dᵢⱼ = max(|xᵢ − xⱼ|, |yᵢ − yⱼ|);  Hₙ = Σ_q 1/q
    That is ψ(k) + ψ(N) − ⟨ψ(u + 1) + ψ(v + 1)⟩: uᵢ and vᵢ others are nearer in one coordinate than the k-th neighbour in both.
    """
    N, terms = len(x), []
    for start in range(0, N, BLOCK):
        dx, dy = (np.abs(v[start : start + BLOCK, None] - v) for v in (x, y))
        rows = np.arange(len(dx))
        dx[rows, start + rows] = dy[rows, start + rows] = np.inf  # no point is its own neighbour
        radius = kth(np.maximum(dx, dy), k)
        terms.append(digamma((dx < radius).sum(axis=1) + 1) + digamma((dy < radius).sum(axis=1) + 1))
    return float(digamma(np.array([k]))[0] + digamma(np.array([N]))[0] - np.concatenate(terms).mean())


@equation(
    "mtl.mutual_information.mixed",
    r"I = H_{N-1} + H_{k-1} - \frac{1}{N} \sum_{i=1}^{N} (H_{s_i - 1} + H_{m_i - 1}), "
    r"\quad s_i = \sum_{j=1}^{N} [c_j = c_i], "
    r"\quad m_i = \sum_{j=1}^{N} [j \ne i] \, [|x_i - x_j| \le \varepsilon_i], "
    r"\quad \varepsilon_i = \min_{1 \le j \le N} \begin{cases} |x_i - x_j| & "
    r"\sum_{l=1}^{N} [c_l = c_i \land |x_i - x_l| \le |x_i - x_j|] > k \\ \infty & \text{otherwise} \end{cases}, "
    r"\quad H_n = \sum_{q=1}^{n} \frac{1}{q}",
    shapes="x (N), c (N) → I ()",
    source="Ross 2014",
    conventions="εᵢ is the distance to the k-th neighbour of the same class; classes of k samples or fewer are left out",
)
def of_both(x: Array, c: Array, k: int) -> float:
    """I = H[N − 1] + H[k − 1] − 1/N Σᵢ (H[sᵢ − 1] + H[mᵢ − 1])      x (N,): numbers, c (N,): classes

    That is ψ(N) + ψ(k) − ⟨ψ(s) + ψ(m)⟩: mᵢ others are as near as the k-th neighbour of i's own class, which has sᵢ samples.
    """
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
        radius = kth(same, k)
        inside.append((d <= radius).sum(axis=1))
    terms = digamma(own) + digamma(np.concatenate(inside))
    return float(digamma(np.array([len(x)]))[0] + digamma(np.array([k]))[0] - terms.mean())
