"""Windows on an image: the geometry that convolution and pooling share.

Letters: N images, C channels, H×W pixels; windows of KH×KW pixels, SH×SW apart, on an image framed by PH×PW; within a
window the pixels are DH×DW apart; OH×OW windows an image.
"""

from collections.abc import Iterator

import numpy as np

from minimtl.backend import Array
from minimtl.equation import equation

Pair = tuple[int, int]
PAIRS = {"H": "size", "KH": "kernel", "SH": "stride", "PH": "padding", "DH": "dilation"}
PAIRS |= {f"{name[:-1]}W": argument for name, argument in PAIRS.items()}


@equation(
    "nn.conv2d.size",
    r"O_H = \lfloor (H + 2 P_H - D_H (K_H - 1) - 1) / S_H \rfloor + 1, \quad"
    r" O_W = \lfloor (W + 2 P_W - D_W (K_W - 1) - 1) / S_W \rfloor + 1",
    shapes="x (N, C, H, W) → y (N, F, OH, OW)",
    conventions="how many windows fit; pooling has no dilation, D = 1",
    symbols=PAIRS,
)
def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair = (0, 0), dilation: Pair = (1, 1)) -> Pair:
    """OH = ⌊(H + 2 PH − DH (KH − 1) − 1) / SH⌋ + 1, and OW alike; below 1 where no window fits."""
    (H, W), (KH, KW), (SH, SW), (PH, PW), (DH, DW) = size, kernel, stride, padding, dilation
    return (H + 2 * PH - DH * (KH - 1) - 1) // SH + 1, (W + 2 * PW - DW * (KW - 1) - 1) // SW + 1


@equation(
    "nn.conv_transpose2d.size",
    r"O_H = (H - 1) \, S_H - 2 P_H + D_H (K_H - 1) + 1 + E_H, \quad O_W = (W - 1) \, S_W - 2 P_W + D_W (K_W - 1) + 1 + E_W",
    shapes="x (N, C, H, W) → y (N, F, OH, OW)",
    conventions="E is output_padding: of the sizes from which a convolution comes to H and W, the least and how far above it",
    symbols={**PAIRS, "EH": "extra", "EW": "extra"},
)
def transposed_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, extra: Pair) -> Pair:
    """OH = (H − 1) SH − 2 PH + DH (KH − 1) + 1 + EH: the least height whose `output_size` is H, plus `extra`; width alike."""
    (H, W), (KH, KW), (SH, SW), (PH, PW), (DH, DW) = size, kernel, stride, padding, dilation
    OH, OW = (H - 1) * SH - 2 * PH + DH * (KH - 1) + 1, (W - 1) * SW - 2 * PW + DW * (KW - 1) + 1
    return OH + extra[0], OW + extra[1]


def places(x: Array, kernel: Pair, size: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Iterator[Array]:
    """Place (i, j) of the first OH×OW windows, for each i, j in reading order: views (N, C, OH, OW) of x (N, C, H, W).

    Windows may overlap, a single place of them all does not: adding to it meets each pixel at most once.
    """
    (KH, KW), (OH, OW), (SH, SW), (DH, DW) = kernel, size, stride, dilation
    for top in range(0, DH * KH, DH):
        for left in range(0, DW * KW, DW):
            yield x[:, :, top : top + SH * (OH - 1) + 1 : SH, left : left + SW * (OW - 1) + 1 : SW]


def pad(x: Array, padding: Pair, value: float) -> Array:
    """x framed by PH rows and PW columns of `value`, in x's memory layout; x itself where there is no frame."""
    (PH, PW), (N, C, H, W) = padding, x.shape
    if PH == PW == 0:
        return x
    xp = np.full_like(x, value, shape=(N, C, H + 2 * PH, W + 2 * PW))
    crop(xp, padding)[...] = x
    return xp


def crop(xp: Array, padding: Pair) -> Array:
    """xp without its frame of PH rows and PW columns, as a view: the inverse of `pad`, and its derivative."""
    (PH, PW), (H, W) = padding, xp.shape[2:]
    return xp[:, :, PH : H - PH, PW : W - PW]


def sum_runs(x: Array, axis: int, starts: Array, stops: Array) -> Array:
    """y[p] = Σ x[starts[p] : stops[p]] along the axis; runs may overlap, and an empty one gives 0.

    The loop runs over the places inside a run: place k of all runs that are longer than k is one indexing.
    """
    x = x.swapaxes(0, axis)
    y = np.zeros_like(x, shape=(len(starts), *x.shape[1:]))
    for k in range(int((stops - starts).max())):
        longer = starts + k < stops
        y[longer] += x[starts[longer] + k]
    return y.swapaxes(0, axis)
