"""Reading at indices, its adjoint, adding at indices, and writing."""

from typing import Any

import numpy as np

from minimtl.backend import Array
from minimtl.kernels.shared import Result


def take(x: Array, index: Any) -> Result:
    """y = x[index], any index NumPy reads      gx[index] += g, so that an entry read twice gets both gradients

    Numbers and slices are read first and tensors after them, as in PyTorch: `x[0, :, [1, 2]]` is (H, 2) for x of shape
    (C, H, W), where NumPy, to which 0 is one more tensor, puts the 2 in front.
    """
    (plain, tensors), shape, size = parts(index, x), x.shape, x.size

    def read(a: Array) -> Array:
        return a[plain] if tensors is None else a[plain][tensors]

    def gx(g: Array) -> Array:
        gx = np.zeros_like(g, shape=shape)
        if tensors is None:
            gx[plain] = g
            return gx
        places = read(np.arange(size, like=g).reshape(shape))  # which number of x each number of y is
        flat = gx.reshape(-1)
        np.add.at(flat, places.reshape(-1), g.reshape(-1))  # 1-D, the one form in which NumPy does this fast
        return flat.reshape(shape)

    return read(x), gx


def put(x: Array, index: Any, value: Array) -> None:
    """x[index] ← value, broadcast, with the index read as by `take`."""
    plain, tensors = parts(index, x)
    if tensors is None:
        x[plain] = value
    else:
        x[plain][tensors] = value


def parts(index: Any, x: Array) -> tuple[Any, Any]:
    """The index as one of numbers, slices and masks, and one of tensors for what that leaves; None where there is no need."""
    items = [as_item(i, x) for i in (index if isinstance(index, tuple) else (index,))]
    if not any(is_tensor(i) and (i.dtype.kind != "b" or any(isinstance(j, int) for j in items)) for i in items):
        whole = () if any(i is ... for i in items) else (...,)  # with it NumPy shows one entry too, instead of copying it
        return (*items, *whole), None  # nothing is read twice
    rest = [slice(None)] * (x.ndim - sum(map(width, items)))  # what … stands for: nothing does not part the tensors around it
    items = [j for i in items for j in (rest if i is ... else [i])]
    plain = [j for i in items for j in ([slice(None)] * width(i) if is_tensor(i) else [i])]
    return tuple(plain), tuple(i if is_tensor(i) else slice(None) for i in items if not isinstance(i, int))


def as_item(i: Any, x: Array) -> Any:
    """One item of an index: a sequence or a truth value as a tensor, a tensor of one integer as a number."""
    if isinstance(i, (list, tuple, bool)):
        return np.array(i, like=x) if np.size(i) else np.zeros(np.shape(i), int, like=x)
    return i.item() if is_tensor(i) and i.ndim == 0 and i.dtype.kind in "iu" else i


def is_tensor(i: Any) -> bool:
    """Whether an item of an index is an array."""
    return hasattr(i, "dtype")


def width(i: Any) -> int:
    """How many axes an item of an index reads."""
    return 0 if i is None or i is ... else int(i.ndim) if is_tensor(i) and i.dtype.kind == "b" else 1
