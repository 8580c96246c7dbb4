"""Schedules: the learning rate as a function of how many steps (usually epochs) are over.

η₀ is the group's rate when the schedule is made, t the number of calls of `step()` since. The rate is always computed from
η₀ and t, so that a saved schedule continues exactly.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from minimtl.optim.optimizer import Optimizer


class LRScheduler:
    """Sets the rate of every group to `rate(η₀, t)`, at once and after every `step()`."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self.set_rates()

    def rate(self, base: float, t: int) -> float:
        """η(t) of a group whose first rate was `base`."""
        raise TypeError(f"{type(self).__name__} defines no rate")

    def set_rates(self) -> None:
        """Write the rates into the groups."""
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(base, self.last_epoch)

    def step(self) -> None:
        """One more step is over."""
        self.last_epoch += 1
        self.set_rates()

    def get_last_lr(self) -> list[float]:
        """The rates now, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands."""
        return {name: value for name, value in vars(self).items() if name not in ("optimizer", "lr_lambda")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from there."""
        vars(self).update(state_dict)


class LambdaLR(LRScheduler):
    """η = η₀ f(t)"""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        return base * self.lr_lambda(t)


class StepLR(LRScheduler):
    """η = η₀ γ^⌊t / step_size⌋"""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be at least 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        return float(base * self.gamma ** (t // self.step_size))


class MultiStepLR(LRScheduler):
    """η = η₀ γ^m,  m the number of milestones ≤ t"""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        return float(base * self.gamma ** sum(m <= t for m in self.milestones))


class CosineAnnealingLR(LRScheduler):
    """η = η_min + ½ (η₀ − η_min) (1 + cos(π t / T_max))      Loshchilov & Hutter 2017"""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2


class LinearLR(LRScheduler):
    """η = η₀ (s + (e − s) min(t / total_iters, 1)): a linear warm-up from s = start_factor to e = end_factor"""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1 or total_iters < 1:
            raise ValueError(
                "LinearLR: needs start_factor in (0, 1], end_factor in [0, 1] and total_iters ≥ 1, "
                f"got {start_factor}, {end_factor} and {total_iters}"
            )
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        return base * (self.start_factor + (self.end_factor - self.start_factor) * min(t / self.total_iters, 1))


class ReduceLROnPlateau:
    """η ← max(η · factor, min_lr) when the metric has not improved for more than `patience` steps in a row.

    Better means below best · (1 − threshold) in mode "min", above best · (1 + threshold) in mode "max". After a reduction
    `cooldown` steps are not counted.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if mode not in ("min", "max") or not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: needs mode 'min' or 'max' and 0 < factor < 1, got {mode!r} and {factor}")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.cooldown, self.min_lr = cooldown, min_lr
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    def step(self, metrics: float) -> None:
        """One more step is over, with this value of the metric."""
        value = float(metrics)
        better = value < self.best * (1 - self.threshold) if self.mode == "min" else value > self.best * (1 + self.threshold)
        if better or math.isinf(self.best):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                group["lr"] = max(group["lr"] * self.factor, self.min_lr)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    state_dict = LRScheduler.state_dict
    load_state_dict = LRScheduler.load_state_dict
    get_last_lr = LRScheduler.get_last_lr
