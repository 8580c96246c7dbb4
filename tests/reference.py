"""A second engine, which shares nothing with minimtl, to compare it with: forward mode.

minimtl records how to go back and, once a gradient is asked for, multiplies from the end. Here every value carries its
derivatives from the start: for each value v that it was made from, the Jacobian J[v] = ∂y/∂v, of shape y.shape + v.shape.
An operation y = f(a, b) states its differential, dy = fa(da) + fb(db) with fa and fb linear, and each column of J passes
through it: ∂y/∂v = fa(∂a/∂v) + fb(∂b/∂v). A gradient is then one product, Σ vᵀ ∂y/∂x, without any walk through a graph.

The rest says when to refuse: a derivative may not be used twice, nor after a write to the numbers that it needs.
"""

import numpy as np


class RefusalError(RuntimeError):
    """What was asked for is not to be had; nothing has changed."""


class Value:
    """An array, its Jacobians, and what is known of the operation that made it."""

    def __init__(self, array, like=(), requires_grad=False):
        self.array, self.requires_grad, self.grad = np.asarray(array), requires_grad, None
        self.jacobians, self.parents, self.needs, self.released = {}, [], [], False
        shown = [x.writes for x in like if np.shares_memory(x.array, self.array)]
        self.writes = shown[0] if shown else [0]  # how often this memory was written to; views have one list in common

    @property
    def is_leaf(self):
        return not self.parents

    def derivatives(self):
        """∂self/∂v for each v that self was made from, and for itself."""
        identity = np.eye(self.array.size).reshape(self.array.shape * 2)
        return {**self.jacobians, self: identity}


def record(y, *terms):
    """y with its Jacobians. A term (x, differential, needed) says how dx enters dy, and which values it computes with."""
    for x, differential, needed in terms:
        if not x.requires_grad:
            continue
        y.requires_grad = True
        y.parents.append(x)
        # The number that NumPy makes of a 0-d result is nowhere in memory, so that no write can reach it
        y.needs += [(value.writes, value.writes[0]) for value in needed if value is not y or y.array.ndim]
        for v, J in x.derivatives().items():
            columns = np.zeros((*y.array.shape, v.array.size))
            for k, dx in enumerate(np.moveaxis(J.reshape(*x.array.shape, v.array.size), -1, 0)):
                columns[..., k] = differential(dx)
            y.jacobians[v] = y.jacobians.get(v, 0) + columns.reshape(y.array.shape + v.array.shape)
    return y


def detached(y):
    """The same numbers, shared where y shares them, without derivatives."""
    return Value(y.array, [y])


def write(x, factor):
    """x ← factor x, in place."""
    if not x.array.flags.writeable:  # many entries are one number
        raise RefusalError
    x.array *= factor
    x.writes[0] += 1


# Operations


def linear(f, *xs):
    """y = f(x₁, x₂, …), linear in all of them at once      dy = f(dx₁, 0, …) + f(0, dx₂, …) + …"""
    zeros = [np.zeros_like(x.array) for x in xs]
    terms = [(x, lambda dx, i=i: f(*zeros[:i], dx, *zeros[i + 1 :]), []) for i, x in enumerate(xs)]
    return record(Value(f(*[x.array for x in xs]), xs), *terms)


def bilinear(f, a, b):
    """y = f(a, b), linear in each of them alone      dy = f(da, b) + f(a, db), the product rule"""
    return record(Value(f(a.array, b.array)), (a, lambda da: f(da, b.array), [b]), (b, lambda db: f(a.array, db), [a]))


def div(a, b):
    """y = a / b      dy = da / b − a db / b²"""
    y = Value(a.array / b.array)
    return record(y, (a, lambda da: da / b.array, [b]), (b, lambda db: -a.array * db / b.array**2, [a, b]))


def maximum(a, b):
    """y = max(a, b)      dy = w da + (1 − w) db, w = 1 where a > b, ½ where a = b, 0 where a < b"""
    w = (1 + np.sign(a.array - b.array)) / 2
    return record(Value(np.maximum(a.array, b.array)), (a, lambda da: w * da, [a, b]), (b, lambda db: (1 - w) * db, [a, b]))


def entrywise(f, slope, x):
    """y = f(x)      dy = f′(x) dx, slope: f′"""
    return record(Value(f(x.array)), (x, lambda dx: slope(x.array) * dx, [x]))


def entrywise_of_result(f, slope, x):
    """y = f(x), with a slope that is known from y alone, as eˣ is its own      dy = slope(y) dx"""
    y = Value(f(x.array))
    return record(y, (x, lambda dx: slope(y.array) * dx, [y]))


# Gradients


def made_from(ys):
    """The recorded values among ys and all that they were made from."""
    found, stack = set(), list(ys)
    while stack:
        y = stack.pop()
        if not y.is_leaf and y not in found:
            found.add(y)
            stack.extend(y.parents)
    return found


def pulled(ys, vs, xs, retain_graph):
    """Σ vᵀ ∂y/∂x over the pairs (y, v), for each x; None where no y was made from x."""
    if not all(y.requires_grad for y in ys):
        raise RefusalError
    values = made_from(ys)
    used = [y for y in values if any(x in y.jacobians for x in xs)]
    if any(y.released for y in values) or any(writes[0] != seen for y in used for writes, seen in y.needs):
        raise RefusalError
    for y in used:
        y.released = not retain_graph
    gradients = dict.fromkeys(xs)
    for y, v in zip(ys, vs):
        for x, J in y.derivatives().items():
            if x in gradients:
                gradients[x] = np.tensordot(v, J, v.ndim) + (0 if gradients[x] is None else gradients[x])
    return [gradients[x] for x in xs]


def grad(ys, vs, xs, retain_graph=False, allow_unused=False):
    """The same, of values x that require a gradient. What is unused shows only when the derivatives have been used."""
    if not all(x.requires_grad for x in xs):
        raise RefusalError
    gradients = pulled(ys, vs, xs, retain_graph)
    if not allow_unused and any(g is None for g in gradients):
        raise RefusalError
    return gradients


def backward(y, v, retain_graph=False):
    """x.grad += vᵀ ∂y/∂x for each leaf x that y was made from and that still requires a gradient."""
    leaves = [x for x in y.derivatives() if x.is_leaf]
    for x, g in zip(leaves, pulled([y], [v], leaves, retain_graph)):
        if x.requires_grad:
            x.grad = g if x.grad is None else x.grad + g
