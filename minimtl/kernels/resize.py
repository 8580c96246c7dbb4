"""Resizing: an image of another size from the pixels of the old one."""

import numpy as np

from minimtl.backend import Array
from minimtl.kernels.shared import Result
from minimtl.kernels.window import Pair, sum_runs


def upsample_nearest2d(x: Array, size: Pair) -> Result:
    """y[n,c,p,q] = x[n, c, ⌊p·H/OH⌋, ⌊q·W/OW⌋]        (N, C, H, W) → (N, C, OH, OW)

    Row h is read by rows ⌈h·OH/H⌉ to below ⌈(h+1)·OH/H⌉, whose gradients it gets; by none where it is skipped because
    OH < H. PyTorch rounds p·H/OH in float32 first and so reads the row before at a few sizes, such as 14 → 46.
    """
    (H, W), (OH, OW) = x.shape[2:], size
    rows, cols = np.arange(OH, like=x) * H // OH, np.arange(OW, like=x) * W // OW
    y = x.transpose(1, 2, 3, 0).take(rows, axis=1).take(cols, axis=2)  # (N, C, H, W) → (C, OH, OW, N)

    def gx(g: Array) -> Array:
        for axis, n in ((2, H), (3, W)):
            edges = -(-np.arange(n + 1, like=g) * g.shape[axis] // n)  # −⌊−a⌋ is ⌈a⌉
            g = sum_runs(g, axis, edges[:-1], edges[1:])
        return g

    return y.transpose(3, 0, 1, 2), gx
