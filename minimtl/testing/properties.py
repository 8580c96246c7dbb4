"""What must hold of gradients in any multi-task or transfer model, as checks for a reader's own.

`losses` is a function of no arguments that runs the model and returns {task: scalar loss Lₖ}: it is called anew for every
gradient. Parameters are given as the model has them: `model.shared_parameters()`, `model.task_parameters(k)`.
All raise GradientError, whose text names the task and the parameter.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from minimtl.autograd import Tensor, grad
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.mtl import weighted_loss
from minimtl.nn import Module, Parameter
from minimtl.random import random_numbers_repeated
from minimtl.testing.differences import signed
from minimtl.testing.report import GradientError, Report
from minimtl.testing.subject import replaced

Losses = Callable[[], Mapping[str, Tensor]]


@equation(
    "mtl.own_gradient",
    r"\frac{\partial L_j}{\partial \theta_k} = 0 \quad \text{for } j \ne k",
    source="follows from D0 §3.1",
    conventions="Lⱼ(θⱼ, φ) does not contain θₖ",
    unseen=("losses", "θ"),
)
def check_own_parameters(losses: Losses, θ: Mapping[str, Iterable[Tensor]]) -> None:
    """∂Lⱼ/∂θₖ = 0 for j ≠ k, exactly, and ∂Lₖ/∂θₖ is not all 0: a task's own parameters follow its own loss alone.      D0 §3.1"""
    own = {k: list(parameters) for k, parameters in θ.items()}
    known(losses, own)
    for k, parameters in own.items():
        for j in own:
            g = gradients(losses, j, parameters)
            if j != k and any(a.any() for a in g):
                fail(f"∂L_{j}/∂θ_{k} is not 0: the loss of task {j!r} depends on parameters of task {k!r}")
            if j == k and parameters and not any(a.any() for a in g):
                fail(f"∂L_{k}/∂θ_{k} is 0: no gradient of task {k!r} arrives at its own parameters")


@equation(
    "mtl.shared_gradient",
    r"\frac{\partial L}{\partial \phi_i} = \sum_{k=1}^{K} \alpha_k \frac{\partial L_k}{\partial \phi_i}",
    symbols={"dLk_dφ": "losses", "K": "losses"},
    source="follows from D1 §3.1",
    unseen=("φ", "total", "rtol"),
)
def check_shared_parameters(
    losses: Losses,
    φ: Iterable[Tensor],
    α: Mapping[str, float],
    total: Callable[[Mapping[str, Tensor], Mapping[str, float]], Tensor] = weighted_loss,
    rtol: float = 1e-5,
) -> None:
    """∂L/∂φᵢ = Σₖ αₖ ∂Lₖ/∂φᵢ, where L = total(losses, α) is what is trained on.      D1 §3.1

    `rtol` is relative to the largest entry of all these gradients, and suits float32.
    """
    shared = list(φ)
    known(losses, α)
    with random_numbers_repeated():
        whole = slopes("L", total(losses(), α), shared)
    parts = {k: gradients(losses, k, shared) for k in α}
    wanted = [sum((α[k] * parts[k][i] for k in α), np.zeros_like(g)) for i, g in enumerate(whole)]
    equal("∂L/∂φ is not Σₖ αₖ ∂Lₖ/∂φ at shared parameter", range(len(shared)), whole, wanted, rtol)


