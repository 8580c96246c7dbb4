"""The objectives of transfer learning, as the documents print them. s is the source, t the target; θʹ is an update beside a fixed θ.

A model is a function f(x, θ): θ(x) where θ is a module, `nn.utils.functional_call(module, θ, x)` where θ are its parameters by name.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.mtl.objective import sum_of_samples
from minimtl.nn import Module, Parameter
from minimtl.optim import Optimizer

M = TypeVar("M", bound=Module)


@equation(
    "tl.target_loss",
    r"L_t(\theta_t) = \sum_{i=1}^{N_t} l_t(f_t(x_{ti}; \theta_t), y_{ti})",
    symbols={"Lt": "target_loss", "lt": "l", "ft": "f", "θt": "θ", "x": "D", "y": "D", "N": "D", "t": "D"},
    source="D0 §3.2",
    conventions="a sum over samples, for each of which l gives a loss; of the source it is L_s(θₛ), which is minimised first",
)
def target_loss(l: Callable[[Any, Tensor], Tensor], f: Callable[[Any, Any], Any], θ: Any, D: tuple[Any, Tensor]) -> Tensor:
    """Lt(θt) = Σᵢ lt(ft(xₜᵢ; θt), yₜᵢ)      l gives a loss per sample, as with reduction "none"; D = (x, y); D0 §3.2"""
    x, y = D
    return sum_of_samples("target_loss", l(f(x, θ), y), y)


@equation(
    "tl.fine_tune",
    r"\theta_t^* = \arg\min_{\theta_t} L_t(\theta_t), \quad \theta_t \leftarrow \theta_s",
    source="D0 §3.2",
    conventions="L_t is tl.target_loss; so many steps of an optimiser, from θₜ ← θₛ, so both models are of one shape. Checked: of "
    "least squares it finds the known minimum; without a step it gives θₛ; θₛ is not moved",
)
def fine_tune(L: Callable[[M], Tensor], θs: M, optimizer: Callable[[Iterable[Parameter]], Optimizer], steps: int) -> M:
    """θₜ* = arg min L_t(θₜ), started at θₜ ← θₛ      D0 §3.2

    L(θ) is the loss of a model on the target, a scalar, as `lambda θ: target_loss(l, f, θ, D)`; `optimizer` makes an optimiser of
    parameters, as `lambda p: optim.SGD(p, lr=0.1)`. Returns a model of its own, as near the minimum as so many steps come: θₛ
    stays as it is. Frozen parameters stay frozen; statistics of batch normalisation are the copy's and move in training.
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
@equation(
    "tl.delta_path",
    r"\theta_{n,i} = \theta_i + \theta'_{n,i}",
    base=0,
    source="follows from D0 §3.2 and D3 §3.2",
    conventions="parameter i, fine-tuned for n steps from θ, beside its update after n steps of the same optimiser from θ′ = 0; "
    "without weight decay, which would pull θ′ to 0 instead of θ",
)
def delta_loss(
    L: Callable[[Any, Tensor], Tensor],
    f: Callable[[Any, Mapping[str, Tensor]], Any],
    θ: Mapping[str, Tensor],
    θʹ: Mapping[str, Tensor],
    D: tuple[Any, Tensor],
) -> Tensor:
    """min_θ′ Lₜ(f(xₜ; θ + θ′), yₜ)      D3 §3.2

    θ, θʹ: name → parameter and its update; D = (x, y) is the target's data; L compares outputs with y and gives a scalar. θ is a
    constant: no gradient goes to it. From θʹ = 0 an optimiser without weight decay walks the path of fine-tuning, but for
    rounding: θₙᵢ = θᵢ + θ′ₙᵢ. With decay it is another: of SGD that is (λ/2) ‖θʹ‖² in the objective, L2-SP.

        f = lambda x, θ: nn.utils.functional_call(model, θ, x)
        θ = dict(model.named_parameters())
    """
    if set(θ) != set(θʹ):
        raise ValueError(f"delta_loss: θ has the parameters {sorted(θ)}, θʹ {sorted(θʹ)}")
    x, y = D
    return L(f(x, {name: θ[name].detach() + θʹ[name] for name in θ}), y)
