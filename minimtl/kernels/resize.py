"""Resizing: an image of another size from the pixels of the old one."""

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.kernels.window import Pair, sum_runs


@equation(
    "nn.upsample_nearest2d",
    r"y_{n,c,p,q} = x_{n, c, \lfloor p H / O_H \rfloor, \lfloor q W / O_W \rfloor}",
    shapes="x (N, C, H, W) → y (N, C, OH, OW)",
    symbols={"OH": "size", "OW": "size"},
    base=0,
)
@equation(
    "nn.upsample_nearest2d.vjp",
    r"\frac{\partial L}{\partial x_{n,c,h,w}} = \sum_{p=0}^{O_H-1} \sum_{q=0}^{O_W-1} g_{n,c,p,q}"
    r" [\lfloor p H / O_H \rfloor = h \land \lfloor q W / O_W \rfloor = w]",
    part="gx",
)
def upsample_nearest2d(x: Array, size: Pair) -> Result:
    """y[n,c,p,q] = x[n, c, ⌊p H/OH⌋, ⌊q W/OW⌋]        (N, C, H, W) → (N, C, OH, OW)

    ∂L/∂x[n,c,h,w] = Σₚ Σ_q g[n,c,p,q] [⌊p H/OH⌋ = h and ⌊q W/OW⌋ = w]

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
