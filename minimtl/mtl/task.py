"""A task: what the model should be good at, how that is measured, and how much it counts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from minimtl.autograd import Tensor
from minimtl.training.metrics import METRICS


@dataclass
class Task:
    """Task k: its loss lₖ, its weight αₖ, its metrics, and where its labels come from.

    Labels are `labels[name]` where a batch has several, else the one label; `target`, if given, is applied to them, as
    `mtl.parity` makes the parity of the digit. Metrics are names from `training.METRICS`. The loss of a batch is a
    scalar, usually a mean.
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    weight: float = 1.0
    metrics: Sequence[str] = field(default_factory=list)
    target: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"Task {self.name!r}: weight must be finite and not negative, got {self.weight}")
        unknown = [m for m in self.metrics if m not in METRICS]
        if unknown:
            raise ValueError(f"Task {self.name!r}: unknown metrics {unknown}; there are {sorted(METRICS)}")

    def labels(self, y: Tensor | dict[str, Tensor]) -> Tensor:
        """The labels of this task among those of a batch."""
        if isinstance(y, dict):
            if self.name not in y:
                raise KeyError(f"task {self.name!r}: the batch has labels for {sorted(y)} only")
            y = y[self.name]
        return y if self.target is None else self.target(y)
