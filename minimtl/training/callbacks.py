"""What else a training run does, and when: stop early, move the learning rate, thaw a layer an epoch.

A run calls, in this order: `before_epoch` and `after_epoch` around every epoch, `after_step` after each step of the optimiser, and
`finish` at the end, also when a callback has stopped it.
"""

import math
from collections.abc import Mapping
from typing import Any

from minimtl.optim.lr_scheduler import LRScheduler
from minimtl.training.metrics import METRICS


class Callback:
    """Does nothing, at any time. `run` is the trainer: it has `model`, `optimizer` and `steps`."""

    def before_epoch(self, run: Any, epoch: int, epochs: int) -> None:
        """Before epoch 1 … epochs."""

    def after_step(self, run: Any) -> None:
        """After a step of the optimiser."""

    def after_epoch(self, run: Any, row: Mapping[str, float]) -> bool:
        """After an epoch, with its row of the history; True ends the run."""
        return False

    def finish(self, run: Any) -> None:
        """After the last epoch."""


class EarlyStopping(Callback):
    """Ends the run when `monitor` has not been better for `patience` epochs, and gives the model back its best weights.

    `monitor` is a column of the history. Lower is better, or higher where its last word is a metric for which that is so; NaN never is.
    The best state, parameters and statistics, is given back at the end in any case. `best` is the best value, `epoch` its epoch.
    """

    def __init__(self, monitor: str = "validation loss", patience: int = 5, min_delta: float = 0.0) -> None:
        if not (isinstance(patience, int) and patience >= 1 and min_delta >= 0):
            raise ValueError(f"EarlyStopping: needs patience ≥ 1 and min_delta ≥ 0, got {patience} and {min_delta}")
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        last = monitor.split()[-1]
        self.sign = -1 if last in METRICS and METRICS[last].higher_is_better else 1

    def before_epoch(self, run: Any, epoch: int, epochs: int) -> None:
        if epoch == 1:
            self.best, self.epoch, self.state = math.nan, 0, dict[str, Any]()
        self.now = epoch

    def after_epoch(self, run: Any, row: Mapping[str, float]) -> bool:
        if self.monitor not in row:
            raise KeyError(f"EarlyStopping: no {self.monitor!r} is recorded; there are {list(row)}")
        value = row[self.monitor]
        if self.sign * value < self.sign * self.best - self.min_delta or (math.isnan(self.best) and not math.isnan(value)):
            self.best, self.epoch = value, self.now
            self.state = {name: t.clone() for name, t in run.model.state_dict().items()}
        return self.now - self.epoch >= self.patience

    def finish(self, run: Any) -> None:
        if self.state:
            run.model.load_state_dict(self.state)


class Scheduled(Callback):
    """Steps a schedule of learning rates, after every epoch or every step of the optimiser."""

    def __init__(self, schedule: LRScheduler, every: str = "epoch") -> None:
        if every not in ("epoch", "step"):
            raise ValueError(f"Scheduled: every must be 'epoch' or 'step', got {every!r}")
        self.schedule, self.every = schedule, every

    def after_step(self, run: Any) -> None:
        if self.every == "step":
            self.schedule.step()

    def after_epoch(self, run: Any, row: Mapping[str, float]) -> bool:
        if self.every == "epoch":
            self.schedule.step()
        return False
