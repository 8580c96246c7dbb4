"""Convolution: one sum, linear in the image, in the filters and in the output, and its three derivatives.

    T(x, w, y) = Σ y[n,f,p,q] · w[f,c,i,j] · x[n, c, p·SH + i·DH − PH, q·SW + j·DW − PW]       over n, f, c, i, j, p, q

`correlate`, `spread` and `weigh` are its derivatives by y, x and w. A convolution is the first and has the other two as
its maps; a transposed convolution is the second and has the first and the third. Each is one matrix product, for which
the image's windows are laid out as columns (im2col).

Letters: N images, C channels, H×W pixels, F filters of KH×KW; OH×OW outputs an image; G groups: each filter sees only
the channels of its own group, so that w is (F, C/G, KH, KW).

The memory behind a result (N, C, H, W) is ordered (C, H, W, N). Then the columns are filled by copying long runs, the
same pixel of all images and of neighbouring windows, and no factor or product of the matrices needs reordering.
"""

import math

import numpy as np

from minimtl.backend import Array
from minimtl.kernels.shared import Result
from minimtl.kernels.window import Pair, crop, output_size, pad, places, transposed_size


def conv2d(x: Array, w: Array, b: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Result:
    """y[n,f,p,q] = b[f] + Σ_{c,i,j} w[f,c,i,j] · x[n, c, p·SH + i·DH − PH, q·SW + j·DW − PW]

    x (N, C, H, W), w (F, C/G, KH, KW), b (F) or None → y (N, F, OH, OW)

    The filters are not flipped, as in PyTorch. Outside the image x counts as 0. The columns are up to KH·KW times as
    large as x: gw makes them again rather than keep them.
    """
    x_size, kernel, how = x.shape[2:], w.shape[2:], (stride, padding, dilation, groups)
    y = correlate(x, w, output_size(x_size, kernel, stride, padding, dilation), *how)
    if b is not None:
        y += b[:, None, None]
    return y, lambda g: spread(g, w, x_size, *how), lambda g: weigh(x, g, kernel, *how), lambda g: g.sum((0, 2, 3))


def conv_transpose2d(
    x: Array, w: Array, b: Array | None, stride: Pair, padding: Pair, output_padding: Pair, groups: int, dilation: Pair
) -> Result:
    """y[n,f,r,s] = b[f] + Σ w[c,f,i,j] · x[n,c,p,q]  over c, i, j, p, q with r = p·SH + i·DH − PH, s = q·SW + j·DW − PW

    x (N, C, H, W), w (C, F/G, KH, KW), b (F) or None → y (N, F, OH, OW)

    The derivative of a convolution from F channels of OH×OW to C of H×W, hence the order of w's axes. Where SH > 1 that
    convolution takes images of several heights OH to the same H; `output_padding` says how far above the least OH is.
    """
    x_size, kernel, how = x.shape[2:], w.shape[2:], (stride, padding, dilation, groups)
    y = spread(x, w, transposed_size(x_size, kernel, stride, padding, dilation, output_padding), *how)
    if b is not None:
        y += b[:, None, None]
    return y, lambda g: correlate(g, w, x_size, *how), lambda g: weigh(g, x, kernel, *how), lambda g: g.sum((0, 2, 3))


def correlate(x: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """∂T/∂y: x (N, C, H, W), w (F, C/G, KH, KW), y's size (OH, OW) → (N, F, OH, OW)"""
    N, (F, _, *kernel), (OH, OW) = len(x), w.shape, size
    cols = columns(x, kernel, size, stride, padding, dilation, groups)
    y = rows(w, groups) @ cols  # (G, F/G, C/G·KH·KW) @ (G, C/G·KH·KW, OH·OW·N) → (G, F/G, OH·OW·N)
    return y.reshape(F, OH, OW, N).transpose(3, 0, 1, 2)  # (G, F/G, OH·OW·N) → (F, OH, OW, N) → (N, F, OH, OW)


def spread(y: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """∂T/∂x: y (N, F, OH, OW), w (F, C/G, KH, KW), x's size (H, W) → (N, C, H, W)

    The product is columns again; each of their numbers is added to the pixel that `columns` would copy there.
    """
    (N, _, OH, OW), (_, CG, KH, KW), (H, W), (PH, PW) = y.shape, w.shape, size, padding
    y2d = rows(y.transpose(1, 2, 3, 0), groups)
    cols = rows(w, groups).swapaxes(1, 2) @ y2d  # (G, C/G·KH·KW, F/G) @ (G, F/G, OH·OW·N) → (G, C/G·KH·KW, OH·OW·N)
    cols = cols.reshape(groups * CG, KH * KW, OH, OW, N)  # → (C, KH·KW, OH, OW, N)
    xp = np.zeros_like(y, shape=(groups * CG, H + 2 * PH, W + 2 * PW, N), order="C").transpose(3, 0, 1, 2)
    for place, col in zip(places(xp, (KH, KW), (OH, OW), stride, dilation), cols.transpose(1, 4, 0, 2, 3), strict=True):
        place += col  # (N, C, OH, OW)
    return crop(xp, padding)


def weigh(x: Array, y: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """∂T/∂w: x (N, C, H, W), y (N, F, OH, OW) → (F, C/G, KH, KW)"""
    y2d = rows(y.transpose(1, 2, 3, 0), groups)
    cols = columns(x, kernel, y.shape[2:], stride, padding, dilation, groups)
    w = y2d @ cols.swapaxes(1, 2)  # (G, F/G, OH·OW·N) @ (G, OH·OW·N, C/G·KH·KW) → (G, F/G, C/G·KH·KW)
    return w.reshape(y.shape[1], x.shape[1] // groups, *kernel)  # (G, F/G, C/G·KH·KW) → (F, C/G, KH, KW)


def rows(a: Array, groups: int) -> Array:
    """The first axis as rows, in groups, all others as one: (G·R, …) → (G, R, …)"""
    return a.reshape(groups, len(a) // groups, math.prod(a.shape[1:]))


def columns(x: Array, kernel: Pair, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """The first OH×OW windows of x as columns: (N, C, H, W) → (G, C/G·KH·KW, OH·OW·N)

    The mirror of `spread`: what is added there is copied here.
    """
    (KH, KW), (OH, OW), (N, C, *_) = kernel, size, x.shape
    xp = np.ascontiguousarray(pad(x, padding, 0.0).transpose(1, 2, 3, 0), like=x).transpose(3, 0, 1, 2)  # memory (C, H, W, N)
    cols = np.empty_like(xp, shape=(C, KH * KW, OH, OW, N), order="C")
    for place, col in zip(places(xp, kernel, size, stride, dilation), cols.transpose(1, 4, 0, 2, 3), strict=True):
        col[...] = place  # (N, C, OH, OW)
    return cols.reshape(groups, C // groups * KH * KW, OH * OW * N)  # → (G, C/G·KH·KW, OH·OW·N)
