"""Reductions: from many entries to one."""

import minimtl as mm
from minimtl.equations.checking import Values, operation
from minimtl.equations.draw import Draw


def vector(d: Draw) -> Values:
    """Numbers, of which no two are equal and none is 0."""
    return {"x": d.distinct(d.size(2, 5))}


def corrected(d: Draw) -> Values:
    """The same, and what is taken off their number."""
    return {**vector(d), "c": d.integer(0, 1)}


def powered(d: Draw) -> Values:
    """The same, and a power."""
    return {**vector(d), "p": d.of(1.0, 2.0, 3.0, 1.5)}


MEAN = (r"\sum_{i=1}^{n}", r"\frac{1}{n} \sum_{i=1}^{n}")
operation("ops.sum", vector, lambda v: mm.sum(v.x), {"": [MEAN], ".vjp": [("= G", r"= \frac{G}{n}")]})
operation("ops.mean", vector, lambda v: mm.mean(v.x), {"": [(r"\frac{1}{n} ", "")], ".vjp": [(r"\frac{G}{n}", "G")]})
operation(
    "ops.var",
    corrected,
    lambda v: mm.var(v.x, correction=v.c),
    {
        "": [(r"\frac{1}{n - c} ", ""), (r"(x_i - \bar{x})^2", "x_i^2")],
        ".vjp": [("{2 G}", "{G}"), ("{n - c}", "{n}")],
    },
)
operation(
    "ops.std",
    corrected,
    lambda v: mm.std(v.x, correction=v.c),
    {"": [(r"\frac{1}{n - c} ", "")], ".vjp": [(r"\, y}", "}"), ("{G}", "{2 G}")]},
)
operation(
    "ops.norm",
    powered,
    lambda v: mm.norm(v.x, v.p),
    {"": [("^{1/p}", ""), ("|x_i|", "x_i")], ".vjp": [(r"\mathrm{sign}(x_i) ", ""), ("{p - 1}", "p")]},
)
