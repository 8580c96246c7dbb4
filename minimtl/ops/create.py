"""New tensors: from data, constant, counted, or random."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimtl import dtypes
from minimtl.autograd import Tensor
from minimtl.backend import Array, is_array, to_device
from minimtl.ops import check
from minimtl.random import Generator, rng_of


def finished(array: Array, dtype: object, requires_grad: bool, device: object) -> Tensor:
    """The array as a Tensor, in the dtype and on the device asked for."""
    if dtype is not None:
        array = array.astype(dtypes.to_dtype(dtype), copy=False)
    return Tensor(to_device(array, device) if device is not None else array, requires_grad)


def new_shape(name: str, sizes: Sequence[Any]) -> tuple[int, ...]:
    """The sizes as a shape to allocate: integers ≥ 0."""
    shape = check.shape_of(name, sizes)
    if min(shape, default=0) < 0:
        raise ValueError(f"{name}: sizes must not be negative, got {shape}")
    return shape


def floating(name: str, dtype: object) -> None:
    """The dtype, where given, is a floating-point one."""
    if dtype is not None and dtypes.to_dtype(dtype).kind != "f":
        raise TypeError(f"{name}: dtype must be a floating-point one, got {dtypes.to_dtype(dtype)}")


def tensor(data: object, dtype: object = None, device: object = None, requires_grad: bool = False) -> Tensor:
    """A new tensor of the data, copied: Python numbers become float32, int64 or bool, arrays keep their dtype."""

    def plain(item: Any) -> Any:
        if isinstance(item, Tensor):
            return item.array
        return [plain(i) for i in item] if isinstance(item, (list, tuple)) else item

    array = dtypes.from_python(plain(data), dtype)
    return finished(array.astype(array.dtype.type, copy=False), dtype, requires_grad, device)


def tensor_of(x: object) -> Tensor:
    """x itself where it is a Tensor, else a tensor of its numbers."""
    return x if isinstance(x, Tensor) else tensor(x)


def from_numpy(array: Array) -> Tensor:
    """A tensor in the memory of the array."""
    if not is_array(array):
        raise TypeError(f"from_numpy: needs an array, got {type(array).__name__}")
    dtypes.to_dtype(array.dtype)
    return Tensor(array)


def full(
    size: Sequence[int], fill_value: float, dtype: object = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of one value."""
    shape = new_shape("full", size)
    check.number("full", "fill_value", fill_value)
    return finished(np.full(shape, dtypes.from_python(fill_value, dtype)), dtype, requires_grad, device)


def zeros(*size: Any, dtype: object = None, device: object = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros, float32 unless said."""
    return full(new_shape("zeros", size), 0.0, dtype, device, requires_grad)


def ones(*size: Any, dtype: object = None, device: object = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones, float32 unless said."""
    return full(new_shape("ones", size), 1.0, dtype, device, requires_grad)


def zeros_like(input: Tensor, dtype: object = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape, dtype and device of the input."""
    check.tensor("zeros_like", "input", input)
    return finished(np.zeros_like(input.array), dtype, requires_grad, None)


def ones_like(input: Tensor, dtype: object = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape, dtype and device of the input."""
    check.tensor("ones_like", "input", input)
    return finished(np.ones_like(input.array), dtype, requires_grad, None)


def full_like(input: Tensor, fill_value: float, dtype: object = None, requires_grad: bool = False) -> Tensor:
    """One value in the shape, dtype and device of the input."""
    check.tensor("full_like", "input", input)
    check.number("full_like", "fill_value", fill_value)
    return finished(np.full_like(input.array, fill_value), dtype, requires_grad, None)


def eye(n: int, m: int | None = None, dtype: object = None, device: object = None) -> Tensor:
    """The identity matrix (n, n), or its first m columns."""
    rows, columns = new_shape("eye", (n, n if m is None else m))
    return finished(np.eye(rows, columns, dtype=np.float32), dtype, False, device)


def arange(start: float, end: float | None = None, step: float = 1, dtype: object = None, device: object = None) -> Tensor:
    """start, start + step, … below end; int64 for integers, else float32."""
    low, high = (0, start) if end is None else (start, end)
    for what, n in (("start", low), ("end", high), ("step", step)):
        check.number("arange", what, n)
    if step == 0:
        raise ValueError("arange: step must not be 0")
    integers = all(isinstance(n, int) for n in (low, high, step))
    return finished(np.arange(low, high, step), dtype or (dtypes.int64 if integers else dtypes.float32), False, device)


def linspace(start: float, end: float, steps: int, dtype: object = None, device: object = None) -> Tensor:
    """steps numbers at equal distances from start to end, both included."""
    check.number("linspace", "start", start)
    check.number("linspace", "end", end)
    new_shape("linspace", (steps,))
    return finished(np.linspace(start, end, steps), dtype or dtypes.float32, False, device)


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: object = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers uniform on [0, 1)."""
    shape = new_shape("rand", size)
    floating("rand", dtype)
    return finished(np.asarray(rng_of(generator).random(shape, dtype=np.float32)), dtype, requires_grad, device)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: object = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers of the normal distribution with mean 0 and variance 1."""
    shape = new_shape("randn", size)
    floating("randn", dtype)
    return finished(np.asarray(rng_of(generator).standard_normal(shape, dtype=np.float32)), dtype, requires_grad, device)


def randint(
    low: int,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    generator: Generator | None = None,
    dtype: object = None,
    device: object = None,
) -> Tensor:
    """Integers uniform on low … high − 1; `randint(high, size)` starts at 0."""
    start, end, sizes = (low, high, size) if isinstance(high, int) else (0, low, high)
    check.number("randint", "low", start)
    check.number("randint", "high", end)
    if sizes is None or end <= start:
        raise ValueError(f"randint: needs low < high and a size, got {low}, {high} and {size}")
    shape = new_shape("randint", sizes)
    return finished(np.asarray(rng_of(generator).integers(start, end, shape)), dtype, False, device)


def randperm(n: int, generator: Generator | None = None, device: object = None) -> Tensor:
    """The integers 0 … n − 1 in random order."""
    new_shape("randperm", (n,))
    return finished(rng_of(generator).permutation(n), None, False, device)
