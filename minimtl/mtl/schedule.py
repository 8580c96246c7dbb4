"""Schedules: which tasks take part in which step. Together, in turns, or one after the other.

A schedule is asked at the start of each epoch and yields, step by step, the tasks of the step. Where tasks have loaders of their
own it also says how long an epoch is; where all have one, an epoch is that loader, each batch for the tasks of one step.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.random import Generator, rng_of


class Schedule(ABC):
    """The order of tasks."""

    @abstractmethod
    def steps(self, samples: Mapping[str, int], epoch: int, epochs: int) -> Iterator[Sequence[str]]:
        """The tasks of step after step, without end, in an epoch of 1 … epochs; samples: {task: Nₖ}."""

    def length(self, batches: Mapping[str, int], epoch: int, epochs: int) -> int:
        """How many steps an epoch has, {task: how many batches it has}: as many as there are batches."""
        return sum(batches.values())


class Joint(Schedule):
    """All tasks at each step, as often as the longest loader has batches; shorter ones start over."""

    def length(self, batches: Mapping[str, int], epoch: int, epochs: int) -> int:
        return max(batches.values())

    def steps(self, samples: Mapping[str, int], epoch: int, epochs: int) -> Iterator[Sequence[str]]:
        while True:
            yield list(samples)


class RoundRobin(Schedule):
    """One task a step, in a fixed order, again and again: equally many steps each, so that of a long loader an epoch sees a part."""

    def steps(self, samples: Mapping[str, int], epoch: int, epochs: int) -> Iterator[Sequence[str]]:
        while True:
            yield from ([k] for k in samples)


class Sampled(Schedule):
    """One task a step, drawn with pₖ ∝ Nₖ^a      Nₖ samples; a = 0 uniform, 1 in proportion to the data, 1/T at temperature T

    `Sampled.annealed()` starts in proportion and ends near uniform: a = 1 − 0.8 (e − 1)/(E − 1) in epoch e of E; Stickland and
    Murray 2019.
    """

    def __init__(self, exponent: float = 1.0, final: float | None = None, generator: Generator | None = None) -> None:
        if not (0 <= exponent <= 1 and 0 <= (exponent if final is None else final) <= 1):
            raise ValueError(f"Sampled: exponents must lie in [0, 1], got {exponent} and {final}")
        self.exponent, self.final, self.generator = exponent, exponent if final is None else final, generator

    @classmethod
    def temperature(cls, T: float, generator: Generator | None = None) -> "Sampled":
        """pₖ ∝ Nₖ^{1/T}"""
        if not T >= 1:
            raise ValueError(f"Sampled: the temperature must be at least 1, got {T}")
        return cls(1 / T, generator=generator)

    @classmethod
    def annealed(cls, generator: Generator | None = None) -> "Sampled":
        """From a = 1 in the first epoch to a = 0.2 in the last."""
        return cls(1.0, 0.2, generator)

    def steps(self, samples: Mapping[str, int], epoch: int, epochs: int) -> Iterator[Sequence[str]]:
        a = annealed(self.exponent, self.final, epoch, epochs)
        tasks, p = list(samples), proportions(np.array(list(samples.values()), dtype=float), a)
        while True:
            yield [tasks[rng_of(self.generator).choice(len(tasks), p=p)]]


@equation("mtl.sampling", r"p_k = \frac{N_k^a}{\sum_{j=1}^{K} N_j^a}", symbols={"K": "N"}, source="Aharoni et al. 2019")
def proportions(N: Array, a: float) -> Array:
    """pₖ = Nₖᵃ / (Σⱼ Nⱼᵃ)      (K,) → (K,)"""
    return N**a / (N**a).sum()


@equation(
    "mtl.annealed_sampling",
    r"a = b + (c - b) \frac{e - 1}{E - 1}",
    symbols={"b": "first", "c": "final", "e": "epoch", "E": "epochs"},
    source="Stickland and Murray 2019",
    conventions="from b in the first epoch to c in the last; of one epoch b",
)
def annealed(first: float, final: float, epoch: int, epochs: int) -> float:
    """a = b + (c − b) (e − 1) / (E − 1)"""
    return first + (final - first) * (epoch - 1) / max(epochs - 1, 1)


class Sequential(Schedule):
    """One task after the other, each for its share of the epochs: D3-a's listing. What comes later may be learnt at the expense
    of what came before: `mtl.evaluation.forgetting` says how much.
    """

    def __init__(self, order: Sequence[str] | None = None) -> None:
        self.order = order

    def now(self, tasks: Sequence[str], epoch: int, epochs: int) -> str:
        """The task of the epoch."""
        order = list(tasks if self.order is None else self.order)
        if sorted(order) != sorted(tasks) or epochs % len(order):
            raise ValueError(
                f"Sequential: needs an order of {list(tasks)} and a multiple of as many epochs, got {order}, {epochs}"
            )
        return order[(epoch - 1) * len(order) // epochs]

    def length(self, batches: Mapping[str, int], epoch: int, epochs: int) -> int:
        return batches[self.now(list(batches), epoch, epochs)]

    def steps(self, samples: Mapping[str, int], epoch: int, epochs: int) -> Iterator[Sequence[str]]:
        while True:
            yield [self.now(list(samples), epoch, epochs)]
