"""Initialisers: the tensor they fill, beside the same numbers of U(0, 1) or N(0, 1) from a generator of the same seed."""

from collections.abc import Callable

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, Values, evaluated
from minimtl.equations.draw import Draw
from minimtl.equations.numbers import Sample
from minimtl.nn import init
from minimtl.random import Generator, default_generator

SINGLE = 1e-6  # where the engine computes with float32
BOUND = ("-a + 2 a u_i", "a u_i")


def some(d: Draw, least: int = 1) -> Tensor:
    """A tensor of at least so many axes, in which other numbers stand."""
    return Tensor(d.array(*(d.size() for _ in range(d.integer(least, 4)))))


def filled(d: Draw, letter: str, w: Tensor, fill: Callable[[Generator], Tensor], values: Values) -> Drawn:
    """The values, what the formula draws from, and the entries of w once it is filled from a generator of the same seed."""
    seed = d.integer(0, 1000)
    return {**values, letter: Sample(seed, w.array.size)}, fill(Generator(seed)).array.ravel()


def fans(shape: tuple[int, ...]) -> dict[str, int]:
    """fan_in and fan_out of a weight."""
    outputs, inputs, *kernel = shape
    places = int(np.prod(kernel))
    return {"fanin": inputs * places, "fanout": outputs * places}


@evaluated("init.uniform", wrong=[("(b - a) u_i", "b u_i"), ("a + (b - a) u_i", "a u_i")])
def uniform(d: Draw) -> Drawn:
    """Any ends."""
    w, a, b = some(d), d.number(-2, 2), d.number(-2, 2)
    a, b = min(a, b), max(a, b)
    return filled(d, "u", w, lambda g: init.uniform_(w, a, b, g), {"a": a, "b": b})


@evaluated("init.normal", wrong=[(r"\sigma z_i", r"\sigma^2 z_i"), (r"\mu + \sigma z_i", r"\sigma \, (\mu + z_i)")])
def normal(d: Draw) -> Drawn:
    """Any mean and deviation."""
    w, μ, σ = some(d), d.number(-2, 2), d.number(0, 2)
    return filled(d, "z", w, lambda g: init.normal_(w, μ, σ, g), {"μ": μ, "σ": σ})


@evaluated("init.constant", wrong=[(r"\mathrm{val}", r"|\mathrm{val}|"), (r"\mathrm{val}", "1")])
def constant(d: Draw) -> Drawn:
    """Any number."""
    val = d.number(-2, 2)
    return {"val": val}, init.constant_(some(d), val).array.ravel()


@evaluated("init.zeros", wrong=[("0", "1")])
def zeros(d: Draw) -> Drawn:
    """Numbers that go."""
    return {}, init.zeros_(some(d)).array.ravel()


@evaluated("init.ones", wrong=[("1", "0")])
def ones(d: Draw) -> Drawn:
    """Numbers that go."""
    return {}, init.ones_(some(d)).array.ravel()


@evaluated(
    "init.fans",
    wrong=[
        (r"(I \prod_{k \in K} k, O \prod_{k \in K} k)", r"(O \prod_{k \in K} k, I \prod_{k \in K} k)"),
        (r"(I \prod_{k \in K} k, O", r"(I, O"),
        (r"I \prod_{k \in K} k, O \prod_{k \in K} k", r"I \sum_{k \in K} k, O \sum_{k \in K} k"),
    ],
)
def fan_in_and_out(d: Draw) -> Drawn:
    """Matrices and filters."""
    w = some(d, least=2)
    return {"O": w.shape[0], "I": w.shape[1], "K": list(w.shape[2:])}, init.fans(w)


