"""The linear layer."""

import math

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result


@equation(
    "nn.linear",
    r"y_{n,o} = \sum_{i=1}^{I} x_{n,i} w_{o,i} + b_o",
    shapes="x (N, I), w (O, I), b (O) → y (N, O)",
    source="D0-a and D1, the listings",
)
@equation("nn.linear.vjp.x", r"\frac{\partial L}{\partial x_{n,i}} = \sum_{o=1}^{O} g_{n,o} w_{o,i}", part="gx")
@equation("nn.linear.vjp.w", r"\frac{\partial L}{\partial w_{o,i}} = \sum_{n=1}^{N} g_{n,o} x_{n,i}", part="gw")
@equation("nn.linear.vjp.b", r"\frac{\partial L}{\partial b_o} = \sum_{n=1}^{N} g_{n,o}", part="gb")
def linear(x: Array, w: Array, b: Array | None) -> Result:
    """yₙₒ = Σᵢ xₙᵢ wₒᵢ + bₒ, as matrices y = x wᵀ + b      (…, I), (O, I), (O) → (…, O), n all of … as one axis of M

    ∂L/∂xₙᵢ = Σₒ gₙₒ wₒᵢ      ∂L/∂wₒᵢ = Σₙ gₙₒ xₙᵢ      ∂L/∂bₒ = Σₙ gₙₒ
    """
    (O, I), M = w.shape, math.prod(x.shape[:-1])
    y = np.matmul(x, w.T)  # (…, I) @ (I, O) → (…, O)
    if b is not None:
        y += b

    def gx(g: Array) -> Array:
        return np.matmul(g, w)  # (…, O) @ (O, I) → (…, I)

    def gw(g: Array) -> Array:
        return g.reshape(M, O).T @ x.reshape(M, I)  # (O, M) @ (M, I) → (O, I)

    def gb(g: Array) -> Array:
        return np.ones_like(g, shape=M) @ g.reshape(M, O)  # (M) @ (M, O) → (O); faster than a sum over rows

    return y, gx, gw, gb
