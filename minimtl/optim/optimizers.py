"""The rules by which parameters move: θ a parameter, g its gradient, λ weight decay, η learning rate, t the step from 1."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.optim.optimizer import Group, Optimizer

Params = Iterable[Tensor] | Iterable[Group]


class SGD(Optimizer):
    """g ← g + λθ;  b ← μ b + (1 − d) g, b = g at first;  θ ← θ − η b, with Nesterov θ − η (g + μ b)

    The momentum μ as PyTorch has it: the rate multiplies b, not what goes into it; d is the dampening.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and no dampening")
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        mu = group["momentum"]
        if group["maximize"]:
            g = -g
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if mu:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = np.copy(g)  # an array also where g has become a NumPy scalar
            else:
                b = state["momentum_buffer"]
                b *= mu
                b += g if not group["dampening"] else (1 - group["dampening"]) * g
            b = state["momentum_buffer"]
            g = g + mu * b if group["nesterov"] else b
        p -= group["lr"] * g


class Adam(Optimizer):
    """g ← g + λθ;  m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  θ ← θ − η m̂ / (√v̂ + ε)

    m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).      Kingma & Ba 2015
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        adam_step(p, g, state, group)


class AdamW(Adam):
    """θ ← θ − η λ θ, then Adam's step without decay in the gradient.      Loshchilov & Hutter 2019"""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        p *= 1 - group["lr"] * group["weight_decay"]
        adam_step(p, g, state, group)


def kept(state: dict[str, Any], name: str, p: Array) -> Array:
    """The array that the state keeps under the name, zeros at first."""
    if name not in state:
        state[name] = np.zeros_like(p)
    return state[name]


def adam_step(p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
    """θ ← θ − η m̂ / (√v̂ + ε)"""
    (beta1, beta2), t = group["betas"], state.get("step", 0) + 1
    m, v, state["step"] = kept(state, "exp_avg", p), kept(state, "exp_avg_sq", p), t
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    root = np.sqrt(v)
    root *= 1 / math.sqrt(1 - beta2**t)
    root += group["eps"]
    p -= (group["lr"] / (1 - beta1**t)) * (m / root)


class RMSprop(Optimizer):
    """g ← g + λθ;  v ← α v + (1 − α) g²;  u = g / (√v + ε);  b ← μ b + u;  θ ← θ − η b

    `centered` takes √(v − a²) for √v, with a ← α a + (1 − α) g.      Hinton's lecture 6e; Graves 2013
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=centered)

    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        alpha = group["alpha"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        v = kept(state, "square_avg", p)
        v *= alpha
        v += (1 - alpha) * (g * g)
        if group["centered"]:
            a = kept(state, "grad_avg", p)
            a *= alpha
            a += (1 - alpha) * g
            v = np.maximum(v - a * a, 0)  # rounding may take a variance below 0
        u = g / (np.sqrt(v) + group["eps"])
        if group["momentum"]:
            b = kept(state, "momentum_buffer", p)
            b *= group["momentum"]
            b += u
            u = b
        p -= group["lr"] * u
