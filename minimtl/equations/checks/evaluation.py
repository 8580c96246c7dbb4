"""Evaluating multi-task learning: gains, ranks and intervals."""

from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.draw import Draw
from minimtl.mtl.evaluation.scores import lost, rank, relative_gain
from minimtl.mtl.evaluation.statistics import half_width


@evaluated("mtl.delta_m", wrong=[(r"\frac{1}{n} ", ""), ("s_m ", ""), (r"}{B_m}", r"}{M_m}")])
def gain(d: Draw) -> Drawn:
    """Metrics of a task, better when higher or when lower."""
    n = d.size(2)
    M, B, s = d.positive(n), d.positive(n), d.integers(0, 1, (n,)) * 2.0 - 1
    return {"M": M, "B": B, "s": s}, relative_gain(M, B, s)


@evaluated("mtl.mean_rank", wrong=[("[x_b < x_a]", "[x_b > x_a]"), (r"\frac{1}{2} [x_b = x_a]", "[x_b = x_a]")])
def ranks(d: Draw) -> Drawn:
    """Some that tie."""
    x = d.integers(0, 2, (4,)).astype(float)
    return {"x": x}, rank(x)


@evaluated("mtl.interval", wrong=[("(n - 1)", ""), (r"h = t \sqrt", r"h = \sqrt"), (r"\bar x)^2", r"\bar x)")])
def student(d: Draw) -> Drawn:
    """Runs that differ."""
    x, t = d.distinct(d.size(2, 4)) + d.number(0.5, 1), d.number(1, 3)
    return {"x": x, "t": t}, half_width(x, t)


@evaluated("mtl.forgetting", wrong=[("e \\le n - 1", "e \\le n"), ("a_n", "a_1")])
def forgotten(d: Draw) -> Drawn:
    """A metric over epochs."""
    a = d.distinct(d.size(3, 5))
    return {"a": a, "n": len(a)}, lost(a)
