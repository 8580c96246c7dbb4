"""The table of operations. A row says how to draw arguments, what the operation means in plain NumPy, and PyTorch's name for it.

From a row follow the tests of values, derivatives, types of numbers, memory layouts and repeated arguments, here and against
PyTorch. `name[variant]` is another row for the operation `name`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import draws as D
import draws_layers as L
import naive
import numpy as np

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import ops
from minimtl.testing.differences import signed


@dataclass(frozen=True)
class Operation:
    """A row: `naive` takes the drawn arguments, `torch` is a path below torch (the name unless said) or a function of torch."""

    name: str
    function: Callable[..., Any]
    draws: Callable[[D.Draw], D.Call]
    naive: Callable[..., Any] | None = None
    torch: str | Callable[..., Any] | None = "."
    differentiable: bool = True
    constants: tuple[str, ...] = ()  # arguments given by keyword that have no derivative

    def __repr__(self):
        return self.name

    @property
    def operation(self):
        return self.name.partition("[")[0]

    def of_torch(self, torch):
        if callable(self.torch):
            return partial(self.torch, torch)
        return attrgetter(self.operation if self.torch == "." else self.torch)(torch)

    def filled(self, call, leaf, given):
        """The arguments, with leaf(array) for each array to differentiate by and given(array) for each other one."""

        def fill(item, constant):
            if isinstance(item, (tuple, list)):
                return type(item)([fill(i, constant) for i in item])
            if not isinstance(item, np.ndarray):
                return item
            return (given if constant or item.dtype.kind != "f" else leaf)(item)

        constant = not self.differentiable
        args = [fill(item, constant) for item in call.args]
        return args, {name: fill(item, constant or name in self.constants) for name, item in call.kwargs.items()}

    def leaves(self, call):
        """The arrays to differentiate by."""
        found = []
        self.filled(call, found.append, lambda a: a)
        return found

    def __call__(self, call, leaves, dtype=np.float64):
        """The outputs for the call, with the given tensors as its leaves."""
        queue = iter(leaves)
        args, kwargs = self.filled(
            call, lambda a: next(queue), lambda a: mm.Tensor(a.astype(dtype) if a.dtype.kind == "f" else a)
        )
        return outputs_of(self.function(*args, **kwargs))

    def repeated(self, call):
        """The positions of two leaves of one shape, which could be one tensor; None where there are none."""
        shapes = [a.shape for a in self.leaves(call)]
        pairs = [(i, j) for j, shape in enumerate(shapes) for i in range(j) if shapes[i] == shape]
        return pairs[0] if pairs else None


def transposed(a):
    return a.T.copy().T


def strided(a):
    return np.repeat(a[..., None], 2, axis=-1)[..., 0]


def backwards(a):
    return np.asarray(np.flip(np.flip(a).copy()))


LAYOUTS = (transposed, strided, backwards)


def outputs_of(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def tensors(arrays, dtype=np.float64):
    return [mm.Tensor(a.astype(dtype, copy=False), requires_grad=True) for a in arrays]


def cotangents(outputs, rng):
    """A gradient to send back from each output that takes one, else None."""
    return [signed(rng, y.shape).astype(y.dtype) if y.requires_grad else None for y in outputs]


def pulled_back(outputs, leaves, vs):
    """Σ vᵀ ∂y/∂x for each leaf x, an array; 0 where no output depends on it."""
    ends = [(y, mm.Tensor(v)) for y, v in zip(outputs, vs) if v is not None]
    found = mm.grad([y for y, _ in ends], leaves, [v for _, v in ends], allow_unused=True) if ends else [None] * len(leaves)
    return [np.zeros_like(x.array) if g is None else g.array for g, x in zip(found, leaves)]


def seeded_dropout(x, p):
    return F.dropout(x, p, generator=mm.Generator(5))


def naive_dropout(x, p):
    """What is left and what it is multiplied by is seen on an input of ones."""
    seen = seeded_dropout(mm.ones(*x.shape, dtype="float64"), p).array
    assert set(np.unique(seen)) <= {0.0, 1 / (1 - p) if p < 1 else 0.0}
    return x * seen


def alike(t, *args):
    """PyTorch's functions of two tensors take no Python numbers, its operators do."""
    like = next(a for a in args if t.is_tensor(a))
    return [a if t.is_tensor(a) else t.tensor(a, dtype=like.dtype) for a in args]


