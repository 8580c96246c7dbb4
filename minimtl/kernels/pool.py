"""Pooling: each window of an image becomes one number, its largest or its mean.

Letters: N images, C channels, H×W pixels; windows of KH×KW, SH×SW apart, on an image framed by PH×PW; OH×OW windows an
image. The loops run over the KH·KW places *inside* a window, never over windows: place (i, j) of all windows at once is
one strided slice of the padded image. Forward reads these slices, backward writes the same slices of the gradient.
"""

import numpy as np

from minimtl.backend import Array
from minimtl.kernels.shared import Result
from minimtl.kernels.window import Pair, crop, output_size, pad, places, sum_runs


def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Result:
    """y[n,c,p,q] = max_{i,j} x[n, c, p·SH + i − PH, q·SW + j − PW]        (N, C, H, W) → (N, C, OH, OW)

    Outside the image x counts as −∞: a window of negative numbers keeps its maximum. Of equal maxima the first takes
    the whole gradient, as in PyTorch. NaN counts as larger than any number.
    """
    size = output_size(x.shape[2:], kernel, stride, padding)
    first, *rest = places(pad(x, padding, -np.inf), kernel, size, stride)
    y = first.copy("K")
    for place in rest:
        np.maximum(y, place, out=y)

    def gx(g: Array) -> Array:
        xp = pad(x, padding, -np.inf)
        gxp, taken = np.zeros_like(xp), np.zeros_like(y, dtype=bool)
        for place, g_place in zip(places(xp, kernel, size, stride), places(gxp, kernel, size, stride), strict=True):
            wins = ((place == y) | (place != place)) & ~taken  # NaN alone differs from itself
            g_place += g * wins  # windows may overlap, so gradients add up
            taken |= wins
        return crop(gxp, padding)

    return y, gx


def avg_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool = True) -> Result:
    """y[n,c,p,q] = 1/K[p,q] Σ_{i,j} x[n, c, p·SH + i − PH, q·SW + j − PW]        (N, C, H, W) → (N, C, OH, OW)

    Outside the image x counts as 0. K[p,q] is how many pixels the window has, those outside the image among them only
    with `count_include_pad`.
    """
    (N, C, H, W), (PH, PW) = x.shape, padding
    size = output_size((H, W), kernel, stride, padding)
    counted = pad(np.ones_like(x, shape=(1, 1, H, W)), padding, float(count_include_pad))
    K = sum(places(counted, kernel, size, stride))  # (1, 1, OH, OW)

    def gx(g: Array) -> Array:
        gxp, share = np.zeros_like(g, shape=(N, C, H + 2 * PH, W + 2 * PW)), g / K
        for g_place in places(gxp, kernel, size, stride):
            g_place += share
        return crop(gxp, padding)

    return sum(places(pad(x, padding, 0.0), kernel, size, stride)) / K, gx


def adaptive_avg_pool2d(x: Array, size: Pair) -> Result:
    """y[n,c,p,q] = mean of x[n, c, ⌊p·H/OH⌋ : ⌈(p+1)·H/OH⌉, ⌊q·W/OW⌋ : ⌈(q+1)·W/OW⌉]

    (N, C, H, W) → (N, C, OH, OW)

    The windows are PyTorch's: they cover the image, and overlap where OH does not divide H. Row h lies in the windows
    from ⌊h·OH/H⌋ to below ⌈(h+1)·OH/H⌉, so the gradient is the same sum with the sizes exchanged.
    """
    x_size = x.shape[2:]
    K = sum_windows(np.ones_like(x, shape=(1, 1, *x_size)), size)  # how many pixels a window has, (1, 1, OH, OW)
    return sum_windows(x, size) / K, lambda g: sum_windows(g / K, x_size)


def sum_windows(x: Array, size: Pair) -> Array:
    """The sums of the OH×OW windows that `adaptive_avg_pool2d` averages: (N, C, H, W) → (N, C, OH, OW)"""
    for axis, m in zip((2, 3), size, strict=True):
        n, p = x.shape[axis], np.arange(m, like=x)
        x = sum_runs(x, axis, p * n // m, -(-(p + 1) * n // m))  # −⌊−a⌋ is ⌈a⌉
    return x
