"""Schedules: the learning rate as a function of how many steps (usually epochs) are over.

η₀ is the group's rate when the schedule is made, t the number of calls of `step()` since. The rate is always computed from
η₀ and t, so that a saved schedule continues exactly; two schedules on one optimiser overwrite each other, where PyTorch's
multiply: write their product as a `LambdaLR`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minimtl.equation import equation
from minimtl.optim.optimizer import Group, Optimizer


class Schedule:
    """What changes the rates of an optimiser's groups. Its state is its attributes, all but the optimiser and functions."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def groups_with(self, numbers: Sequence[float]) -> Iterable[tuple[Group, float]]:
        """The optimiser's groups, each with its number."""
        groups = self.optimizer.param_groups
        if len(groups) != len(numbers):
            name = type(self).__name__
            raise RuntimeError(f"{name}: made for {len(numbers)} groups, the optimiser has {len(groups)}; make a new schedule")
        return zip(groups, numbers, strict=True)

    def get_last_lr(self) -> list[float]:
        """The rates now, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands. (The rates themselves are in the optimiser's state.)"""
        return {name: value for name, value in vars(self).items() if name != "optimizer" and not callable(value)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from there."""
        if set(state_dict) != set(self.state_dict()):
            raise ValueError(f"{type(self).__name__}: the state must hold {list(self.state_dict())}, got {list(state_dict)}")
        vars(self).update(state_dict)


class LRScheduler(Schedule):
    """Sets the rate of every group to `rate(η₀, t)`, at once and after every `step()`."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
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
        for group, base in self.groups_with(self.base_lrs):
            group["lr"] = self.rate(base, self.last_epoch)

    def step(self) -> None:
        """One more step is over."""
        self.last_epoch += 1
        self.set_rates()


class LambdaLR(LRScheduler):
    """A rate by a function of your own, f."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    @equation("optim.lambda_lr", r"\eta(t) = \eta_0 \, f(t)", symbols={"η0": "base", "f": "LambdaLR"})
    def rate(self, base: float, t: int) -> float:
        """η(t) = η₀ f(t)"""
        return base * self.lr_lambda(t)


class StepLR(LRScheduler):
    """The rate falls by γ after every step_size steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be at least 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    @equation(
        "optim.step_lr",
        r"\eta(t) = \eta_0 \gamma^{\lfloor t / s \rfloor}",
        symbols={"η0": "base", "γ": "StepLR", "s": "StepLR"},
        conventions="s is step_size",
    )
    def rate(self, base: float, t: int) -> float:
        """η(t) = η₀ γ^{⌊t/s⌋}"""
        return float(base * self.gamma ** (t // self.step_size))


class MultiStepLR(LRScheduler):
    """The rate falls by γ at every milestone."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    @equation(
        "optim.multi_step_lr",
        r"\eta(t) = \eta_0 \gamma^k, \quad k = \sum_{m \in M} [m \le t]",
        symbols={"η0": "base", "γ": "MultiStepLR", "M": "MultiStepLR"},
        conventions="M are the milestones; one that stands there twice counts twice",
    )
    def rate(self, base: float, t: int) -> float:
        """η(t) = η₀ γᵏ,  k = Σ_{m ∈ M} [m ≤ t]"""
        return float(base * self.gamma ** sum(m <= t for m in self.milestones))


class CosineAnnealingLR(LRScheduler):
    """The rate falls along half a wave, to eta_min after T_max steps.      Loshchilov & Hutter 2017"""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    @equation(
        "optim.cosine_annealing_lr",
        r"\eta(t) = \eta_{\mathrm{min}} + \frac{1}{2} (\eta_0 - \eta_{\mathrm{min}}) (1 + \cos(\pi t / T))",
        symbols={"η0": "base", "ηmin": "CosineAnnealingLR", "T": "CosineAnnealingLR"},
        source="Loshchilov & Hutter 2017",
        conventions="t counts calls of step() from 0; T is T_max, after which the rate rises again; without restarts",
    )
    def rate(self, base: float, t: int) -> float:
        """η(t) = ηmin + 1/2 (η₀ − ηmin) (1 + cos(π t/T))"""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2


class LinearLR(LRScheduler):
    """A linear warm-up from s = start_factor to e = end_factor in T = total_iters steps."""

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

    @equation(
        "optim.linear_lr",
        r"\eta(t) = \eta_0 \, (s + (e - s) \min(t / T, 1))",
        symbols={"η0": "base", "s": "LinearLR", "e": "LinearLR", "T": "LinearLR"},
        conventions="s is start_factor, e end_factor, T total_iters",
    )
    def rate(self, base: float, t: int) -> float:
        """η(t) = η₀ (s + (e − s) min(t/T, 1))"""
        return base * (self.start_factor + (self.end_factor - self.start_factor) * min(t / self.total_iters, 1))


class ReduceLROnPlateau(Schedule):
    """The rate falls when the metric has not improved for more than `patience` steps in a row.

    Better means smaller in mode "min", larger in mode "max", by more than the threshold: see `is_better`. After a reduction
    `cooldown` steps are not counted. min_lr is one number, or one per group; a change of at most `eps` is not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs") or not 0 < factor < 1:
            raise ValueError(
                "ReduceLROnPlateau: needs mode 'min' or 'max', threshold_mode 'rel' or 'abs' and 0 < factor < 1, "
                f"got {mode!r}, {threshold_mode!r} and {factor}"
            )
        groups = len(optimizer.param_groups)
        self.min_lrs = [min_lr] * groups if isinstance(min_lr, (int, float)) else list(min_lr)
        if len(self.min_lrs) != groups:
            raise ValueError(f"ReduceLROnPlateau: min_lr must be a number or {groups}, one per group, got {min_lr}")
        super().__init__(optimizer)
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    @equation(
        "optim.reduce_lr_on_plateau.is_better",
        r"y = [s v > s m], \quad m = \begin{cases} b \, (1 + s \tau) & r = 1 \\ b + s \tau & \text{otherwise} \end{cases}",
        symbols={"v": "value", "b": "ReduceLROnPlateau", "s": "ReduceLROnPlateau", "τ": "ReduceLROnPlateau"}
        | {"r": "ReduceLROnPlateau"},
        conventions='s = 1 in mode "max", −1 in mode "min"; r = 1 in threshold_mode "rel"; b is the best so far, τ the threshold',
    )
    def is_better(self, value: float) -> bool:
        """y = [s v > s m]: whether the value v is better than the best by more than the threshold."""
        sign = 1 if self.mode == "max" else -1
        relative = self.threshold_mode == "rel"
        mark = self.best * (1 + sign * self.threshold) if relative else self.best + sign * self.threshold
        return sign * value > sign * mark

    @equation(
        "optim.reduce_lr_on_plateau",
        r"n \leftarrow \begin{cases} 0 & B = 1 \lor c > 0 \\ n + 1 & \text{otherwise} \end{cases}, \quad "
        r"\eta \leftarrow "
        r"\begin{cases} \min(\eta, \max(f \eta, \eta_{\mathrm{min}})) & n > P \\ \eta & \text{otherwise} \end{cases}, \quad "
        r"c \leftarrow \begin{cases} C & n > P \\ \max(c - 1, 0) & \text{otherwise} \end{cases}, \quad "
        r"n \leftarrow [n \le P] n",
        symbols={"B": "metrics", "η": "Group"} | dict.fromkeys(("n", "c", "f", "ηmin", "P", "C"), "ReduceLROnPlateau"),
        conventions="B = 1 where the metric is better, n counts bad steps, P is patience; f is factor; c is what is left of the "
        "cooldown C; a change by at most eps is not made",
    )
    def step(self, metrics: float) -> None:
        """One more step is over, with this value of the metric.

        n counts bad steps:  n ← 0 where B = 1 or c > 0, else n + 1
        the rate falls:      η ← min(η, max(f η, ηmin)) where n > P, else η
        steps to pass over:  c ← C where n > P, else max(c − 1, 0)
        counting anew:       n ← [n ≤ P] n
        """
        value = float(metrics)
        if self.is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in self.groups_with(self.min_lrs):
                lr = max(group["lr"] * self.factor, least)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
