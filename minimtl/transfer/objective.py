"""The objectives of transfer learning, as the documents print them. s is the source, t the target; θʹ is an update beside a fixed θ."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.nn import Module, Parameter
from minimtl.optim import Optimizer

M = TypeVar("M", bound=Module)


@equation(
    "tl.fine_tune",
    r"\theta_t^* = \arg\min_{\theta_t} L_t(\theta_t)"
    r" = \arg\min_{\theta_t} \sum_{i=1}^{N_t} l_t(f_t(x_{ti}; \theta_t), y_{ti}), \quad \theta_t \leftarrow \theta_s",
    source="D0 §3.2",
    conventions="so many steps of an optimiser from θₜ ← θₛ. Checked: of least squares it finds the known minimum; without a step it "
    "gives θₛ; θₛ is not moved",
)
def fine_tune(L: Callable[[M], Tensor], θs: M, optimizer: Callable[[Iterable[Parameter]], Optimizer], steps: int) -> M:
    """θₜ* = arg min L_t(θₜ), started at θₜ ← θₛ      D0 §3.2

    L(θ) is the loss of a model on the target, a scalar; `optimizer` makes an optimiser of parameters, as
    `lambda p: optim.SGD(p, lr=0.1)`. Returns a model of its own: θₛ stays as it is. Frozen parameters stay frozen.
    """
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"fine_tune: steps must be an integer ≥ 0, got {steps!r}")
    θt = copy.deepcopy(θs)  # θₜ ← θₛ
    rule = optimizer(θt.parameters())
    for _ in range(steps):
        rule.zero_grad()
        L(θt).backward()
        rule.step()
    return θt


@equation(
    "tl.delta",
    r"\min_{\theta'} L^{(t)}(f(x^{(t)}; \theta + \theta'), y^{(t)})",
    symbols={"x": "D", "y": "D", "t": "D"},
    source="D3 §3.2",
    conventions="the objective under the min; the pretrained θ stays; D3 §3.3 step 2.3 moves it instead",
)
def delta_loss(
    L: Callable[[Any, Tensor], Tensor],
    f: Callable[[Any, Mapping[str, Tensor]], Any],
    θ: Mapping[str, Tensor],
    θʹ: Mapping[str, Tensor],
    D: tuple[Any, Tensor],
) -> Tensor:
    """min_θ′ Lₜ(f(xₜ; θ + θ′), yₜ)      D3 §3.2

    θ, θʹ: name → parameter and its update; f(x, parameters) is the model; D = (x, y) is the target's data. The θ that is fixed
    should not require gradients; from θʹ = 0 an optimiser of θʹ walks the path that fine-tuning θ would.
    """
    if set(θ) != set(θʹ):
        raise ValueError(f"delta_loss: θ has the parameters {sorted(θ)}, θʹ {sorted(θʹ)}")
    x, y = D
    return L(f(x, {name: θ[name] + θʹ[name] for name in θ}), y)
