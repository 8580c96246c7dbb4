"""Functions of each entry: y = f(x), and ∂L/∂x = G f′(x), with G the gradient of y."""

import numpy as np

from minimtl import kernels
from minimtl.autograd import differentiable
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.ops import check


@equation("ops.exp", r"y_i = e^{x_i}", shapes="x (n) → y (n)")
@equation("ops.exp.vjp", r"\frac{\partial L}{\partial x_i} = G_i y_i")
@differentiable
def exp(x: Array) -> Result:
    """yᵢ = e^{xᵢ}      ∂L/∂xᵢ = Gᵢ yᵢ"""
    y = np.exp(x)
    return y, lambda G: G * y


@equation("ops.log", r"y_i = \ln x_i", shapes="x (n) → y (n)", conventions="−∞ at 0, NaN below")
@equation("ops.log.vjp", r"\frac{\partial L}{\partial x_i} = \frac{G_i}{x_i}")
@differentiable
def log(x: Array) -> Result:
    """yᵢ = ln xᵢ      ∂L/∂xᵢ = Gᵢ/xᵢ      −∞ at 0, NaN below"""
    return np.log(x), lambda G: G / x


@equation("ops.sqrt", r"y_i = \sqrt{x_i}", shapes="x (n) → y (n)", conventions="NaN below 0")
@equation("ops.sqrt.vjp", r"\frac{\partial L}{\partial x_i} = \frac{G_i}{2 y_i}")
@differentiable
def sqrt(x: Array) -> Result:
    """yᵢ = √xᵢ      ∂L/∂xᵢ = Gᵢ / (2 yᵢ)      NaN below 0"""
    y = np.sqrt(x)
    return y, lambda G: G / (2 * y)


@equation("ops.abs", r"y_i = |x_i|", shapes="x (n) → y (n)", conventions="the derivative at 0 is 0")
@equation("ops.abs.vjp", r"\frac{\partial L}{\partial x_i} = G_i \, \mathrm{sign}(x_i)")
@differentiable
def abs(x: Array) -> Result:
    """yᵢ = |xᵢ|      ∂L/∂xᵢ = Gᵢ sign(xᵢ), which is 0 at 0"""
    return np.abs(x), lambda G: G * np.sign(x)


@equation("ops.sin", r"y_i = \sin x_i", shapes="x (n) → y (n)")
@equation("ops.sin.vjp", r"\frac{\partial L}{\partial x_i} = G_i \cos x_i")
@differentiable
def sin(x: Array) -> Result:
    """yᵢ = sin xᵢ      ∂L/∂xᵢ = Gᵢ cos xᵢ"""
    return np.sin(x), lambda G: G * np.cos(x)


@equation("ops.cos", r"y_i = \cos x_i", shapes="x (n) → y (n)")
@equation("ops.cos.vjp", r"\frac{\partial L}{\partial x_i} = -G_i \sin x_i")
@differentiable
def cos(x: Array) -> Result:
    """yᵢ = cos xᵢ      ∂L/∂xᵢ = −Gᵢ sin xᵢ"""
    return np.cos(x), lambda G: -G * np.sin(x)


@equation("nn.tanh", r"y_i = \tanh x_i", shapes="x (n) → y (n)")
@equation("nn.tanh.vjp", r"\frac{\partial L}{\partial x_i} = G_i \, (1 - y_i^2)")
@differentiable
def tanh(x: Array) -> Result:
    """yᵢ = tanh xᵢ      ∂L/∂xᵢ = Gᵢ (1 − yᵢ²)"""
    y = np.tanh(x)
    return y, lambda G: G * (1 - y * y)


@equation("nn.sigmoid", r"y_i = \frac{1}{1 + e^{-x_i}}", shapes="x (n) → y (n)")
@equation("nn.sigmoid.vjp", r"\frac{\partial L}{\partial x_i} = G_i y_i \, (1 - y_i)")
@differentiable
def sigmoid(x: Array) -> Result:
    """yᵢ = 1 / (1 + e^{−xᵢ})      ∂L/∂xᵢ = Gᵢ yᵢ (1 − yᵢ)"""
    y = kernels.sigmoid(x)
    return y, lambda G: G * (y * (1 - y))


@equation(
    "nn.relu",
    r"y_i = \max(x_i, 0)",
    shapes="x (n) → y (n)",
    source="Nair & Hinton 2010",
    conventions="the derivative at 0 is 0",
)
@equation("nn.relu.vjp", r"\frac{\partial L}{\partial x_i} = G_i \, [x_i > 0]")
@differentiable
def relu(x: Array) -> Result:
    """yᵢ = max(xᵢ, 0)      ∂L/∂xᵢ = Gᵢ [xᵢ > 0]"""
    y = np.maximum(x, 0)
    return y, lambda G: G * (y > 0)


@equation(
    "nn.leaky_relu",
    r"y_i = \begin{cases} x_i & x_i > 0 \\ s x_i & \text{otherwise} \end{cases}",
    symbols={"s": "negative_slope"},
    shapes="x (n) → y (n)",
    source="Maas et al. 2013",
    conventions="the derivative at 0 is s",
)
@equation(
    "nn.leaky_relu.vjp",
    r"\frac{\partial L}{\partial x_i} = \begin{cases} G_i & x_i > 0 \\ s \, G_i & \text{otherwise} \end{cases}",
)
@differentiable
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Result:
    """yᵢ = xᵢ where xᵢ > 0, else s xᵢ      ∂L/∂xᵢ = Gᵢ where xᵢ > 0, else s Gᵢ      s: negative_slope"""
    check.number("leaky_relu", "negative_slope", negative_slope)
    return np.where(x > 0, x, negative_slope * x), lambda G: np.where(x > 0, G, negative_slope * G)


@differentiable
def gelu(x: Array, approximate: str = "none") -> Result:
    """y = x Φ(x), Φ the normal distribution function; see `kernels.GELU`."""
    if approximate not in kernels.GELU:
        raise ValueError(f"gelu: approximate must be one of {tuple(kernels.GELU)}, got {approximate!r}")
    return kernels.GELU[approximate](x)


@equation(
    "nn.softplus",
    r"y_i = \begin{cases} x_i & \beta x_i > \theta \\ \frac{\ln(1 + e^{\beta x_i})}{\beta} & \text{otherwise} \end{cases}",
    symbols={"β": "beta", "θ": "threshold"},
    shapes="x (n) → y (n)",
    source="Dugas et al. 2001",
    conventions="beyond the threshold θ the function is taken for x itself, as in PyTorch",
)
@equation(
    "nn.softplus.vjp",
    r"\frac{\partial L}{\partial x_i} = \begin{cases} G_i & \beta x_i > \theta \\"
    r" \frac{G_i}{1 + e^{-\beta x_i}} & \text{otherwise} \end{cases}",
)
@differentiable
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Result:
    """yᵢ = xᵢ where β xᵢ > θ, else ln(1 + e^{β xᵢ}) / β      θ: threshold, as in PyTorch

    ∂L/∂xᵢ = Gᵢ where β xᵢ > θ, else Gᵢ / (1 + e^{−β xᵢ})
    """
    check.number("softplus", "beta", beta)
    check.number("softplus", "threshold", threshold)
    linear = x * beta > threshold
    y = np.where(linear, x, np.logaddexp(0, x * beta) / beta)
    return y, lambda G: np.where(linear, G, G * kernels.sigmoid(beta * x))
