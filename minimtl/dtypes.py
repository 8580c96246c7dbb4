"""Types of numbers, by PyTorch's rules: Python numbers are float32, int64 or bool, and a scalar never promotes an array.

NumPy's own rules differ: they turn `int64 array + float32 array` and `int array + 1.5` into float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimtl.backend import Array, is_array

float16, float32, float64 = np.dtype("float16"), np.dtype("float32"), np.dtype("float64")
int8, int16, int32, int64 = np.dtype("int8"), np.dtype("int16"), np.dtype("int32"), np.dtype("int64")
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")
DTYPES = (float32, float64, float16, int64, int32, int16, int8, uint8, bool_)
NAMES = {str(dtype): dtype for dtype in DTYPES}

CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}  # NumPy's kinds, in the order in which they prevail


def is_float(x: Array) -> bool:
    """Whether x holds floating-point numbers."""
    return bool(x.dtype.kind == "f")


def to_dtype(dtype: object) -> np.dtype[Any]:
    """The dtype meant by `mm.float32`, `np.float32`, `"float32"`, `float` (float32) or `int` (int64)."""
    if dtype is float:
        return float32
    if dtype is int:
        return int64
    found = NAMES.get(dtype) if isinstance(dtype, str) else dtype
    if isinstance(found, (type, np.dtype)) and np.dtype(found).newbyteorder("=") in DTYPES:
        return np.dtype(np.dtype(found).type)  # NumPy's own object for it, in this machine's byte order
    raise TypeError(f"dtype: {dtype!r} is none of {', '.join(NAMES)}")


def common_dtype(*arrays: Array) -> np.dtype[Any]:
    """The dtype in which arrays meet: the highest category prevails; within it, arrays with axes over the 0-d."""
    highest = max(CATEGORY[x.dtype.kind] for x in arrays)
    prevailing = [x for x in arrays if CATEGORY[x.dtype.kind] == highest]
    return np.result_type(*[x.dtype for x in prevailing if x.ndim] or [x.dtype for x in prevailing])


def promote(a: Array, b: Array) -> tuple[Array, Array]:
    """a and b, arrays or Python numbers, ready for NumPy to compute in the dtype that PyTorch would."""
    if not is_array(a):
        if not is_array(b):
            return np.asarray(a), np.asarray(b)
        b, a = promote(b, a)
        return a, b
    if is_array(b):
        if a.dtype is b.dtype:
            return a, b
        dtype = common_dtype(a, b)
        return a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    if isinstance(b, float) and not is_float(a):
        a = a.astype(float32)
    elif a.dtype.kind == "b" and not isinstance(b, bool):
        a = a.astype(int64)
    return a, b


def from_python(data: object, dtype: object = None) -> Array:
    """A new array of the data: Python numbers become float32, int64 or bool; arrays and NumPy scalars keep their dtype.

    A dtype that is asked for is made of the numbers as they are, not as float32 has them.
    """
    if is_array(data):
        to_dtype(data.dtype)  # type: ignore[attr-defined]
        return data.copy() if dtype is None else data.astype(to_dtype(dtype))  # type: ignore[attr-defined]
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(f"tensor: the rows of the data differ in length: {error}") from error
    if array.dtype.kind not in CATEGORY:
        raise TypeError(f"tensor: needs numbers, got {type(data).__name__} holding {array.dtype}")
    if dtype is not None:
        return array.astype(to_dtype(dtype))
    leaf = data
    while isinstance(leaf, Sequence) and len(leaf):
        leaf = leaf[0]
    from_numpy = isinstance(leaf, np.generic) or is_array(leaf)
    return array if from_numpy or not is_float(array) else array.astype(float32)
