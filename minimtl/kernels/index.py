"""Reading at indices, and its adjoint, adding at indices."""

from typing import Any

import numpy as np

from minimtl.backend import Array
from minimtl.kernels.shared import Result


def take(x: Array, index: Any) -> Result:
    """y = x[index], any index NumPy reads      gx[index] += g, so that an entry read twice gets both gradients"""
    items = index if isinstance(index, tuple) else (index,)
    repeats = any(isinstance(i, list) or (hasattr(i, "dtype") and i.dtype.kind in "iu") for i in items)

    def gx(g: Array) -> Array:
        gx = np.zeros_like(x)
        if not repeats:
            gx[index] = g
            return gx
        places = np.arange(x.size, like=x).reshape(x.shape)[index]  # which number of x each number of y is
        flat = gx.reshape(-1)
        np.add.at(flat, places.reshape(-1), g.reshape(-1))  # 1-D, the one form in which NumPy does this fast
        return flat.reshape(x.shape)

    return x[index], gx
