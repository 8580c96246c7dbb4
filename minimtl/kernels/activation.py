"""Nonlinearities that need more than one NumPy function."""

import math
from functools import cache

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result


def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e⁻ˣ), written with e^{−|x|}, which cannot overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


@cache
def erf_series() -> tuple[float, ...]:
    """Chebyshev coefficients of erf(√u)/√u for u in [0, 36]; the function is entire, so 40 of them reach 1e-16."""
    roots = np.cos(math.pi * (np.arange(40) + 0.5) / 40)
    values = [math.erf(s) / s for s in np.sqrt(18 * (roots + 1))]
    return tuple(np.polynomial.chebyshev.chebfit(roots, values, 39).tolist())


def erf(x: Array) -> Array:
    """y = 2/√π ∫₀ˣ e^{−t²} dt, by Clenshaw's recurrence on `erf_series`; beyond |x| = 6 it is ±1 to the last digit."""
    inside = np.abs(x) < 6
    x = np.clip(x, -6, 6)
    t = x * x / 18 - 1
    before, last = np.zeros_like(t), np.zeros_like(t)
    first, *rest = erf_series()
    for c in reversed(rest):
        before, last = last, c + 2 * t * last - before
    return np.where(inside, x * (first + t * last - before), np.sign(x))


@equation(
    "nn.gelu",
    r"y_i = x_i \, \Phi(x_i), \quad \Phi(u) = \frac{1 + \mathrm{erf}(\frac{u}{\sqrt{2}})}{2}",
    shapes="x (n) → y (n)",
    source="Hendrycks & Gimpel 2016",
    conventions="Φ is the distribution function of the standard normal distribution, φ its density",
)
@equation(
    "nn.gelu.vjp",
    r"\frac{\partial L}{\partial x_i} = g_i \, (\Phi(x_i) + x_i \, \varphi(x_i)),"
    r" \quad \Phi(u) = \frac{1 + \mathrm{erf}(\frac{u}{\sqrt{2}})}{2},"
    r" \quad \varphi(u) = \frac{e^{-u^2 / 2}}{\sqrt{2 \pi}}",
)
def gelu_exact(x: Array) -> Result:
    """yᵢ = xᵢ Φ(xᵢ)      ∂L/∂xᵢ = gᵢ (Φ(xᵢ) + xᵢ φ(xᵢ))      Φ(u) = (1 + erf(u/√2)) / 2,  φ(u) = e^{−u²/2} / √(2π)"""
    cdf = (1 + erf(x * math.sqrt(0.5))) / 2
    return x * cdf, lambda g: g * (cdf + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


@equation(
    "nn.gelu_tanh",
    r"y_i = \frac{x_i \, (1 + t_i)}{2}, \quad t_i = \tanh(s \, (x_i + a x_i^3)), \quad s = \sqrt{\frac{2}{\pi}}, \quad a = 0.044715",
    shapes="x (n) → y (n)",
    source="Hendrycks & Gimpel 2016",
    conventions="an approximation of nn.gelu: Φ(x) ≈ (1 + t)/2",
)
@equation(
    "nn.gelu_tanh.vjp",
    r"\frac{\partial L}{\partial x_i} = g_i \left(\frac{1 + t_i}{2} + \frac{x_i}{2} (1 - t_i^2) \, s \, (1 + 3 a x_i^2)\right),"
    r" \quad t_i = \tanh(s \, (x_i + a x_i^3)), \quad s = \sqrt{\frac{2}{\pi}}, \quad a = 0.044715",
)
def gelu_tanh(x: Array) -> Result:
    """yᵢ = xᵢ (1 + tᵢ) / 2,  tᵢ = tanh(s (xᵢ + a xᵢ³)),  s = √(2/π),  a = 0.044715

    ∂L/∂xᵢ = gᵢ ((1 + tᵢ) / 2 + xᵢ/2 (1 − tᵢ²) s (1 + 3 a xᵢ²))
    """
    a, s = 0.044715, math.sqrt(2 / math.pi)
    t = np.tanh(s * (x + a * (x * x * x)))
    return x * (1 + t) / 2, lambda g: g * ((1 + t) / 2 + x * (1 - t * t) * (s / 2) * (1 + 3 * a * (x * x)))


GELU = {"none": gelu_exact, "tanh": gelu_tanh}
