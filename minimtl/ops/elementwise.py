"""Functions of each entry: y = f(x), and ∂L/∂x = G f′(x), with G the gradient of y."""

import numpy as np

from minimtl import kernels
from minimtl.autograd import differentiable
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.ops import check


@differentiable
def exp(x: Array) -> Result:
    """y = eˣ      ∂L/∂x = G y"""
    y = np.exp(x)
    return y, lambda G: G * y


@differentiable
def log(x: Array) -> Result:
    """y = ln x      ∂L/∂x = G / x      −∞ at 0, NaN below"""
    return np.log(x), lambda G: G / x


@differentiable
def sqrt(x: Array) -> Result:
    """y = √x      ∂L/∂x = G / 2y      NaN below 0"""
    y = np.sqrt(x)
    return y, lambda G: G / (2 * y)


@differentiable
def abs(x: Array) -> Result:
    """y = |x|      ∂L/∂x = G sign x, which is 0 at 0"""
    return np.abs(x), lambda G: G * np.sign(x)


@differentiable
def sin(x: Array) -> Result:
    """y = sin x      ∂L/∂x = G cos x"""
    return np.sin(x), lambda G: G * np.cos(x)


@differentiable
def cos(x: Array) -> Result:
    """y = cos x      ∂L/∂x = −G sin x"""
    return np.cos(x), lambda G: -G * np.sin(x)


@equation("nn.tanh", r"y_i = \tanh x_i", shapes="x (n) → y (n)")
@equation("nn.tanh.vjp", r"\frac{\partial L}{\partial x_i} = G_i \, (1 - y_i^2)")
@differentiable
def tanh(x: Array) -> Result:
    """yᵢ = tanh xᵢ      ∂L/∂xᵢ = Gᵢ (1 − yᵢ²)"""
    y = np.tanh(x)
    return y, lambda G: G * (1 - y * y)


@differentiable
def sigmoid(x: Array) -> Result:
    """y = 1 / (1 + e⁻ˣ)      ∂L/∂x = G y (1 − y)"""
    y = kernels.sigmoid(x)
    return y, lambda G: G * (y * (1 - y))


@differentiable
def relu(x: Array) -> Result:
    """y = max(x, 0)      ∂L/∂x = G [x > 0]"""
    y = np.maximum(x, 0)
    return y, lambda G: G * (y > 0)


@differentiable
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Result:
    """y = x where x > 0, else s x      ∂L/∂x = G where x > 0, else s G      s: negative_slope"""
    check.number("leaky_relu", "negative_slope", negative_slope)
    return np.where(x > 0, x, negative_slope * x), lambda G: np.where(x > 0, G, negative_slope * G)


@differentiable
def gelu(x: Array, approximate: str = "none") -> Result:
    """y = x Φ(x), Φ the normal distribution function; see `kernels.GELU`."""
    if approximate not in kernels.GELU:
        raise ValueError(f"gelu: approximate must be one of {tuple(kernels.GELU)}, got {approximate!r}")
    return kernels.GELU[approximate](x)


@differentiable
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Result:
    """y = ln(1 + e^{βx}) / β      ∂L/∂x = G σ(βx)      where βx > threshold, y = x as in PyTorch"""
    check.number("softplus", "beta", beta)
    check.number("softplus", "threshold", threshold)
    linear = x * beta > threshold
    y = np.where(linear, x, np.logaddexp(0, x * beta) / beta)
    return y, lambda G: np.where(linear, G, G * kernels.sigmoid(beta * x))