@equation(
    "tl.delta_gradient",
    r"\frac{\partial L}{\partial \theta'_i} = \frac{\partial L}{\partial \theta_i}",
    symbols={"dL_dθ": "loss"},
    source="follows from D3 §3.2",
    conventions="both at θ + θ′",
    unseen=("model", "seed", "rtol"),
)
def check_delta(model: Module, loss: Callable[[Module], Tensor], seed: int = 0, rtol: float = 1e-5) -> None:
    """∂L/∂θ′ᵢ = ∂L/∂θᵢ, at θ + θ′: learning an update beside the fixed θ walks the path of fine-tuning.      D3 §3.2

    loss(model) is a scalar. θ are the parameters of the model, θ′ random numbers of their shapes, a tenth of their size.
    """
    rng = np.random.default_rng(seed)
    θ = {name: p.detach() for name, p in model.named_parameters()}
    if not θ:
        raise ValueError(f"check_delta: {type(model).__name__} has no parameters")
    size = {name: 0.1 * float(np.abs(p.array).mean() or 1) for name, p in θ.items()}
    θʹ = {name: Tensor((size[name] * signed(rng, p.shape)).astype(p.dtype), requires_grad=True) for name, p in θ.items()}
    moved = {name: Tensor(θ[name].array + θʹ[name].array, requires_grad=True) for name in θ}
    with random_numbers_repeated():
        by_delta = slopes("L", loss(replaced(model, {name: θ[name] + θʹ[name] for name in θ})), list(θʹ.values()))
    with random_numbers_repeated():
        by_moved = slopes("L", loss(replaced(model, moved)), list(moved.values()))
    equal("∂L/∂θ′ is not ∂L/∂θ at", list(θ), by_delta, by_moved, rtol)


def check_frozen(model: Module, frozen: Iterable[Module | Parameter], step: Callable[[], Any], steps: int = 3) -> None:
    """Frozen bytes do not change, and gradients pass through: after steps of training every other parameter has moved.

    `frozen` are modules, whose buffers count too, or parameters. `step()` is one step of training, optimiser included.
    """
    fixed = {id(t) for part in frozen for t in ([*part.parameters(), *part.buffers()] if isinstance(part, Module) else [part])}
    named = [*model.named_parameters(), *model.named_buffers()]
    stray = fixed - {id(t) for _, t in named}
    if not fixed or stray:
        raise ValueError(f"check_frozen: frozen must be parts of the model, {len(stray)} of {len(fixed)} tensors are not")
    before = {name: t.array.tobytes() for name, t in named}
    for _ in range(steps):
        step()
    for name, t in named:
        moved = t.array.tobytes() != before[name]
        if id(t) in fixed and moved:
            fail(f"{name} is frozen, and its bytes have changed after {steps} steps")
        if id(t) not in fixed and isinstance(t, Parameter) and t.requires_grad and not moved:
            fail(f"{name} is trained, and has not moved in {steps} steps: no gradient arrives at it")


def known(losses: Losses, names: Mapping[str, Any]) -> None:
    """There is a loss for every name."""
    with random_numbers_repeated():
        found = losses()
    missing = [k for k in names if k not in found]
    if missing or not names:
        raise ValueError(f"testing: there are losses of {list(found)}, parameters or weights of {list(names)}")


def gradients(losses: Losses, k: str, parameters: list[Tensor]) -> list[Array]:
    """∂Lₖ/∂p for each parameter."""
    with random_numbers_repeated():
        return slopes(f"L_{k}", losses()[k], parameters)


def slopes(name: str, L: Tensor, parameters: list[Tensor]) -> list[Array]:
    """∂L/∂p for each parameter, 0 where L does not depend on it."""
    if not L.requires_grad:
        fail(f"{name} depends on nothing that requires a gradient")
    gs = grad(L, parameters, allow_unused=True) if parameters else ()
    return [np.zeros_like(p.array) if g is None else g.array for g, p in zip(gs, parameters, strict=True)]


def equal(headline: str, names: Iterable[Any], found: list[Array], wanted: list[Array], rtol: float) -> None:
    """The arrays agree, to a part of the largest number among them all."""
    scale = max((float(np.abs(g).max(initial=0.0)) for g in wanted), default=0.0)
    for name, g, w in zip(names, found, wanted, strict=True):
        off = float(np.abs(g - w).max(initial=0.0))
        if not off <= rtol * scale:
            fail(f"{headline} {name}: off by up to {off:.3g}")


def fail(headline: str) -> NoReturn:
    """Raise the error."""
    raise GradientError(Report("property", [], "differs", headline=headline))
