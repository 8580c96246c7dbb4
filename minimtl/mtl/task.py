"""A task: what the model should be good at, how that is measured, and how much it counts."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.training.metrics import METRICS


@dataclass
class Task:
    """Task k: its loss lₖ, its weight αₖ, its metrics, and where its labels come from.

    Labels are `labels[name]` where a batch has several, else the one label; `target`, if given, is applied to them, as
    `mtl.parity` makes the parity of the digit. Metrics are names from `training.METRICS`. The loss of a batch is a
    scalar, usually a mean. A sample all of whose labels are `missing`, as −100 or NaN, does not count for this task; to leave out
    single pixels is the loss's affair (`ignore_index`).
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    weight: float = 1.0
    metrics: Sequence[str] = field(default_factory=list)
    target: Callable[[Tensor], Tensor] | None = None
    missing: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or self.name.split()[0] == "validation":
            raise ValueError(f"Task: the name must be a text that does not begin with 'validation', got {self.name!r}")
        if isinstance(self.loss, type) or not callable(self.loss):
            raise TypeError(f"Task {self.name!r}: loss must be a function or an instance, got {self.loss!r}")
        if not isinstance(self.weight, Real) or not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"Task {self.name!r}: weight must be finite and not negative, got {self.weight}")
        if isinstance(self.metrics, str):
            raise TypeError(f"Task {self.name!r}: metrics must be a list of names, got {self.metrics!r}")
        unknown = [m for m in self.metrics if m not in METRICS]
        if unknown:
            raise ValueError(f"Task {self.name!r}: unknown metrics {unknown}; there are {sorted(METRICS)}")

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """What goes wrong in this context is told with the name of the task."""
        try:
            yield
        except (ValueError, TypeError, IndexError) as error:
            raise type(error)(f"task {self.name!r}: {error}") from error

    def labels(self, y: Tensor | dict[str, Tensor]) -> Tensor:
        """The labels of this task among those of a batch."""
        if isinstance(y, dict):
            if self.name not in y:
                raise KeyError(f"task {self.name!r}: the batch has labels for {sorted(y)} only")
            y = y[self.name]
        return y if self.target is None else self.target(y)

    def labelled(self, output: Any, y: Tensor) -> tuple[Any, Tensor]:
        """The outputs and labels of the samples that have a label."""
        if self.missing is None:
            return output, y
        absent = np.isnan(y.array) if math.isnan(self.missing) else y.array == self.missing
        rows = np.flatnonzero(~absent.reshape(len(absent), -1).all(axis=1))
        if len(rows) == len(absent):
            return output, y
        return type(output)(*(o[rows] for o in output)) if isinstance(output, tuple) else output[rows], y[rows]
