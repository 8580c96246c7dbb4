"""Penalties that hold parameters near where they started: towards a source's θₛ, or towards what an old task needs.      D3 §8, D4 §5

    model = …                                                         θₜ ← θₛ, under a new head
    mtl.Trainer(…, penalties=[transfer.l2_sp(model, alpha=0.1, new="fc")])

    F = transfer.fisher(model, old_loader, task="old")                after training on the old task
    mtl.Trainer(…, penalties=[transfer.ewc(model, F, weight=100.0)])

Where a model is at the call is what it is held to: the numbers are copied.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor, grad
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.grad_mode import enable_grad
from minimtl.mtl.penalty import Penalty, l2, total
from minimtl.nn.functional import cross_entropy
from minimtl.nn.utils import evaluating
from minimtl.ops import full, softmax
from minimtl.transfer.freezing import Patterns, matching


@equation(
    "tl.ewc",
    r"R = \frac{1}{2} \sum_{i=1}^{n} F_i (\theta_i - s_i)^2",
    symbols={"n": "s"},
    source="Kirkpatrick et al. 2017",
    conventions="s is θ after the old task, F its Fisher information there; with F = 1 it is L2-SP without β",
)
def anchored(θ: Sequence[Tensor], s: Sequence[Tensor], F: Sequence[Tensor | float]) -> Tensor:
    """R = 1/2 Σᵢ Fᵢ (θᵢ − sᵢ)²      over all numbers"""
    return total(0.5 * (f * (p - at) * (p - at)).sum() for p, at, f in zip(θ, s, F, strict=True))


@equation(
    "tl.l2_sp",
    r"R = \frac{\alpha}{2} \sum_{i=1}^{n} (w_i - s_i)^2 + \frac{\beta}{2} \sum_{j=1}^{m} v_j^2",
    symbols={"n": "s", "m": "v"},
    source="Li et al. 2018",
    conventions="w are the parameters that the source has, s where they start, v the new ones",
)
def from_start(w: Sequence[Tensor], s: Sequence[Tensor], v: Sequence[Tensor], α: float, β: float) -> Tensor:
    """R = α/2 Σᵢ (wᵢ − sᵢ)² + β/2 Σⱼ vⱼ²      over all numbers"""
    terms = [α * anchored(w, s, [1.0] * len(s))] if w else []
    return total([*terms, β * l2(v)] if v else terms)


def l2_sp(model: nn.Module, alpha: float, beta: float = 0.01, new: Patterns = ()) -> Penalty:
    """α/2 ‖w − w₀‖² + β/2 ‖v‖²      a penalty: w₀ is what `model` is now, v what the names or patterns `new` match, the new head

    Under SGD it is a weight decay towards w₀. A penalty of a model with other parameters is refused.
    """
    if not all(math.isfinite(a) and a >= 0 for a in (alpha, beta)):
        raise ValueError(f"l2_sp: alpha and beta must be finite and not negative, got {alpha} and {beta}")
    fresh = matching(model, [new] if isinstance(new, str) else new)
    own = dict(model.named_parameters())
    heads = {p for name, p in model.named_parameters(remove_duplicate=False) if name in fresh}
    start = {name: p.detach().clone() for name, p in own.items() if p not in heads}
    shapes = {name: p.shape for name, p in own.items()}

    def R(θ: Mapping[str, Tensor]) -> Tensor:
        check_shapes("l2_sp", shapes, θ)
        v = [p for name, p in θ.items() if name not in start]
        return from_start([θ[name] for name in start], list(start.values()), v, alpha, beta)

    return Penalty(R, 1.0, on=parameters)


def ewc(model: nn.Module, fisher: Mapping[str, Tensor], weight: float) -> Penalty:
    """λ/2 Σᵢ Fᵢ (θᵢ − θ*ᵢ)²      a penalty: θ* is what `model` is now, F of `transfer.fisher`, λ: `weight`; Kirkpatrick et al. 2017

    It holds the parameters that F names. After several old tasks: one penalty for each.
    """
    own = dict(model.named_parameters(remove_duplicate=False))
    unknown = [name for name in fisher if name not in own or own[name].shape != fisher[name].shape]
    if unknown or not fisher:
        raise ValueError(
            f"ewc: fisher must be {{parameter: Tensor of its shape}} of {type(model).__name__}, got also {unknown}"
        )
    F = {name: f.detach().clone() for name, f in fisher.items()}
    if not all(np.isfinite(f.array).all() and (f.array >= 0).all() for f in F.values()):
        raise ValueError("ewc: fisher must be finite and not negative")
    start = {name: own[name].detach().clone() for name in F}

    def R(θ: Mapping[str, Tensor]) -> Tensor:
        check_shapes("ewc", {name: s.shape for name, s in start.items()}, θ)
        return anchored([θ[name] for name in start], list(start.values()), list(F.values()))

    return Penalty(R, weight, on=parameters)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """All parameters by name."""
    return dict(model.named_parameters())


def check_shapes(name: str, shapes: Mapping[str, tuple[int, ...]], θ: Mapping[str, Tensor]) -> None:
    """The parameters of these names have these shapes."""
    wrong = [n for n, shape in shapes.items() if n not in θ or θ[n].shape != shape]
    if wrong:
        raise ValueError(f"{name}: the penalty is of another model: of this one {wrong} are missing or of another shape")


@equation(
    "tl.fisher",
    r"F_i = \frac{1}{N} \sum_{n=1}^{N} \sum_{c=1}^{C} p_{nc} g_{nci}^2",
    symbols={"p": "labels", "g": "loss"},
    shapes="p (N, C), g (N, C, P) → F (P)",
    source="Kirkpatrick et al. 2017; Kunstner et al. 2019",
    conventions="g_{nc} is the gradient of the loss of sample n with label c; p_{nc} is the model's probability of c: the true Fisher "
    "information. The empirical one has p_{nc} = 1 for the label in the data, else 0",
    unseen=("model", "loader", "task"),
    helpers=("labelled", "weighed"),
)
def fisher(
    model: nn.Module,
    loader: Iterable[Any],
    task: str | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    labels: str = "model",
) -> dict[str, Tensor]:
    """Fᵢ = 1/N Σₙ Σ_c p[n,c] g[n,c,i]²      {parameter: its Fisher information, the diagonal alone}

    Of what is trained; 0 where the loss does not reach. Each sample's gradient is squared, not that of a batch's mean, which is another
    thing: samples go through one by one, in evaluation mode. labels "model": the true one, every label weighed with the model's
    probability, C passes back a sample, of logits (N, C); "data": the empirical one, with the labels of the data, of any `loss` that
    is −ln of a probability, as half the squared error. `task` picks one of {task: output}.
    """
    if labels not in ("model", "data"):
        raise ValueError(f"fisher: labels must be 'model' or 'data', got {labels!r}")
    θ = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not θ:
        raise ValueError("fisher: no parameter requires a gradient")
    F, N = {name: np.zeros_like(p.array) for name, p in θ.items()}, 0
    with evaluating(model), enable_grad():
        for x, y in loader:
            inputs, targets = (v[task] if task is not None and isinstance(v, Mapping) else v for v in (x, y))
            for xₙ, yₙ in zip(inputs.split(1), targets.split(1), strict=True):
                output = model({task: xₙ} if isinstance(x, Mapping) else xₙ)
                output = output[task] if task is not None and isinstance(output, Mapping) else output
                for p, label in labelled(output, yₙ, labels):
                    g = grad(loss(output, label), list(θ.values()), retain_graph=True, allow_unused=True)
                    for sum_, gᵢ in zip(F.values(), g, strict=True):
                        sum_ += weighed(p, gᵢ)
                N += 1
    if N == 0:
        raise ValueError("fisher: the loader gave no sample")
    return {name: Tensor((sum_ / N).astype(sum_.dtype)) for name, sum_ in F.items()}


def labelled(output: Any, y: Tensor, labels: str) -> list[tuple[float, Tensor]]:
    """Labels of one sample, each with its weight: that of the data, or all that the model holds possible."""
    if labels == "data":
        return [(1.0, y)]
    if not isinstance(output, Tensor) or output.ndim != 2:
        came = output.shape if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"fisher: labels='model' needs logits (N, C), got {came}; name a task, or take labels='data'")
    p = softmax(output.detach(), dim=1)[0].tolist()
    return [(share, full((1,), c, dtype="int64")) for c, share in enumerate(p)]


def weighed(p: float, g: Tensor | None) -> Array | float:
    """p g², 0 where there is no gradient."""
    return 0.0 if g is None else (p * g.array * g.array).astype(g.dtype)
