"""Pooling: each window of an image becomes one number, its largest or its mean.

Letters: N images, C channels, H×W pixels; windows of KH×KW, SH×SW apart, on an image framed by PH×PW; OH×OW windows an
image. The loops run over the KH·KW places *inside* a window, never over windows: place (i, j) of all windows at once is
one strided slice of the padded image. Forward reads these slices, backward writes the same slices of the gradient.
"""

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.kernels.window import Pair, crop, output_size, pad, places, sum_runs

WINDOWS = {"KH": "kernel", "KW": "kernel", "SH": "stride", "SW": "stride", "PH": "padding", "PW": "padding"}


@equation(
    "nn.max_pool2d",
    r"y_{n,c,p,q} = \max_{0 \le i < K_H} \max_{0 \le j < K_W} x_{n, c, p S_H + i - P_H, q S_W + j - P_W}",
    shapes="x (N, C, H, W) → y (N, C, OH, OW)",
    source="D1, the listing",
    conventions="outside the image x is −∞; of equal maxima the first takes the gradient",
    symbols=WINDOWS,
    base=0,
    outside={"x": -np.inf},
)
@equation(
    "nn.max_pool2d.vjp",
    r"\frac{\partial L}{\partial x_{n,c,h,v}} = \sum_{p=0}^{O_H-1} \sum_{q=0}^{O_W-1} g_{n,c,p,q}"
    r" [x_{n,c,h,v} = y_{n,c,p,q} \land 0 \le h + P_H - p S_H < K_H \land 0 \le v + P_W - q S_W < K_W]",
    conventions="where a window has one largest entry; of several the first takes it all",
    part="gx",
    helpers=("places", "pad"),
)
def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Result:
    """y[n,c,p,q] = maxᵢ maxⱼ x[n, c, p SH + i − PH, q SW + j − PW]        (N, C, H, W) → (N, C, OH, OW)

    ∂L/∂x[n,c,h,v] = Σₚ Σ_q g[n,c,p,q] [x[n,c,h,v] = y[n,c,p,q] and 0 ≤ h + PH − p SH < KH and 0 ≤ v + PW − q SW < KW]

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


@equation(
    "nn.avg_pool2d",
    r"y_{n,c,p,q} = \frac{1}{k_{p,q}} \sum_{i=0}^{K_H-1} \sum_{j=0}^{K_W-1} x_{n, c, p S_H + i - P_H, q S_W + j - P_W}, \quad"
    r" k_{p,q} = \sum_{i=0}^{K_H-1} \sum_{j=0}^{K_W-1} \max(u, [0 \le p S_H + i - P_H < H \land 0 \le q S_W + j - P_W < W])",
    shapes="x (N, C, H, W) → y (N, C, OH, OW)",
    conventions="outside the image x is 0; u is 1 if what lies outside counts too, else 0",
    symbols={**WINDOWS, "u": "count_include_pad"},
    base=0,
    outside={"x": 0},
)
@equation(
    "nn.avg_pool2d.vjp",
    r"\frac{\partial L}{\partial x_{n,c,h,v}} = \sum_{p=0}^{O_H-1} \sum_{q=0}^{O_W-1} \frac{g_{n,c,p,q}}{k_{p,q}}"
    r" [0 \le h + P_H - p S_H < K_H \land 0 \le v + P_W - q S_W < K_W], \quad"
    r" k_{p,q} = \sum_{i=0}^{K_H-1} \sum_{j=0}^{K_W-1} \max(u, [0 \le p S_H + i - P_H < H \land 0 \le q S_W + j - P_W < W])",
    part="gx",
)
def avg_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool = True) -> Result:
    """y[n,c,p,q] = 1 / k[p,q] · Σᵢ Σⱼ x[n, c, p SH + i − PH, q SW + j − PW]        (N, C, H, W) → (N, C, OH, OW)

    ∂L/∂x[n,c,h,v] = Σₚ Σ_q g[n,c,p,q] / k[p,q] · [0 ≤ h + PH − p SH < KH and 0 ≤ v + PW − q SW < KW]

    Outside the image x counts as 0. k[p,q] is how many pixels the window has, those outside the image among them only
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


@equation(
    "nn.adaptive_avg_pool2d",
    r"y_{n,c,p,q} = \frac{1}{(b_p - a_p) \, (v_q - u_q)} \sum_{h=a_p}^{b_p-1} \sum_{w=u_q}^{v_q-1} x_{n,c,h,w}, \quad"
    r" a_p = \lfloor p H / O_H \rfloor, \quad b_p = \lceil (p+1) \, H / O_H \rceil, \quad"
    r" u_q = \lfloor q W / O_W \rfloor, \quad v_q = \lceil (q+1) \, W / O_W \rceil",
    shapes="x (N, C, H, W) → y (N, C, OH, OW)",
    conventions="OH = OW = 1 is global average pooling",
    symbols={"OH": "size", "OW": "size"},
    base=0,
    helpers=("sum_windows", "sum_runs"),
)
@equation(
    "nn.adaptive_avg_pool2d.vjp",
    r"\frac{\partial L}{\partial x_{n,c,h,w}} = \sum_{p=0}^{O_H-1} \sum_{q=0}^{O_W-1}"
    r" \frac{g_{n,c,p,q}}{(b_p - a_p) \, (v_q - u_q)} [a_p \le h < b_p \land u_q \le w < v_q], \quad"
    r" a_p = \lfloor p H / O_H \rfloor, \quad b_p = \lceil (p+1) \, H / O_H \rceil, \quad"
    r" u_q = \lfloor q W / O_W \rfloor, \quad v_q = \lceil (q+1) \, W / O_W \rceil",
)
def adaptive_avg_pool2d(x: Array, size: Pair) -> Result:
    """y[n,c,p,q] = 1 / ((bₚ − aₚ) (v[q] − u[q])) · Σₕ Σ_w x[n,c,h,w], h from aₚ = ⌊p H/OH⌋ to below bₚ = ⌈(p + 1) H/OH⌉, w alike

    ∂L/∂x[n,c,h,w] = Σₚ Σ_q g[n,c,p,q] / ((bₚ − aₚ) (v[q] − u[q])) · [aₚ ≤ h < bₚ and u[q] ≤ w < v[q]]

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
