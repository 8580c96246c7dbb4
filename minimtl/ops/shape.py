"""Moving entries without changing them: reshape, transpose, join, cut, read at indices, cast. G: the result's gradient."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minimtl import dtypes, kernels
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array, device_of, is_array, to_device
from minimtl.equation import equation
from minimtl.kernels.shared import Map, Result
from minimtl.ops import check


def back_to(shape: tuple[int, ...]) -> Map:
    """G in the shape that the argument had. Maps here hold shapes, not arrays: no numbers are needed to move numbers back."""
    return lambda G: G.reshape(shape)


@differentiable
def reshape(x: Array, shape: Sequence[int]) -> Result:
    """The entries in reading order, in another shape; one size may be −1.      ∂L/∂x = G in the shape of x"""
    sizes = check.shape_of("reshape", shape)
    known = math.prod(n for n in sizes if n != -1)
    free = sizes.count(-1)
    fits = x.size == known if not free else free == 1 and known > 0 and x.size % known == 0
    if not fits or any(n < -1 for n in sizes):
        raise ValueError(f"reshape: {x.size} entries of shape {x.shape} do not fill the shape {sizes}")
    return x.reshape(sizes), back_to(x.shape)


@equation(
    "nn.flatten",
    r"y_{n,m} = x_{n, \lfloor m / (H W) \rfloor, \lfloor (m \bmod (H W)) / W \rfloor, m \bmod W}",
    shapes="x (N, C, H, W) → y (N, CHW)",
    conventions="here of axes 1 … 3, as before a linear layer",
    base=0,
    unseen=("start_dim", "end_dim"),
)
@equation("nn.flatten.vjp", r"\frac{\partial L}{\partial x_{n,c,h,w}} = G_{n, (c H + h) \, W + w}")
@differentiable
def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Result:
    """The axes start_dim … end_dim as one.      ∂L/∂x = G in the shape of x

    Of axes 1 … 3: yₙₘ = x[n, ⌊m / (H W)⌋, ⌊(m mod (H W)) / W⌋, m mod W],  ∂L/∂x[n,c,h,w] = G[n, (c H + h) W + w]
    """
    first, last = check.axis("flatten", x, start_dim), check.axis("flatten", x, end_dim)
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} lies behind end_dim {end_dim} in a tensor of {x.ndim} axes")
    shape = (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    return x.reshape(shape), back_to(x.shape)


@differentiable
def permute(x: Array, dims: Sequence[int]) -> Result:
    """Axis i of the result is axis dims[i] of x.      ∂L/∂x = G with the axes put back"""
    order = check.axes("permute", x, check.shape_of("permute", dims))
    if len(order) != x.ndim:
        raise ValueError(f"permute: a tensor of {x.ndim} axes needs each once, got {tuple(dims)}")
    return x.transpose(order), lambda G: G.transpose(np.argsort(order).tolist())


@differentiable
def transpose(x: Array, dim0: int, dim1: int) -> Result:
    """Two axes exchanged.      ∂L/∂x = G with them exchanged back"""
    a, b = check.axis("transpose", x, dim0), check.axis("transpose", x, dim1)
    return (x.swapaxes(a, b), lambda G: G.swapaxes(a, b)) if x.ndim else (x, lambda G: G)


@differentiable
def squeeze(x: Array, dim: check.Dims = None) -> Result:
    """Without the axes of size 1, or those of them in dim.      ∂L/∂x = G in the shape of x"""
    axes = tuple(i for i in check.axes("squeeze", x, dim) if x.shape[i] == 1)
    return x.squeeze(axes), back_to(x.shape)


@differentiable
def unsqueeze(x: Array, dim: int) -> Result:
    """With a new axis of size 1 at dim.      ∂L/∂x = G in the shape of x"""
    return np.expand_dims(x, check.axis("unsqueeze", x, dim, new=1)), back_to(x.shape)


@differentiable(broadcasts=True)
def expand(x: Array, sizes: Sequence[int]) -> Result:
    """Axes of size 1 repeated to the sizes, new axes in front; −1 keeps a size.      ∂L/∂x = Σ G over the repeated axes"""
    wanted = check.shape_of("expand", sizes)
    new = len(wanted) - x.ndim
    kept = tuple(x.shape[i - new] if n == -1 and i >= new else n for i, n in enumerate(wanted))
    if new < 0 or any(n < 0 for n in kept) or any(m not in (1, n) for m, n in zip(x.shape, kept[new:], strict=True)):
        raise ValueError(f"expand: shape {x.shape} does not expand to {wanted}")
    return np.broadcast_to(x, kept), lambda G: G


def joint_dtype(name: str, tensors: Sequence[Array]) -> np.dtype[Any]:
    """The dtype in which a sequence of at least one tensor meets, checked to be one."""
    if not isinstance(tensors, (list, tuple)) or not tensors:
        came = "an empty one" if isinstance(tensors, (list, tuple)) else type(tensors).__name__
        raise TypeError(f"{name}: needs a list of one or more tensors, got {came}")
    for i, x in enumerate(tensors):
        if not is_array(x):
            raise TypeError(f"{name}: item {i} must be a Tensor, got {type(x).__name__}")
    return dtypes.common_dtype(*tensors)


@differentiable(casts=True)
def cat(tensors: Sequence[Array], dim: int = 0) -> Result:
    """The tensors one after the other along dim, in a common dtype.      ∂L/∂xᵢ = the part of G that came from xᵢ"""
    dtype = joint_dtype("cat", tensors)
    first, axis = tensors[0], check.axis("cat", tensors[0], dim)
    for i, x in enumerate(tensors):
        if (
            x.ndim != first.ndim
            or x.ndim == 0
            or any(m != n for j, (m, n) in enumerate(zip(x.shape, first.shape, strict=True)) if j != axis)
        ):
            raise ValueError(f"cat: tensor {i} of shape {x.shape} does not continue {first.shape} along dim {axis}")
    ends = np.cumsum([x.shape[axis] for x in tensors]).tolist()
    cuts = [(slice(None),) * axis + (slice(e - x.shape[axis], e),) for x, e in zip(tensors, ends, strict=True)]
    y = np.concatenate(tensors, axis=axis, dtype=dtype)
    own = [(cut, x.dtype) for cut, x in zip(cuts, tensors, strict=True)]
    return y, *(lambda G, cut=cut, dtype=dtype: G[cut].astype(dtype, copy=False) for cut, dtype in own)


@differentiable(casts=True)
def stack(tensors: Sequence[Array], dim: int = 0) -> Result:
    """Tensors of one shape along a new axis dim, in a common dtype.      ∂L/∂xᵢ = the i-th slice of G"""
    dtype = joint_dtype("stack", tensors)
    shapes = list(dict.fromkeys(x.shape for x in tensors))
    if len(shapes) > 1:
        raise ValueError(f"stack: all tensors must have one shape, got {shapes}")
    axis = check.axis("stack", tensors[0], dim, new=1)
    y = np.stack(tensors, axis=axis, dtype=dtype)
    own = [x.dtype for x in tensors]
    return y, *(lambda G, i=i, d=d: np.take(G, i, axis).astype(d, copy=False) for i, d in enumerate(own))


def split(x: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """x cut along dim into pieces of one size (the last may be smaller) or of the given sizes."""
    check.tensor("split", "x", x)
    if x.array.ndim == 0:
        raise ValueError("split: a 0-d tensor has no axis to cut")
    axis = check.axis("split", x.array, dim)
    size, n = split_size_or_sections, x.array.shape[axis]
    if isinstance(size, int):
        if size <= 0:
            raise ValueError(f"split: the size of a piece must be positive, got {size}")
        size = [min(size, n - i) for i in range(0, n, size)] or [0]
    sections = check.shape_of("split", size)
    if sum(sections) != n or any(s < 0 for s in sections):
        raise ValueError(f"split: sizes {list(sections)} must add up to {n}, the length of dim {axis}")
    starts = [sum(sections[:i]) for i in range(len(sections))]
    before = (slice(None),) * axis
    return tuple(getitem(x, (*before, slice(i, i + s))) for i, s in zip(starts, sections, strict=True))


@differentiable
def getitem(x: Array, index: object) -> Result:
    """y = x[index], by integers, slices, None, …, integer tensors or a boolean mask: see `kernels.take`."""
    try:
        return kernels.take(x, index)
    except (IndexError, ValueError, TypeError) as error:
        raise IndexError(f"index: {error} (tensor of shape {x.shape})") from error


@differentiable
def index_select(x: Array, dim: int, index: Array) -> Result:
    """y = the slices of x along dim that index, a vector of integers, names in turn: see `kernels.take`."""
    axis = check.axis("index_select", x, dim)
    if x.ndim == 0 or index.ndim != 1:
        raise ValueError(f"index_select: needs a tensor with axes and a vector of integers, got {x.shape} and {index.shape}")
    check.integers("index_select", "index", index, 0, x.shape[axis])
    return kernels.take(x, (slice(None),) * axis + (index,))


@equation(
    "nn.embedding",
    r"y_{n,d} = w_{x_n, d}",
    shapes="x (N), w (V, D) → y (N, D)",
    symbols={"x": "input", "w": "weight"},
    base=0,
)
@equation("nn.embedding.vjp", r"\frac{\partial L}{\partial w_{v,d}} = \sum_{n=0}^{N-1} [x_n = v] g_{n,d}")
@differentiable
def embedding(input: Array, weight: Array) -> Result:
    """y[n,d] = w[xₙ,d]      (…), (V, D) → (…, D): row i of w is the vector of item i; see `kernels.take`.

    ∂L/∂w[v,d] = Σₙ [xₙ = v] g[n,d]
    """
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be a matrix (items, features), got {weight.shape}")
    check.integers("embedding", "input", input, 0, weight.shape[0])
    y, gw = kernels.take(weight, input)
    return y, None, gw


@differentiable
def pad(input: Array, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Result:
    """x framed by `value`: pad = (before, after) of the last axis, then of the one before it, …      ∂L/∂x = the inside of G

    Negative widths cut instead, as in PyTorch.
    """
    widths = check.shape_of("pad", pad)
    check.number("pad", "value", value)
    if mode != "constant":
        raise ValueError(f"pad: mode must be 'constant', got {mode!r}")
    if len(widths) % 2 or len(widths) > 2 * input.ndim:
        raise ValueError(f"pad: needs two widths for each of up to {input.ndim} axes, got {widths}")
    pairs = [(0, 0)] * (input.ndim - len(widths) // 2) + list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    shape = tuple(n + a + b for n, (a, b) in zip(input.shape, pairs, strict=True))
    if any(n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(input.shape, pairs, strict=True)):
        raise ValueError(f"pad: {widths} cuts more than there is of {input.shape}")
    inside = tuple(
        slice(max(a, 0), max(a, 0) + n + min(a, 0) + min(b, 0)) for n, (a, b) in zip(input.shape, pairs, strict=True)
    )
    source = tuple(slice(max(-a, 0), n + min(b, 0)) for n, (a, b) in zip(input.shape, pairs, strict=True))
    y, whole = np.full_like(input, value, shape=shape), input.shape
    y[inside] = input[source]

    def gx(G: Array) -> Array:
        gx = np.zeros_like(G, shape=whole)
        gx[source] = G[inside]
        return gx

    return y, gx


@differentiable(casts=True)
def cast(x: Array, dtype: np.dtype[Any]) -> Result:
    """x in another dtype; a copy only where it differs.      ∂L/∂x = G in the dtype of x"""
    y, own = x.astype(dtype, copy=False), x.dtype
    return (y, lambda G: G.astype(own, copy=False)) if dtypes.is_float(y) else (y,)


@differentiable
def to_device_of(x: Array, device: object) -> Result:
    """x on the device; x itself where it is there.      ∂L/∂x = G, back on the device of x"""
    home = device_of(x)
    return to_device(x, device), lambda G: to_device(G, home)


@differentiable
def clone(x: Array) -> Result:
    """A copy in memory of its own.      ∂L/∂x = G"""
    return x.copy(), lambda G: G
