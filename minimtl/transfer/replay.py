"""Replay: some samples of an old task in every batch of the new one, so that it is not forgotten.      D4 §5

buffer = transfer.Reservoir(200)
for x, y in old_loader:
    buffer.add(x, y)
Trainer(…).fit(transfer.Replay(new_loader, buffer, n=16), …)
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.ops import cat, full
from minimtl.random import Generator, rng_of

Batch = tuple[Tensor, Any]  # x (N, …), and y (N, …) or {task: y}


class Reservoir:
    """A fixed number of samples, each that was ever added with the same probability m/t      Vitter 1985

    m: `capacity`; t: how many were added, which need not be known before. Samples are copied.
    """

    def __init__(self, capacity: int, generator: Generator | None = None) -> None:
        if not isinstance(capacity, int) or capacity < 0:
            raise ValueError(f"Reservoir: capacity must be an integer ≥ 0, got {capacity!r}")
        self.capacity, self.generator = capacity, generator
        self.samples: list[Batch] = []  # of one sample each
        self.added = 0

    def __len__(self) -> int:
        return len(self.samples)

    def add(self, x: Tensor, y: Any) -> None:
        """Offer all samples of a batch: x (N, …) with y (N, …), or {task: y}."""
        labels = list(y.values()) if isinstance(y, Mapping) else [y]
        if not all(isinstance(t, Tensor) and t.shape[:1] == x.shape[:1] for t in (x, *labels)) or x.ndim == 0:
            raise ValueError("Reservoir: needs a Tensor of inputs and a label for each, one Tensor or {task: Tensor}")
        for n in range(len(x.array)):
            self.added += 1
            j = place(float(rng_of(self.generator).random()), self.added, self.capacity)
            if j <= self.capacity:
                row = {k: one(t, n) for k, t in y.items()} if isinstance(y, Mapping) else one(y, n)
                self.samples[j - 1 : j] = [(one(x, n), row)]

    def draw(self, n: int) -> Batch:
        """A batch (x, y) of n different samples, or of all where there are fewer."""
        if not self.samples:
            raise ValueError("Reservoir: there is no sample to draw")
        chosen = rng_of(self.generator).choice(len(self.samples), min(n, len(self.samples)), replace=False)
        return joined([self.samples[i] for i in chosen])


def one(t: Tensor, n: int) -> Tensor:
    """Row n as a batch of one: a copy, for a view would keep the whole batch."""
    return Tensor(t.array[n : n + 1].copy())


@equation(
    "tl.reservoir",
    r"j = \begin{cases} t & t \le m \\ \lfloor u t \rfloor + 1 & \text{otherwise} \end{cases}",
    source="Vitter 1985",
    conventions="the t-th sample takes place j of m, and where j > m none; u ~ U(0, 1)",
)
def place(u: float, t: int, m: int) -> int:
    """j = t where t ≤ m, else ⌊u t⌋ + 1"""
    return t if t <= m else math.floor(u * t) + 1


class Replay:
    """The batches of a loader, each with n samples of a buffer behind its own; of an empty buffer the batches as they are.

    Labels are one Tensor on both sides, or {task: labels} on both: for a task that only one side has, the others' labels are
    `missing`, −100 of integers and NaN of other numbers, as `mtl.Task(…, missing=…)` leaves out.
    """

    def __init__(self, loader: Iterable[Any], buffer: Reservoir, n: int) -> None:
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"Replay: n must be an integer ≥ 1, got {n!r}")
        self.loader, self.buffer, self.n = loader, buffer, n

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            yield joined([batch, self.buffer.draw(self.n)]) if len(self.buffer) else batch


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches (x, y) as one."""
    xs, ys = [x for x, _ in batches], [y for _, y in batches]
    named = [isinstance(y, Mapping) for y in ys]
    if not all(isinstance(x, Tensor) for x in xs) or any(named) != all(named):
        kinds = sorted({f"{type(x).__name__} with {type(y).__name__}" for x, y in batches})
        raise TypeError(f"Replay: needs Tensors of inputs, and either one label everywhere or {{task: label}}, got {kinds}")
    if not any(named):
        return cat(xs), cat(ys)
    like = {k: t for y in ys for k, t in y.items()}
    return cat(xs), {k: cat([y[k] if k in y else absent(len(x.array), t) for x, y in batches]) for k, t in like.items()}


def absent(n: int, like: Tensor) -> Tensor:
    """n labels that are missing."""
    return full((n, *like.shape[1:]), np.nan if like.dtype.kind == "f" else -100, dtype=str(like.dtype))
