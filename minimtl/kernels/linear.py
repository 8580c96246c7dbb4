"""The linear layer."""

import math

import numpy as np

from minimtl.backend import Array
from minimtl.kernels.shared import Result


def linear(x: Array, w: Array, b: Array | None) -> Result:
    """y = x wᵀ + b      (…, I), (O, I), (O) → (…, O)      gx = g w      gw = gᵀ x      gb = 1ᵀ g, summed over M = all of …"""
    (O, I), M = w.shape, math.prod(x.shape[:-1])
    y = np.matmul(x, w.T)  # (…, I) @ (I, O) → (…, O)
    if b is not None:
        y += b

    def gx(g: Array) -> Array:
        return np.matmul(g, w)  # (…, O) @ (O, I) → (…, I)

    def gw(g: Array) -> Array:
        return g.reshape(M, O).T @ x.reshape(M, I)  # (O, M) @ (M, I) → (O, I)

    def gb(g: Array) -> Array:
        return np.ones_like(g, shape=M) @ g.reshape(M, O)  # (M) @ (M, O) → (O); faster than a sum over rows

    return y, gx, gw, gb
