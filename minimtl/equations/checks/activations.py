"""Activations: functions of each entry, and softmax with what belongs to it."""

import minimtl as mm
import minimtl.nn.functional as F
from minimtl.equations.checking import Values, operation
from minimtl.equations.draw import Draw


def vector(d: Draw) -> Values:
    """A vector of any numbers."""
    return {"x": d.array(d.size(1, 4))}


def positives(d: Draw) -> Values:
    """A vector of positive numbers."""
    return {"x": d.positive(d.size(1, 4))}


def halves(d: Draw) -> Values:
    """A vector of few different numbers, so that 0 is often among them: there the kink is."""
    return {"x": d.integers(-4, 4, (d.size(2, 4),)) / 2}


def classes(d: Draw) -> Values:
    """The scores of two classes or more, large ones too: e^{x} is a number, e^{2x} is none."""
    return {"x": d.array(d.size(2, 4)) + d.of(0, 600)}


operation("ops.exp", vector, lambda v: mm.exp(v.x), {"": [("e^{x_i}", r"\exp(x_i^2)")], ".vjp": [("y_i", "x_i")]})
operation(
    "ops.log",
    positives,
    lambda v: mm.log(v.x),
    {"": [("x_i", "(x_i + 1)")], ".vjp": [("{x_i}", "{y_i}"), ("{x_i}", "{x_i^2}")]},
)
operation("ops.sqrt", positives, lambda v: mm.sqrt(v.x), {"": [(r"\sqrt{x_i}", "x_i")], ".vjp": [("2 y", "y"), ("2 y", "2 x")]})
operation("ops.abs", halves, lambda v: mm.abs(v.x), {"": [("|x_i|", "x_i")], ".vjp": [(r"\mathrm{sign}(x_i)", "x_i")]})
operation("ops.sin", vector, lambda v: mm.sin(v.x), {"": [(r"\sin", r"\cos")], ".vjp": [(r"\cos", r"\sin")]})
operation("ops.cos", vector, lambda v: mm.cos(v.x), {"": [(r"\cos", r"\sin")], ".vjp": [(r"\sin", r"\cos")]})

operation("nn.tanh", vector, lambda v: F.tanh(v.x), {"": [(r"\tanh", r"\sin")], ".vjp": [("y_i^2", "y_i")]})
operation(
    "nn.sigmoid",
    vector,
    lambda v: F.sigmoid(v.x),
    {"": [("{-x_i}", "{-2 x_i}")], ".vjp": [(r"y_i \, (", "("), ("1 - y_i", "1 - y_i^2")]},
)
operation(
    "nn.relu",
    halves,
    lambda v: F.relu(v.x),
    {"": [(r"\max", r"\min"), ("x_i, 0", "x_i, 1")], ".vjp": [(">", r"\ge"), (r" \, [x_i > 0]", "")]},
)
operation(
    "nn.leaky_relu",
    lambda d: {**halves(d), "s": d.number(0.125, 0.5)},
    lambda v: F.leaky_relu(v.x, v.s),
    {"": [("s x_i", "x_i"), ("s x_i", "s"), (">", "<")], ".vjp": [(">", r"\ge"), (r"s \, G_i", "s"), (r"s \, G_i", "0")]},
)
operation(
    "nn.gelu",
    vector,
    lambda v: F.gelu(v.x),
    {"": [(r"\frac{u}{\sqrt{2}}", "u"), ("}{2}", "}{1}")], ".vjp": [(r"x_i \, \varphi", r"\varphi"), ("u^2 / 2", "u^2")]},
)
operation(
    "nn.gelu_tanh",
    vector,
    lambda v: F.gelu(v.x, "tanh"),
    {
        "": [("a x_i^3", "a x_i^2"), (r"\sqrt{\frac{2}{\pi}}", r"\frac{2}{\pi}"), ("0.044715", "0.0447")],
        ".vjp": [("3 a", "a"), ("t_i^2", "t_i"), (r"(1 - t_i^2) \, s", "(1 - t_i^2)"), (r"\frac{x_i}{2}", "x_i")],
    },
)
operation(
    "nn.softplus",
    lambda d: {**vector(d), "β": d.number(0.5, 2), "θ": d.number(-1, 1)},
    lambda v: F.softplus(v.x, v.β, v.θ),
    {
        "": [("}{\\beta}", "}{1}"), ("{\\beta x_i}", "{x_i}"), (r"\beta x_i > \theta", r"x_i > \theta")],
        ".vjp": [(r"{-\beta x_i}", "{-x_i}"), (r"\frac{G_i}{", r"\frac{1}{"), (r"\beta x_i > \theta", r"x_i > \theta")],
    },
)

operation(
    "nn.softmax",
    classes,
    lambda v: F.softmax(v.x, 0),
    {"": [("e^{x_j}", "x_j"), (r"\frac{e^{x_i}}", r"\frac{1}")], ".vjp": [("g_j y_j", "g_j"), ("g_j y_j", "g_i y_j")]},
)
operation(
    "nn.log_softmax",  # of equal scores and equal gradients the derivative would be 0, but for rounding errors
    lambda d: {"x": d.distinct(d.size(2, 4)) + d.of(0, 600)},
    lambda v: F.log_softmax(v.x, 0),
    {"": [("e^{x_j}", "x_j"), (r"\ln", "")], ".vjp": [("e^{y_i}", "y_i"), ("g_j", "g_i"), ("y_i", "x_i")]},
)
operation(
    "nn.logsumexp",
    classes,
    lambda v: mm.logsumexp(v.x, 0),
    {"": [(r"\ln ", ""), ("e^{x_j}", "x_j")], ".vjp": [("{e^{x_i}}", "{1}"), ("g ", "")]},
)
