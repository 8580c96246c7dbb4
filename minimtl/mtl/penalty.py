"""λR(θ): what the objective asks of parameters, beside the losses.      D2 §3.1.4

    mtl.Trainer(…, penalties=[mtl.Penalty(mtl.l2, 1e-4, on="shared")])

R of parameters one by one, `l1` and `l2`, takes a list of tensors. R across tasks takes {task: its parameters}, of the same shapes for
every task, and sees them as a matrix Θ (K, P), a row for each task: `l2_distance` draws the rows together, `group_lasso` makes
entries 0 for all tasks at once, `trace_norm` gives the rows few directions.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.ops import abs, cat, norm, nuclear_norm, stack

Owned = Mapping[str, Sequence[Tensor]]


@equation("mtl.l1", r"R = \sum_{i=1}^{n} |\theta_i|", symbols={"n": "θ"}, source="Tibshirani 1996")
def l1(θ: Iterable[Tensor]) -> Tensor:
    """R = Σᵢ |θᵢ|      over all numbers in θ"""
    return total(abs(p).sum() for p in θ)


@equation(
    "mtl.l2",
    r"R = \frac{1}{2} \sum_{i=1}^{n} \theta_i^2",
    symbols={"n": "θ"},
    conventions="with the factor ½: under SGD λR is the weight decay λ",
)
def l2(θ: Iterable[Tensor]) -> Tensor:
    """R = 1/2 Σᵢ θᵢ²      over all numbers in θ; its gradient is θ, so λR is what SGD calls a weight decay of λ"""
    return total(0.5 * (p * p).sum() for p in θ)


@equation(
    "mtl.l2_distance",
    r"R = \frac{1}{2} \sum_{k=1}^{K} \sum_{i=1}^{P} (\Theta_{ki} - m_i)^2, \quad m_i = \frac{1}{K} \sum_{k=1}^{K} \Theta_{ki}",
    symbols={"Θ": "θ", "K": "θ", "P": "θ"},
    source="Evgeniou, Pontil 2004",
    conventions="row k of Θ holds the parameters of task k",
)
def l2_distance(θ: Owned) -> Tensor:
    """R = 1/2 Σₖ Σᵢ (Θₖᵢ − mᵢ)²;  mᵢ = 1/K Σₖ Θₖᵢ      how far tasks are from their mean"""
    Θ = matrix("l2_distance", θ)
    away = Θ - Θ.mean(dim=0, keepdim=True)
    return 0.5 * (away * away).sum()


@equation(
    "mtl.group_lasso",
    r"R = \sum_{i=1}^{P} \sqrt{\sum_{k=1}^{K} \Theta_{ki}^2}",
    symbols={"Θ": "θ", "K": "θ", "P": "θ"},
    source="Argyriou et al. 2007",
    conventions="row k of Θ holds the parameters of task k",
)
def group_lasso(θ: Owned) -> Tensor:
    """R = Σᵢ √(Σₖ Θₖᵢ²)      entries become 0 for all tasks at once"""
    return norm(matrix("group_lasso", θ), dim=0).sum()


@equation(
    "mtl.trace_norm",
    r"R = \sum_{i=1}^{r} \sigma_i",
    symbols={"σ": "θ", "r": "θ"},
    source="Yang, Hospedales 2017",
    conventions="σ are the singular values of Θ, whose row k holds the parameters of task k",
)
def trace_norm(θ: Owned) -> Tensor:
    """R = Σᵢ σᵢ      of Θ; small where the tasks' parameters span few directions"""
    return nuclear_norm(matrix("trace_norm", θ))


def matrix(name: str, θ: Owned) -> Tensor:
    """Θ (K, P) of {task: parameters}."""
    if not isinstance(θ, Mapping) or not θ:
        raise TypeError(f"{name}: needs {{task: parameters}}, got {type(θ).__name__}")
    shapes = {k: [p.shape for p in own] for k, own in θ.items()}
    if len(set(map(str, shapes.values()))) > 1 or not next(iter(shapes.values())):
        raise ValueError(f"{name}: the tasks' parameters must have the same shapes, at least one, got {shapes}")
    return stack([cat([p.flatten() for p in own]) for own in θ.values()])


def total(terms: Iterable[Tensor]) -> Tensor:
    """Σ of tensors, at least one."""
    found = list(terms)
    if not found:
        raise ValueError("penalty: there is no parameter to be penalised")
    return sum(found[1:], found[0])


class Penalty:
    """λR(θ) of a model      R: a function of parameters; λ: `weight` ≥ 0; θ: `on`

    on "shared" is φ, "tasks" every θₖ, "all" both, as lists; "across" is {task: θₖ}, for R across tasks; a function takes the model and
    gives what R takes, as `SoftSharing.corresponding`. Parameters that are frozen count too, and stay.
    """

    def __init__(self, R: Callable[[Any], Tensor], weight: float, on: str | Callable[[Any], Any] = "all") -> None:
        if isinstance(R, type) or not callable(R):
            raise TypeError(f"Penalty: R must be a function of parameters, got {R!r}")
        if not (isinstance(weight, (int, float)) and math.isfinite(weight) and weight >= 0):
            raise ValueError(f"Penalty: weight must be finite and not negative, got {weight!r}")
        if not callable(on) and on not in ("shared", "tasks", "all", "across"):
            raise ValueError(f"Penalty: on must be 'shared', 'tasks', 'all', 'across' or a function, got {on!r}")
        self.R, self.weight, self.on = R, weight, on

    def parameters(self, model: Any) -> Any:
        """What R is of."""
        if callable(self.on):
            return self.on(model)
        if self.on != "all" and not hasattr(model, "shared_parameters"):
            raise TypeError(f"Penalty: on={self.on!r} needs a model that tells φ from θₖ, {type(model).__name__} does not")
        if self.on == "all":
            return list(model.parameters())
        if self.on == "shared":
            return list(model.shared_parameters())
        own = {k: list(model.task_parameters(k)) for k in model.heads}
        return own if self.on == "across" else [p for k in own for p in own[k]]

    def __call__(self, model: nn.Module) -> Tensor:
        """λR"""
        value = self.R(self.parameters(model))
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ValueError(f"Penalty: R must give a scalar Tensor, got {value!r:.100}")
        return self.weight * value
