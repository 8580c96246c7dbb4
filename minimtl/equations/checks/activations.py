"""Activations: functions of each entry, and softmax."""

import minimtl.nn.functional as F
from minimtl.equations.checking import Values, operation
from minimtl.equations.draw import Draw


def vector(d: Draw) -> Values:
    """A vector of any numbers."""
    return {"x": d.array(d.size(1, 4))}


operation("nn.tanh", vector, lambda v: F.tanh(v.x), {"": [(r"\tanh", r"\sin")], ".vjp": [("y_i^2", "y_i")]})
operation(
    "nn.softmax",
    lambda d: {"x": d.array(d.size(2, 4)) + d.of(0, 600)},  # large: e^{x} is a number, e^{2x} is none
    lambda v: F.softmax(v.x, 0),
    {"": [("e^{x_j}", "x_j"), (r"\frac{e^{x_i}}", r"\frac{1}")], ".vjp": [("g_j y_j", "g_j"), ("g_j y_j", "g_i y_j")]},
)
