"""A matrix of tasks: as text, as a picture (`plot.matrix`), and as an answer to which tasks to train together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.training import Table

MOST = 10  # tasks, of which there are 115,975 partitions


@dataclass(frozen=True)
class Relatedness:
    """How tasks relate: `matrix[i, j]` is what task i does for task j, or how alike the two are."""

    tasks: list[str]
    matrix: Array

    def __post_init__(self) -> None:
        if self.matrix.shape != (len(self.tasks),) * 2 or len(set(self.tasks)) != len(self.tasks):
            raise ValueError(f"Relatedness: {self.tasks} needs a square matrix and different names, got {self.matrix.shape}")

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """What the first does for the second."""
        i, j = (self.tasks.index(k) for k in pair)
        return float(self.matrix[i, j])

    @property
    def symmetric(self) -> bool:
        """Whether the matrix is its own transpose, NaN where NaN is."""
        return bool(np.array_equal(self.matrix, self.matrix.T, equal_nan=True))

    @classmethod
    def of(cls, measure: Callable[[Any, Any], float], data: Mapping[str, Any]) -> "Relatedness":
        """The matrix of a symmetric measure of two, as `linear_cka` or `proxy_a_distance`, over {task: what it measures}.

        Each pair i ≤ j is measured once. What the measure refuses is told with both tasks.
        """
        if len(data) < 2:
            raise ValueError(f"Relatedness: needs data of at least two tasks, got {list(data)}")
        tasks, M = list(data), np.zeros((len(data), len(data)))
        for j, b in enumerate(tasks):
            for i, a in enumerate(tasks[: j + 1]):
                try:
                    M[i, j] = M[j, i] = measure(data[a], data[b])
                except (ValueError, TypeError) as error:
                    raise type(error)(f"tasks {a!r} and {b!r}: {error}") from error
        return cls(tasks, M)

    def table(self, title: str = "Relatedness") -> Table:
        """A row for each task."""
        table = Table(title, ["", *self.tasks])
        for k, row in zip(self.tasks, self.matrix, strict=True):
            table.add(k, *(f"{v:.3f}" for v in row))
        return table

    def groups(self, budget: int, alone: float | None = None) -> list[list[str]]:
        """The best partition of the tasks into at most `budget` networks: the one of the highest score.

        The score of a task is the mean of what the others in its group do for it; of a task alone it is its own entry on the diagonal,
        or `alone`. Found by looking at every partition; of several that are best, the one with the fewest groups.
        """
        K = len(self.tasks)
        if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)):
            raise ValueError(f"groups: budget must be an integer, got {budget!r}")
        if budget < 1 or K > MOST:
            raise ValueError(f"groups: needs a budget of at least 1 and at most {MOST} tasks, got {budget} and {K}")
        M = self.matrix.copy()
        if alone is not None:
            np.fill_diagonal(M, alone)
        if not np.isfinite(M).all():
            raise ValueError("groups: the matrix must be finite; where its diagonal is not, give `alone`")
        sets = [[k for k in range(K) if bits >> k & 1] for bits in range(1, 2**K)]
        values = [0.0] + [score(M[np.ix_(B, B)], np.zeros(len(B))) for B in sets]  # of each set of tasks, by its bits

        def total(label: Sequence[int]) -> float:
            bits = [0] * (max(label) + 1)
            for k, group in enumerate(label):
                bits[group] |= 1 << k
            return sum(values[b] for b in bits)

        best = max(partitions(K, budget), key=lambda label: (round(total(label), 12), -max(label)))
        found: list[list[str]] = [[] for _ in range(max(best) + 1)]
        for k, group in zip(self.tasks, best, strict=True):
            found[group].append(k)
        return found


@equation(
    "mtl.grouping",
    r"s = \sum_{j=1}^{K} \frac{\sum_{i=1}^{K} [g_i = g_j] [i \ne j] M_{ij} + [n_j = 1] M_{jj}}{\max(n_j - 1, 1)}, "
    r"\quad n_j = \sum_{i=1}^{K} [g_i = g_j]",
    shapes="M (K, K), g (K) → s ()",
    source="Standley et al. 2020, Fifty et al. 2021",
    conventions="gⱼ is the group of task j",
)
def score(M: Array, g: Array) -> float:
    """s = Σⱼ (Σᵢ [gᵢ = gⱼ] [i ≠ j] Mᵢⱼ + [nⱼ = 1] Mⱼⱼ) / max(nⱼ − 1, 1);  nⱼ = Σᵢ [gᵢ = gⱼ]"""
    same = (g[:, None] == g).astype(float)
    n, own = same.sum(axis=0), np.diag(M)
    others = (same * M).sum(axis=0) - own
    return float((np.where(n == 1, own, others) / np.maximum(n - 1, 1)).sum())


def partitions(K: int, most: int) -> Iterator[Sequence[int]]:
    """Every partition of K tasks into at most so many groups, as the group of each: counted up like digits, none more than one above
    those before it."""
    label = [0] * K
    while True:
        yield list(label)
        i = K - 1
        while i > 0 and (label[i] == max(label[:i]) + 1 or label[i] == most - 1):
            i -= 1
        if i == 0:
            return
        label[i] += 1
        label[i + 1 :] = [0] * (K - i - 1)
