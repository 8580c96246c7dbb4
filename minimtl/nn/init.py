"""Initial numbers for parameters, drawn in place. Shapes (O, I) or (F, C, KH, KW): fan_in = C KH KW, fan_out = F KH KW."""

import math

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import to_device
from minimtl.grad_mode import no_grad
from minimtl.random import Generator, rng_of


def drawn(tensor: Tensor, numbers: object) -> Tensor:
    """The tensor, now holding the numbers."""
    with no_grad():
        return tensor.copy_(Tensor(to_device(np.asarray(numbers), tensor.device)))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """w ~ U(a, b)"""
    return drawn(tensor, rng_of(generator).uniform(a, b, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """w ~ N(mean, std²)"""
    return drawn(tensor, rng_of(generator).normal(mean, std, tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """w = val"""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """w = 0"""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """w = 1"""
    return constant_(tensor, 1.0)


def fans(tensor: Tensor) -> tuple[int, int]:
    """fan_in and fan_out: how many numbers an output is made of, and how many outputs a number goes into."""
    if tensor.ndim < 2:
        raise ValueError(f"init: fans need a weight of at least two axes, got shape {tensor.shape}")
    places = math.prod(tensor.shape[2:])
    return tensor.shape[1] * places, tensor.shape[0] * places


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity: √2 for relu, √(2 / (1 + s²)) for leaky_relu, 5/3 for tanh."""
    slope = 0.01 if param is None else param
    gains = {
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope**2)),
        "tanh": 5 / 3,
        "linear": 1.0,
        "sigmoid": 1.0,
    }
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: nonlinearity must be one of {list(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """w ~ U(−a, a),  a = gain √(6 / (fan_in + fan_out))      Glorot & Bengio 2010"""
    a = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -a, a, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """w ~ N(0, σ²),  σ = gain √(2 / (fan_in + fan_out))      Glorot & Bengio 2010"""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))), generator)


def kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    """σ = gain / √fan"""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans(tensor)[mode == "fan_out"])


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """w ~ U(−√3 σ, √3 σ),  σ = gain / √fan      He et al. 2015"""
    bound = math.sqrt(3) * kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """w ~ N(0, σ²),  σ = gain / √fan      He et al. 2015"""
    return normal_(tensor, 0.0, kaiming_std(tensor, a, mode, nonlinearity), generator)