@evaluated(
    "init.calculate_gain",
    wrong=[
        (r"\sqrt{2}", "2"),
        (r"\sqrt{\frac{2}{1 + s^2}}", r"\sqrt{\frac{2}{1 + s}}"),
        (r"\frac{5}{3}", "1"),
        ("1 & ", "0 & "),
    ],
)
def gain(d: Draw) -> Drawn:
    """Every nonlinearity, with a slope or without."""
    f, s = d.of("leaky_relu", "relu", "leaky_relu", "tanh", "linear", "sigmoid"), d.of(None, d.number(0.25, 2))
    names = {"relu": "relu", "leaky": "leaky_relu", "tanh": "tanh"}
    return {"f": f, "s": 0.01 if s is None else s, **names}, init.calculate_gain(f, s)


@evaluated(
    "init.xavier_uniform",
    wrong=[BOUND, (r"\sqrt{\frac{6}", r"\sqrt{\frac{2}"), (r" + \mathrm{fan}_{\mathrm{out}}", ""), (r"\mathrm{gain} ", "")],
)
def xavier_uniform(d: Draw) -> Drawn:
    """Matrices and filters."""
    w, gain = some(d, least=2), d.number(0.25, 2)
    return filled(d, "u", w, lambda g: init.xavier_uniform_(w, gain, g), {"gain": gain, **fans(w.shape)})


@evaluated(
    "init.xavier_normal",
    wrong=[(r"\sqrt{\frac{2}", r"\sqrt{\frac{1}"), (r" + \mathrm{fan}_{\mathrm{out}}", ""), (r"\mathrm{gain} ", "")],
)
def xavier_normal(d: Draw) -> Drawn:
    """Matrices and filters."""
    w, gain = some(d, least=2), d.number(0.25, 2)
    return filled(d, "z", w, lambda g: init.xavier_normal_(w, gain, g), {"gain": gain, **fans(w.shape)})


def kaiming(d: Draw, letter: str, f: Callable[..., Tensor]) -> Drawn:
    """Both fans, and every nonlinearity."""
    w, a, mode = some(d, least=2), d.number(0, 2), d.of("fan_in", "fan_out")
    nonlinearity = d.of("leaky_relu", "relu", "tanh", "linear", "sigmoid")
    values = {"a": a, "f": nonlinearity, "gain": init.calculate_gain, "fan": fans(w.shape)[mode.replace("_", "")]}
    return filled(d, letter, w, lambda g: f(w, a, mode, nonlinearity, g), values)


FAN = [
    (r"\sqrt{\mathrm{fan}}", r"\mathrm{fan}"),
    (r"\mathrm{gain}(f, a)", "1"),
    (r"\mathrm{gain}(f, a)", r"\mathrm{gain}(f, 0)"),
]


@evaluated("init.kaiming_uniform", wrong=[*FAN, ("-b + 2 b u_i", "b u_i"), (r"\sqrt{3}", "3"), (r"\sqrt{3} ", "")])
def kaiming_uniform(d: Draw) -> Drawn:
    """Uniform numbers."""
    return kaiming(d, "u", init.kaiming_uniform_)


@evaluated("init.kaiming_normal", wrong=[*FAN, (r"\sigma z_i", r"\sigma^2 z_i")])
def kaiming_normal(d: Draw) -> Drawn:
    """Normal numbers."""
    return kaiming(d, "z", init.kaiming_normal_)


@evaluated(
    "init.default",
    wrong=[BOUND, (r"\sqrt{\mathrm{fan}_{\mathrm{in}}}", r"\mathrm{fan}_{\mathrm{in}}"), (r"\frac{1}", r"\frac{\sqrt{3}}")],
    tolerance=SINGLE,
)
def default(d: Draw) -> Drawn:
    """Layers, made while the engine's own generator has a known seed."""
    i, o, k, bias, matrix, seed = d.size(), d.size(), d.size(), d.of(True, False), d.of(True, False), d.integer(0, 1000)
    before = default_generator.rng
    default_generator.manual_seed(seed)
    layer = nn.Linear(i, o, bias) if matrix else nn.Conv2d(i, o, k, bias=bias)
    default_generator.rng = before
    numbers = np.concatenate([p.array.ravel() for p in layer.parameters()])
    return {"u": Sample(seed, numbers.size), "fanin": fans(layer.weight.shape)["fanin"]}, numbers
