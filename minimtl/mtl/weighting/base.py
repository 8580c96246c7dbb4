"""What a weighting is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl.gradients import Losses
from minimtl.ops import stack


@dataclass
class Batch:
    """What a batch gave: the loss of each task, how many labels it is the mean of, and its metrics.

    norms     task → ‖∇ Lₖ‖ by the parameters that `Weighting.measured` names, where it names any
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)


class Weighting(nn.Module, ABC):
    """F(L₁, …, L_K) → scalar      the objective of the losses; αₖ = ∂F/∂Lₖ are the weights that it gives to the tasks

    Subclasses write `objective`. Parameters of their own (σ, w) are Parameters made in `begin`; the Trainer adds them to the
    optimiser, in a group without decay, at the rate `lr` where that is no None.
    """

    lr: float | None = None

    def begin(self, tasks: Sequence[str]) -> None:
        """The tasks are known: forget everything, make parameters."""
        self.tasks = list(tasks)

    @abstractmethod
    def objective(self, L: Tensor, now: Array) -> Tensor:
        """F of the losses L (K′,) of the tasks with the numbers `now` (K′,): all, but where tasks take turns or lack labels."""

    def observe(self, batch: Batch) -> None:
        """A batch is about to be weighed: for weightings that need more of it than the losses."""

    def after_step(self, losses: Callable[[], Losses]) -> None:
        """The step is done; `losses()` are those of the same batch now."""

    def after_epoch(self, losses: Mapping[str, float]) -> None:
        """An epoch is over, in which the mean losses were these."""

    def measured(self, shared: Sequence[nn.Parameter]) -> Sequence[nn.Parameter]:
        """The parameters by which the gradient norms of the tasks are wanted; φ is `shared`. Usually none."""
        return ()

    def trained(self) -> Iterator[nn.Parameter]:
        """The parameters that the Trainer's optimiser trains along with the model."""
        return self.parameters()

    def forward(self, L: Losses) -> Tensor:
        """F of {task: loss}."""
        unknown = sorted(set(L) - set(self.tasks))
        if unknown or not L:
            raise ValueError(f"{type(self).__name__}: needs losses of {self.tasks}, got those of {list(L)}")
        return self.objective(stack([loss.reshape(()) for loss in L.values()]), np.array([self.tasks.index(k) for k in L]))

    def weights(self, L: Losses) -> dict[str, float]:
        """{task: αₖ = ∂F/∂Lₖ}. The gradients of the weighting's own parameters are left in their `.grad`."""
        leaves = {k: Tensor(loss.array, requires_grad=True) for k, loss in L.items()}
        self(leaves).backward()
        return {k: 0.0 if leaf.grad is None else leaf.grad.item() for k, leaf in leaves.items()}

    def refuse(self, L: Tensor, now: Array, wrong: Array, need: str) -> None:
        """Raise an error that names the first task whose loss is wrong."""
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"{type(self).__name__}: losses must be {need}, that of {self.tasks[now[i]]!r} is {L.array[i]:.6g}"
            )


class Function(Weighting):
    """F is any function of the losses, (K′,) → scalar, as `lambda L: (L ** 2).sum()`."""

    def __init__(self, F: Callable[[Tensor], Tensor]) -> None:
        self.F = F

    def objective(self, L: Tensor, now: Array) -> Tensor:
        value = self.F(L)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ValueError(f"weighting: the function must give a scalar Tensor, got {value!r}")
        return value


class Normalised(Weighting):
    """αₖ′ = K αₖ / Σⱼ αⱼ: another weighting's weights, of mean 1, so that methods are compared at one learning rate."""

    def __init__(self, weighting: Weighting) -> None:
        self.weighting = weighting

    def begin(self, tasks: Sequence[str]) -> None:
        super().begin(tasks)
        self.weighting.begin(tasks)
        self.lr = self.weighting.lr

    def observe(self, batch: Batch) -> None:
        self.weighting.observe(batch)

    def after_step(self, losses: Callable[[], Losses]) -> None:
        self.weighting.after_step(losses)

    def after_epoch(self, losses: Mapping[str, float]) -> None:
        self.weighting.after_epoch(losses)

    def measured(self, shared: Sequence[nn.Parameter]) -> Sequence[nn.Parameter]:
        return self.weighting.measured(shared)

    def trained(self) -> Iterator[nn.Parameter]:
        return self.weighting.trained()

    def objective(self, L: Tensor, now: Array) -> Tensor:
        return self.weighting.objective(L, now)

    def weights(self, L: Losses) -> dict[str, float]:
        return normalised(self.weighting.weights(L))


@equation(
    "mtl.normalised_weights",
    r"\alpha'_k = \frac{K \alpha_k}{\sum_{j=1}^{K} \alpha_j}",
    symbols={"K": "α"},
    conventions="weights act as a learning rate: of mean 1 they do not",
)
def normalised(α: Mapping[str, float]) -> dict[str, float]:
    """α′ₖ = K αₖ / (Σⱼ αⱼ)"""
    total = sum(α.values())
    if total <= 0:
        raise FloatingPointError(f"Normalised: the weights must add up to more than 0, got {dict(α)}")
    return {k: len(α) * α[k] / total for k in α}
