"""What the kernels are tested on: for each, how to draw legal arguments, its definition by scalar loops, and PyTorch's.

A case is `arrays, options`: the kernel is called as `function(*arrays, *options)`, arrays may be None where optional.
"""

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from minimtl.backend import Array
from minimtl.kernels import conv, norm, pool, resize
from minimtl.testing import strategies

Case = tuple[list[Any], tuple[Any, ...]]
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Kernel(NamedTuple):
    name: str
    function: Callable[..., Any]
    cases: st.SearchStrategy[Case]
    naive: Callable[..., Any]
    torch: Callable[..., Any]  # its first argument is the torch module, the others are the kernel's
    specimen: Case  # an example with something in every argument

    def __repr__(self) -> str:
        return self.name


def run(kernel: Kernel, arrays: list[Any], options: tuple[Any, ...]) -> tuple[list[Array], list[Any]]:
    """What the kernel returns: its values, of which the first has a gradient, and a map or None for each array."""
    value, *maps = kernel.function(*arrays, *options)
    return list(value) if isinstance(value, tuple) else [value], maps


def without_none(result: tuple[Any, ...]) -> list[Any]:
    """The result less the None that stands for an argument that is no array."""
    return [item for item in result if item is not None]


# How to draw


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def distinct(seed: int, *shape: int) -> Array:
    """Numbers 0.1 apart in random order: no small step changes which is the largest, no variance comes near 0."""
    return np.random.default_rng(seed).permutation(math.prod(shape)).reshape(shape) / 10 - 1.0


seeds = st.integers(0, 2**32 - 1)


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


def optional(draw: Draw, array: Array) -> Array | None:
    return array if draw(st.booleans()) else None


LAYOUTS = ("C", "batch last", "channels last", "reversed", "strided", "padded")


def laid_out(a: Array, layout: str) -> Array:
    """The same numbers in other memory."""
    if layout == "batch last":
        return np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0)
    if layout == "channels last":
        return np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim > 1 else a.copy()
    if layout == "reversed":
        return np.flip(np.flip(a).copy())
    if layout == "strided":
        return np.repeat(a, 2, axis=-1)[..., ::2]
    if layout == "padded":
        return np.pad(a, 1)[(slice(1, -1),) * a.ndim]
    return a.copy()


def of_layer(cases: st.SearchStrategy[strategies.Case], arrays: int) -> st.SearchStrategy[Case]:
    """The cases of a layer as those of its kernel: so many arrays, None where one is left out, and the options in their order."""
    return cases.map(
        lambda case: ([t.array for t in case.tensors] + [None] * (arrays - len(case.tensors)), tuple(case.options.values()))
    )


@st.composite
def resizings(draw: Draw) -> Case:
    return [normal(draw(seeds), *draw(pairs(1, 3)), *draw(pairs(1, 9)))], (draw(pairs(1, 12)),)


epsilons = st.sampled_from([1e-5, 1e-3, 0.1])


@st.composite
def batch_norms(draw: Draw) -> Case:
    shape, seed = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5)), draw(seeds)
    assume(math.prod(shape) > shape[1])  # PyTorch refuses a single number per channel
    w, b = optional(draw, normal(seed + 1, shape[1])), optional(draw, normal(seed + 2, shape[1]))
    return [10 * distinct(seed, *shape), w, b], (draw(epsilons),)


@st.composite
def evaluated_batch_norms(draw: Draw) -> Case:
    (x, w, b), options = draw(batch_norms())
    seed = draw(seeds)
    return [x, normal(seed, x.shape[1]), normal(seed + 1, x.shape[1]) ** 2, w, b], options


@st.composite
def layer_norms(draw: Draw) -> Case:
    shape, seed = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)), draw(seeds)
    dims = draw(st.integers(1, len(shape)))
    affine = shape[-dims:]
    w, b = optional(draw, normal(seed + 1, *affine)), optional(draw, normal(seed + 2, *affine))
    return [10 * distinct(seed, *shape), w, b], (dims, draw(epsilons))


