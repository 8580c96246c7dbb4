"""Initial numbers for parameters, drawn in place. Shapes (O, I) or (F, C, KH, KW): fan_in = C KH KW, fan_out = F KH KW.

i runs over all entries of the tensor w; u is drawn from U(0, 1), z from N(0, 1).
"""

import math

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import to_device
from minimtl.equation import equation
from minimtl.grad_mode import no_grad
from minimtl.random import Generator, rng_of


def drawn(tensor: Tensor, numbers: object) -> Tensor:
    """The tensor, now holding the numbers."""
    with no_grad():
        return tensor.copy_(Tensor(to_device(np.asarray(numbers), tensor.device)))


@equation(
    "init.uniform",
    r"w_i = a + (b - a) u_i, \quad u_i \sim U(0, 1)",
    symbols={"u": "generator"},
    unseen=("tensor",),
)
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """w ~ U(a, b):  wᵢ = a + (b − a) uᵢ"""
    return drawn(tensor, rng_of(generator).uniform(a, b, tensor.shape))


@equation(
    "init.normal",
    r"w_i = \mu + \sigma z_i, \quad z_i \sim \mathcal{N}(0, 1)",
    symbols={"z": "generator", "μ": "mean", "σ": "std"},
    unseen=("tensor",),
)
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """w ~ N(mean, std²):  wᵢ = μ + σ zᵢ"""
    return drawn(tensor, rng_of(generator).normal(mean, std, tensor.shape))


@equation("init.constant", r"w_i = \mathrm{val}", unseen=("tensor",))
def constant_(tensor: Tensor, val: float) -> Tensor:
    """wᵢ = val"""
    with no_grad():
        return tensor.fill_(val)


@equation("init.zeros", "w_i = 0", unseen=("tensor",))
def zeros_(tensor: Tensor) -> Tensor:
    """wᵢ = 0"""
    return constant_(tensor, 0.0)


@equation("init.ones", "w_i = 1", unseen=("tensor",))
def ones_(tensor: Tensor) -> Tensor:
    """wᵢ = 1"""
    return constant_(tensor, 1.0)


@equation(
    "init.fans",
    r"\mathrm{fans}(w) = (I \prod_{k \in K} k, O \prod_{k \in K} k)",
    symbols={"I": "tensor", "O": "tensor", "K": "tensor"},
    conventions="w has the shape (O, I, …), K are the sizes behind, none of a matrix; fan_in, then fan_out",
)
def fans(tensor: Tensor) -> tuple[int, int]:
    """fans(w) = (I Π_{k ∈ K} k, O Π_{k ∈ K} k)

    fan_in and fan_out: how many numbers an output is made of, and how many outputs a number goes into.
    """
    if tensor.ndim < 2:
        raise ValueError(f"init: fans need a weight of at least two axes, got shape {tensor.shape}")
    places = math.prod(tensor.shape[2:])
    return tensor.shape[1] * places, tensor.shape[0] * places


@equation(
    "init.calculate_gain",
    r"\mathrm{gain}(f) = \begin{cases} \sqrt{2} & f = \mathrm{relu} \\ \sqrt{\frac{2}{1 + s^2}} & f = \mathrm{leaky} \\ "
    r"\frac{5}{3} & f = \mathrm{tanh} \\ 1 & \text{otherwise} \end{cases}",
    symbols={"f": "nonlinearity", "relu": "nonlinearity", "leaky": "nonlinearity", "tanh": "nonlinearity", "s": "param"},
    conventions="leaky is leaky_relu, s its slope, 0.01 where it is None; otherwise: linear and sigmoid",
)
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """gain(f) = √2 where f = relu, √(2 / (1 + s²)) where f = leaky, 5/3 where f = tanh, else 1

    The factor that keeps the variance through a nonlinearity; leaky is leaky_relu and s, `param`, its slope.
    """
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


@equation(
    "init.xavier_uniform",
    r"w_i = -a + 2 a u_i, \quad "
    r"a = \mathrm{gain} \sqrt{\frac{6}{\mathrm{fan}_{\mathrm{in}} + \mathrm{fan}_{\mathrm{out}}}}, \quad u_i \sim U(0, 1)",
    symbols={"u": "generator", "fanin": "tensor", "fanout": "tensor"},
    source="Glorot & Bengio 2010; the gain is PyTorch's",
)
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """w ~ U(−a, a):  wᵢ = −a + 2 a uᵢ,  a = gain √(6 / (fan_in + fan_out))      Glorot & Bengio 2010"""
    a = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -a, a, generator)


@equation(
    "init.xavier_normal",
    r"w_i = \sigma z_i, \quad "
    r"\sigma = \mathrm{gain} \sqrt{\frac{2}{\mathrm{fan}_{\mathrm{in}} + \mathrm{fan}_{\mathrm{out}}}}, \quad "
    r"z_i \sim \mathcal{N}(0, 1)",
    symbols={"z": "generator", "fanin": "tensor", "fanout": "tensor"},
    source="Glorot & Bengio 2010; the gain is PyTorch's",
)
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """w ~ N(0, σ²):  wᵢ = σ zᵢ,  σ = gain √(2 / (fan_in + fan_out))      Glorot & Bengio 2010"""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))), generator)


def kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    """σ = gain / √fan"""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans(tensor)[mode == "fan_out"])


@equation(
    "init.kaiming_uniform",
    r"w_i = -b + 2 b u_i, \quad b = \sqrt{3} \sigma, \quad "
    r"\sigma = \frac{\mathrm{gain}(f, a)}{\sqrt{\mathrm{fan}}}, \quad u_i \sim U(0, 1)",
    symbols={"u": "generator", "gain": "calculate_gain", "f": "nonlinearity", "fan": "mode"},
    source="He et al. 2015",
    helpers=("kaiming_std",),
    conventions="fan is fan_in or fan_out, as mode says; a is the slope of leaky_relu",
    unseen=("tensor",),
)
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """w ~ U(−b, b):  wᵢ = −b + 2 b uᵢ,  b = √3 σ,  σ = gain / √fan      He et al. 2015"""
    bound = math.sqrt(3) * kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


@equation(
    "init.kaiming_normal",
    r"w_i = \sigma z_i, \quad \sigma = \frac{\mathrm{gain}(f, a)}{\sqrt{\mathrm{fan}}}, \quad z_i \sim \mathcal{N}(0, 1)",
    symbols={"z": "generator", "gain": "calculate_gain", "f": "nonlinearity", "fan": "mode"},
    source="He et al. 2015",
    helpers=("kaiming_std",),
    conventions="fan is fan_in or fan_out, as mode says; a is the slope of leaky_relu",
    unseen=("tensor",),
)
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """w ~ N(0, σ²):  wᵢ = σ zᵢ,  σ = gain / √fan      He et al. 2015"""
    return normal_(tensor, 0.0, kaiming_std(tensor, a, mode, nonlinearity), generator)