def logsumexp_of_torch(t, x, dim, **keep):
    """PyTorch's wants its axes by number."""
    return t.logsumexp(x, tuple(range(x.ndim)) if dim is None else dim, **keep)


def interpolate_of_torch(t, x, *size, scale_factor=None):
    """Ours looks at the sizes alone, as PyTorch's does when asked to."""
    recompute = None if scale_factor is None else True
    return t.nn.functional.interpolate(x, *size, scale_factor=scale_factor, recompute_scale_factor=recompute)


O, FT = Operation, "nn.functional."
reduce, extreme, distance = naive.reduction, naive.extreme, naive.distance

OPERATIONS = [
    # Arithmetic
    O("add", ops.add, D.binary, np.add, lambda t, a, b: a + b),
    O("sub", ops.sub, D.binary, np.subtract, lambda t, a, b: a - b),
    O("mul", ops.mul, D.binary, np.multiply, lambda t, a, b: a * b),
    O("div", ops.div, D.quotient, np.true_divide, lambda t, a, b: a / b),
    O("remainder", ops.remainder, D.modulo, lambda a, b: a - b * np.floor(a / b)),
    O("pow", ops.pow, D.power, np.float_power),
    O("neg", ops.neg, D.unary, lambda x: 0 - x),
    O("maximum", ops.maximum, D.binary, lambda a, b: np.where(a > b, a, b), lambda t, *a: t.maximum(*alike(t, *a))),
    O("minimum", ops.minimum, D.binary, lambda a, b: np.where(a < b, a, b), lambda t, *a: t.minimum(*alike(t, *a))),
    O("where", ops.where, D.selection, lambda c, a, b: c * a + (~c) * b),
    O("clip", ops.clip, D.bounds, naive.clip),
    # Comparisons and logic
    *(
        O(name, getattr(ops, name), D.binary, f, lambda t, a, b, name=name: getattr(t, name)(*alike(t, a, b)), False)
        for name, f in {
            "eq": lambda a, b: (a >= b) & (a <= b),
            "ne": lambda a, b: (a < b) | (a > b),
            "lt": lambda a, b: np.sign(b - a) > 0,
            "le": lambda a, b: np.sign(b - a) >= 0,
            "gt": lambda a, b: np.sign(a - b) > 0,
            "ge": lambda a, b: np.sign(a - b) >= 0,
            "logical_and": lambda a, b: np.not_equal(a, 0) & np.not_equal(b, 0),
            "logical_or": lambda a, b: np.not_equal(a, 0) | np.not_equal(b, 0),
        }.items()
    ),
    O("logical_not", ops.logical_not, D.truths, lambda x: x == 0, differentiable=False),
    O("bitwise_and", ops.bitwise_and, D.bits, np.bitwise_and, differentiable=False),
    O("bitwise_or", ops.bitwise_or, D.bits, np.bitwise_or, differentiable=False),
    O("bitwise_not", ops.bitwise_not, D.bit, lambda x: x == 0 if x.dtype == bool else -1 - x, differentiable=False),
    # Functions of each entry
    O("exp", ops.exp, D.unary, lambda x: np.e**x),
    O("log", ops.log, D.of_positive, lambda x: np.log2(x) * np.log(2)),
    O("sqrt", ops.sqrt, D.of_positive, lambda x: np.where(x >= 0, np.abs(x) ** 0.5, np.nan)),
    O("abs", ops.abs, D.unary, lambda x: np.where(x < 0, -x, x)),
    O("sin", ops.sin, D.unary, lambda x: np.exp(1j * x).imag),
    O("cos", ops.cos, D.unary, lambda x: np.exp(1j * x).real),
    O("tanh", ops.tanh, D.unary, lambda x: np.sinh(x) / np.cosh(x)),
    O("sigmoid", ops.sigmoid, D.unary, lambda x: 1 / (1 + np.exp(-x))),
    O("relu", F.relu, D.unary, lambda x: np.where(x > 0, x, 0)),
    O("leaky_relu", F.leaky_relu, D.with_option("negative_slope", 0.2), naive.leaky_relu, FT + "leaky_relu"),
    O("gelu", F.gelu, D.with_option("approximate", "none", "tanh"), naive.each(naive.gelu), FT + "gelu"),
    O("softplus", F.softplus, D.softened, naive.each(naive.softplus), FT + "softplus"),
    # Reductions
    O("sum", ops.sum, D.reduced, reduce(np.sum)),
    O("mean", ops.mean, D.reduced, reduce(naive.mean)),
    O("var", ops.var, D.deviations, reduce(naive.variance)),
    O("std", ops.std, D.deviations, reduce(naive.deviation)),
    O("max", ops.max, D.maybe_along, extreme(np.max, np.argmax)),
    O("min", ops.min, D.maybe_along, extreme(np.min, np.argmin)),
    O("argmax", ops.argmax, D.maybe_along, reduce(np.argmax), differentiable=False),
    O("argmin", ops.argmin, D.maybe_along, reduce(np.argmin), differentiable=False),
    O("any", ops.any, D.some_truths, reduce(np.any), differentiable=False),
    O("all", ops.all, D.some_truths, reduce(np.all), differentiable=False),
    O("logsumexp", ops.logsumexp, D.exponentials, reduce(naive.logsumexp), logsumexp_of_torch),
    O("softmax", F.softmax, D.along, naive.softmax),
    O("log_softmax", F.log_softmax, D.along, lambda x, dim: np.log(naive.softmax(x, dim))),
    O("norm", ops.norm, D.norms, reduce(naive.norm)),
    # Shapes
    O("reshape", ops.reshape, D.shaped, np.reshape),
    O("flatten", ops.flatten, D.flattened, naive.flatten),
    O("permute", ops.permute, D.permuted, np.transpose),
    O("transpose", ops.transpose, D.transposed, lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x),
    O("squeeze", ops.squeeze, D.squeezed, naive.squeeze),
    O("unsqueeze", ops.unsqueeze, D.unsqueezed, np.expand_dims),
    O("expand", ops.expand, D.expanded, naive.expand, lambda t, x, sizes: x.expand(sizes)),
    O("cat", ops.cat, D.joined, np.concatenate),
    O("stack", ops.stack, D.stacked, np.stack),
    O("split", ops.split, D.pieces, naive.split),
    O("pad", F.pad, D.framed, naive.pad, FT + "pad"),
    O("clone", ops.clone, D.unary, np.array),
    O("cast", ops.cast, D.then(mm.float64, mm.int64, mm.bool), np.asarray, lambda t, x, dtype: x.to(getattr(t, str(dtype)))),
    O("to_device_of", ops.to_device_of, D.then("cpu"), lambda x, device: x, lambda t, x, device: x.to(device)),
    # Indices
    O("getitem[plain]", ops.getitem, D.plain_index, lambda x, i: x[i], lambda t, x, i: x[i]),
    O("getitem[backwards]", ops.getitem, D.backward_index, lambda x, i: x[i], None),
    O("getitem[tensors]", ops.getitem, D.tensor_index, lambda x, i: x[i], lambda t, x, i: x[i]),
    O("getitem[tensors and integers]", ops.getitem, D.mixed_index, None, lambda t, x, i: x[i]),
    O("getitem[masks]", ops.getitem, D.mask_index, lambda x, i: x[i], lambda t, x, i: x[i]),
    O("index_select", ops.index_select, D.selected, lambda x, dim, i: np.take(x, i, dim)),
    O("embedding", F.embedding, D.looked_up, lambda i, w: np.eye(len(w))[i] @ w, FT + "embedding"),
    # Products
    O("matmul", ops.matmul, L.product, naive.matmul),
    O("linear", F.linear, L.weighing, naive.linear, FT + "linear"),
    O("einsum", ops.einsum, L.contraction, naive.einsum),
    O("nuclear_norm", ops.nuclear_norm, L.well_conditioned, lambda A: np.sqrt(np.linalg.eigvalsh(A @ A.T).clip(0)).sum()),
    O(
        "scaled_dot_product_attention",
        F.scaled_dot_product_attention,
        L.attended,
        naive.attention,
        FT + "scaled_dot_product_attention",
    ),
    # Losses
    O("mse_loss", F.mse_loss, L.distances, distance(np.square), FT + "mse_loss"),
    O("l1_loss", F.l1_loss, L.distances, distance(np.abs), FT + "l1_loss"),
    O("huber_loss", F.huber_loss, L.huber, distance(naive.huber), FT + "huber_loss"),
    O("smooth_l1_loss", F.smooth_l1_loss, L.smooth_l1, distance(naive.smooth_l1), FT + "smooth_l1_loss"),
    O("kl_div", F.kl_div, L.divergences, naive.kl_div, FT + "kl_div"),
    O(
        "binary_cross_entropy",
        F.binary_cross_entropy,
        L.bernoulli,
        naive.bernoulli,
        FT + "binary_cross_entropy",
        constants=("weight",),
    ),
    O(
        "binary_cross_entropy_with_logits",
        F.binary_cross_entropy_with_logits,
        L.bernoulli_logits,
        naive.bernoulli_logits,
        FT + "binary_cross_entropy_with_logits",
        constants=("weight", "pos_weight"),
    ),
    O("nll_loss", F.nll_loss, L.labelled, naive.nll_loss, FT + "nll_loss", constants=("weight",)),
    O("cross_entropy", F.cross_entropy, L.smoothly_labelled, naive.cross_entropy, FT + "cross_entropy", constants=("weight",)),
    O(
        "cross_entropy[soft]",
        F.cross_entropy,
        L.softly_labelled,
        naive.cross_entropy,
        FT + "cross_entropy",
        constants=("weight",),
    ),
    # Images
    O("conv2d", F.conv2d, L.convolution, naive.conv2d, FT + "conv2d"),
    O("conv_transpose2d", F.conv_transpose2d, L.transposed_convolution, naive.conv_transpose2d, FT + "conv_transpose2d"),
    O("max_pool2d", F.max_pool2d, L.windows, naive.max_pool2d, FT + "max_pool2d"),
    O("avg_pool2d", F.avg_pool2d, L.mean_windows, naive.avg_pool2d, FT + "avg_pool2d"),
    O("adaptive_avg_pool2d", F.adaptive_avg_pool2d, L.adapted, naive.adaptive_avg_pool2d, FT + "adaptive_avg_pool2d"),
    O("interpolate", F.interpolate, L.resized, naive.interpolate, interpolate_of_torch),
    # Normalisation
    O("batch_norm[training]", F.batch_norm, L.batch_statistics, naive.batch_norm, FT + "batch_norm"),
    O(
        "batch_norm[evaluation]",
        F.batch_norm,
        L.given_statistics,
        naive.batch_norm,
        FT + "batch_norm",
        constants=("running_mean", "running_var"),
    ),
    O("layer_norm", F.layer_norm, L.last_axes, naive.layer_norm, FT + "layer_norm"),
    O("group_norm", F.group_norm, L.groups, naive.group_norm, FT + "group_norm"),
    O("dropout", seeded_dropout, D.then(0.0, 0.3, 0.5, 1.0), naive_dropout, None),
]

CREATION = {
    "arange", "eye", "from_numpy", "full", "full_like", "linspace", "ones", "ones_like", "rand", "randint", "randn", "randperm",
    "tensor", "tensor_of", "zeros", "zeros_like",
}  # fmt: skip