@st.composite
def group_norms(draw: Draw) -> Case:
    groups, size, seed = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(seeds)
    N, rest, C = draw(st.integers(1, 3)), draw(st.lists(st.integers(1, 4), max_size=3)), groups * size
    assume(N * size * math.prod(rest) > 1)  # PyTorch refuses a single number per group and batch
    w, b = optional(draw, normal(seed + 1, C)), optional(draw, normal(seed + 2, C))
    return [10 * distinct(seed, N, C, *rest), w, b], (groups, draw(epsilons))


# The definitions, number by number


def meetings(image: tuple[int, ...], kernel: Any, size: Any, stride: Any, padding: Any, dilation: Any) -> Iterator[Any]:
    """Every (i, j), (p, q), (h, v) such that place (i, j) of window (p, q) is the pixel (h, v) of the image."""
    for i, j, p, q in product(*map(range, (*kernel, *size))):
        h, v = p * stride[0] + i * dilation[0] - padding[0], q * stride[1] + j * dilation[1] - padding[1]
        if 0 <= h < image[0] and 0 <= v < image[1]:
            yield (i, j), (p, q), (h, v)


def windows_that_fit(n: int, k: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Counted: a window at `start` fits if its last pixel lies in the image or its frame."""
    return sum(start + dilation * (k - 1) < n + 2 * padding for start in range(0, n + 2 * padding, stride))


def naive_conv2d(x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Array:
    (N, _, *image), (F, CG, *kernel) = x.shape, w.shape
    size = [windows_that_fit(*a) for a in zip(image, kernel, stride, padding, dilation, strict=True)]
    y = np.zeros((N, F, *size)) + (0 if b is None else b.reshape(F, 1, 1))
    for (i, j), (p, q), (h, v) in meetings(image, kernel, size, stride, padding, dilation):
        for n, f, c in product(range(N), range(F), range(CG)):
            y[n, f, p, q] += w[f, c, i, j] * x[n, f // (F // groups) * CG + c, h, v]
    return y


def naive_conv_transpose2d(x: Any, w: Any, b: Any, *options: Any) -> Array:
    stride, padding, extra, groups, dilation = options
    (N, C, *image), (_, FG, *kernel) = x.shape, w.shape
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(image, stride, padding, dilation, kernel, extra, strict=True)
    ]
    y = np.zeros((N, groups * FG, *size)) + (0 if b is None else b.reshape(-1, 1, 1))
    for (i, j), (p, q), (h, v) in meetings(size, kernel, image, stride, padding, dilation):
        for n, c, f in product(range(N), range(C), range(FG)):
            y[n, c // (C // groups) * FG + f, h, v] += w[c, f, i, j] * x[n, c, p, q]
    return y


def naive_pool(x: Any, kernel: Any, stride: Any, padding: Any, summary: Callable[[list[float]], float]) -> Array:
    """`summary` of the list of pixels in each window."""
    (N, C, *image) = x.shape
    size = [windows_that_fit(*a) for a in zip(image, kernel, stride, padding, strict=True)]
    seen: dict[Any, list[float]] = {}
    for _, (p, q), (h, v) in meetings(image, kernel, size, stride, padding, (1, 1)):
        for n, c in product(range(N), range(C)):
            seen.setdefault((n, c, p, q), []).append(x[n, c, h, v])
    y = np.zeros((N, C, *size))
    for index in np.ndindex(y.shape):
        y[index] = summary(seen[index])
    return y


def naive_avg_pool2d(x: Any, kernel: Any, stride: Any, padding: Any, count_include_pad: bool) -> Array:
    whole = math.prod(kernel)
    return naive_pool(x, kernel, stride, padding, lambda a: math.fsum(a) / (whole if count_include_pad else len(a)))


def naive_adaptive_avg_pool2d(x: Any, size: Any) -> Array:
    y, (H, W), (OH, OW) = np.zeros((*x.shape[:2], *size)), x.shape[2:], size
    for n, c, p, q in np.ndindex(y.shape):
        rows = slice(math.floor(p * H / OH), math.ceil((p + 1) * H / OH))
        cols = slice(math.floor(q * W / OW), math.ceil((q + 1) * W / OW))
        y[n, c, p, q] = x[n, c, rows, cols].mean()
    return y


def naive_upsample_nearest2d(x: Any, size: Any) -> Array:
    y, (H, W), (OH, OW) = np.zeros((*x.shape[:2], *size)), x.shape[2:], size
    for n, c, p, q in np.ndindex(y.shape):
        y[n, c, p, q] = x[n, c, p * H // OH, q * W // OW]
    return y


def naive_normalise(x: Any, group: Callable[..., Any], eps: float) -> tuple[Array, dict[Any, tuple[float, float]]]:
    """Each number less the mean of all with its group(index), by the root of their variance + ε; the statistics."""
    members: dict[Any, list[float]] = {}
    for index in np.ndindex(x.shape):
        members.setdefault(group(*index), []).append(x[index])
    means = {key: math.fsum(a) / len(a) for key, a in members.items()}
    stats = {key: (m, math.fsum((v - m) ** 2 for v in members[key]) / len(members[key])) for key, m in means.items()}
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        m, var = stats[group(*index)]
        y[index] = (x[index] - m) / math.sqrt(var + eps)
    return y, stats


def naive_affine(y: Array, w: Any, b: Any, which: Callable[..., Any]) -> Array:
    for index in np.ndindex(y.shape):
        y[index] = y[index] * (1 if w is None else w[which(*index)]) + (0 if b is None else b[which(*index)])
    return y


def channel(*index: int) -> int:
    return index[1]


def naive_batch_norm(x: Any, w: Any, b: Any, eps: float) -> tuple[Array, Array, Array]:
    y, stats = naive_normalise(x, channel, eps)
    mean, var = np.array([stats[c] for c in range(x.shape[1])]).T
    return naive_affine(y, w, b, channel), mean, var


def naive_batch_norm_eval(x: Any, mean: Any, var: Any, w: Any, b: Any, eps: float) -> Array:
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = (x[index] - mean[index[1]]) / math.sqrt(var[index[1]] + eps)
    return naive_affine(y, w, b, channel)


def naive_layer_norm(x: Any, w: Any, b: Any, dims: int, eps: float) -> Array:
    y, _ = naive_normalise(x, lambda *index: index[: x.ndim - dims], eps)
    return naive_affine(y, w, b, lambda *index: index[x.ndim - dims :])


def naive_group_norm(x: Any, w: Any, b: Any, groups: int, eps: float) -> Array:
    size = x.shape[1] // groups
    y, _ = naive_normalise(x, lambda *index: (index[0], index[1] // size), eps)
    return naive_affine(y, w, b, channel)


# PyTorch's


def torch_batch_norm(t: Any, x: Any, w: Any, b: Any, eps: float) -> Any:
    mean, var = (t.zeros(x.shape[1], dtype=x.dtype) for _ in range(2))
    n = x.numel() / x.shape[1]
    y = t.nn.functional.batch_norm(x, mean, var, w, b, training=True, momentum=1.0, eps=eps)
    return y, mean, var * (n - 1) / n


def torch_batch_norm_eval(t: Any, x: Any, mean: Any, var: Any, w: Any, b: Any, eps: float) -> Any:
    return t.nn.functional.batch_norm(x, mean.detach(), var.detach(), w, b, training=False, eps=eps)


def torch_group_norm(t: Any, x: Any, w: Any, b: Any, groups: int, eps: float) -> Any:
    w = t.ones(x.shape[1], dtype=x.dtype) if w is None else w  # PyTorch's backward fails on a bias without a weight
    return t.nn.functional.group_norm(x, groups, w, b, eps)


KERNELS = [
    Kernel(
        "conv2d",
        conv.conv2d,
        of_layer(strategies.convolutions(), 3),
        naive_conv2d,
        lambda t, *a: t.nn.functional.conv2d(*a),
        ([normal(0, 2, 4, 7, 6), normal(1, 6, 2, 3, 2), normal(2, 6)], ((2, 1), (1, 2), (1, 2), 2)),
    ),
    Kernel(
        "conv_transpose2d",
        conv.conv_transpose2d,
        of_layer(strategies.transposed_convolutions(), 3),
        naive_conv_transpose2d,
        lambda t, *a: t.nn.functional.conv_transpose2d(*a),
        ([normal(0, 2, 4, 3, 5), normal(1, 4, 3, 3, 2), normal(2, 6)], ((2, 1), (1, 0), (1, 0), 2, (1, 2))),
    ),
    Kernel(
        "max_pool2d",
        pool.max_pool2d,
        of_layer(strategies.poolings(), 1),
        lambda *a: naive_pool(*a, max),
        lambda t, *a: t.nn.functional.max_pool2d(*a),
        ([distinct(0, 2, 3, 6, 7)], ((3, 2), (2, 2), (1, 1))),
    ),
    Kernel(
        "avg_pool2d",
        pool.avg_pool2d,
        of_layer(strategies.poolings(average=True), 1),
        naive_avg_pool2d,
        lambda t, x, *a: t.nn.functional.avg_pool2d(x, *a[:3], ceil_mode=False, count_include_pad=a[3]),
        ([normal(0, 2, 3, 6, 7)], ((3, 2), (2, 2), (1, 1), False)),
    ),
    Kernel(
        "adaptive_avg_pool2d",
        pool.adaptive_avg_pool2d,
        resizings(),
        naive_adaptive_avg_pool2d,
        lambda t, *a: t.nn.functional.adaptive_avg_pool2d(*a),
        ([normal(0, 2, 3, 7, 5)], ((3, 8),)),
    ),
    Kernel(
        "upsample_nearest2d",
        resize.upsample_nearest2d,
        resizings(),
        naive_upsample_nearest2d,
        lambda t, x, size: t.nn.functional.interpolate(x, size, mode="nearest"),
        ([normal(0, 2, 3, 5, 4)], ((8, 3),)),
    ),
    Kernel(
        "batch_norm",
        norm.batch_norm,
        batch_norms(),
        naive_batch_norm,
        torch_batch_norm,
        ([10 * distinct(0, 4, 3, 2, 2), normal(1, 3), normal(2, 3)], (1e-5,)),
    ),
    Kernel(
        "batch_norm_eval",
        norm.batch_norm_eval,
        evaluated_batch_norms(),
        naive_batch_norm_eval,
        torch_batch_norm_eval,
        ([10 * distinct(0, 4, 3, 2, 2), normal(1, 3), normal(2, 3) ** 2, normal(3, 3), normal(4, 3)], (1e-5,)),
    ),
    Kernel(
        "layer_norm",
        lambda x, w, b, dims, eps: without_none(norm.layer_norm(x, dims, w, b, eps)),
        layer_norms(),
        naive_layer_norm,
        lambda t, x, w, b, dims, eps: t.nn.functional.layer_norm(x, x.shape[-dims:], w, b, eps),
        ([10 * distinct(0, 4, 3, 5), normal(1, 3, 5), normal(2, 3, 5)], (2, 1e-5)),
    ),
    Kernel(
        "group_norm",
        lambda x, w, b, groups, eps: without_none(norm.group_norm(x, groups, w, b, eps)),
        group_norms(),
        naive_group_norm,
        torch_group_norm,
        ([10 * distinct(0, 2, 6, 3, 2), normal(1, 6), normal(2, 6)], (3, 1e-5)),
    ),
]
