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
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.kernels.window import Pair, crop, output_size, pad, places, transposed_size

GEOMETRY = {"SH": "stride", "SW": "stride", "PH": "padding", "PW": "padding", "DH": "dilation", "DW": "dilation", "G": "groups"}
PLACES = (
    r" \quad h_{p,i} = p S_H + i D_H - P_H, \quad v_{q,j} = q S_W + j D_W - P_W"  # the pixel at place (i, j) of window (p, q)
)


@equation(
    "nn.conv2d",
    r"y_{n,f,p,q} = b_f + \sum_{c=0}^{C/G-1} \sum_{i=0}^{K_H-1} \sum_{j=0}^{K_W-1} w_{f,c,i,j}"
    r" x_{n, a_f + c, h_{p,i}, v_{q,j}}, \quad a_f = \lfloor f G / F \rfloor C/G," + PLACES,
    shapes="x (N, C, H, W), w (F, C/G, KH, KW), b (F) → y (N, F, OH, OW)",
    source="D1, the listing",
    conventions="cross-correlation: the filters are not flipped; G groups, 1 where none are named; outside the image x is 0",
    symbols=GEOMETRY,
    base=0,
    outside={"x": 0},
    helpers=("correlate", "columns", "rows", "places"),
)
@equation(
    "nn.conv2d.vjp.b", r"\frac{\partial L}{\partial b_f} = \sum_{n=0}^{N-1} \sum_{p=0}^{O_H-1} \sum_{q=0}^{O_W-1} g_{n,f,p,q}"
)
def conv2d(x: Array, w: Array, b: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Result:
    """y[n,f,p,q] = b[f] + Σ_c Σᵢ Σⱼ w[f,c,i,j] x[n, a[f] + c, hₚᵢ, v[q,j]]

    with the pixel hₚᵢ = p SH + i DH − PH, v[q,j] = q SW + j DW − PW at place (i, j) of window (p, q), and a[f] = ⌊f G/F⌋ C/G

    ∂L/∂b[f] = Σₙ Σₚ Σ_q g[n,f,p,q], and by x and w: see `spread` and `weigh`

    x (N, C, H, W), w (F, C/G, KH, KW), b (F) or None → y (N, F, OH, OW)

    The filters are not flipped, as in PyTorch. Outside the image x counts as 0. The columns are up to KH·KW times as
    large as x: gw makes them again rather than keep them.
    """
    x_size, kernel, how = x.shape[2:], w.shape[2:], (stride, padding, dilation, groups)
    y = correlate(x, w, output_size(x_size, kernel, stride, padding, dilation), *how)
    if b is not None:
        y += b[:, None, None]
    return y, lambda g: spread(g, w, x_size, *how), lambda g: weigh(x, g, kernel, *how), lambda g: g.sum((0, 2, 3))


@equation(
    "nn.conv_transpose2d",
    r"y_{n,f,r,s} = b_f + \sum_{c=0}^{C-1} \sum_{p=0}^{H-1} \sum_{q=0}^{W-1} \sum_{i=0}^{K_H-1} \sum_{j=0}^{K_W-1}"
    r" w_{c, f \bmod (F/G), i, j} x_{n,c,p,q}"
    r" [r = h_{p,i} \land s = v_{q,j} \land \lfloor c G / C \rfloor = \lfloor f G / F \rfloor]," + PLACES,
    shapes="x (N, C, H, W), w (C, F/G, KH, KW), b (F) → y (N, F, OH, OW)",
    source="Zeiler et al. 2010",
    conventions="the derivative of a convolution by its input; output_padding makes OH and OW larger, and nothing else",
    symbols=GEOMETRY,
    base=0,
    unseen=("output_padding",),
    helpers=("spread",),
)
@equation(
    "nn.conv_transpose2d.vjp.b",
    r"\frac{\partial L}{\partial b_f} = \sum_{n=0}^{N-1} \sum_{r=0}^{O_H-1} \sum_{s=0}^{O_W-1} g_{n,f,r,s}",
)
def conv_transpose2d(
    x: Array, w: Array, b: Array | None, stride: Pair, padding: Pair, output_padding: Pair, groups: int, dilation: Pair
) -> Result:
    """y[n,f,r,s] = b[f] + Σ_c Σₚ Σ_q Σᵢ Σⱼ w[c, f mod (F/G), i, j] x[n,c,p,q] [r = hₚᵢ and s = v[q,j] and ⌊c G/C⌋ = ⌊f G/F⌋]

    with hₚᵢ = p SH + i DH − PH and v[q,j] = q SW + j DW − PW, as for `conv2d`

    ∂L/∂b[f] = Σₙ Σᵣ Σₛ g[n,f,r,s], and by x and w: see `correlate` and `weigh`

    x (N, C, H, W), w (C, F/G, KH, KW), b (F) or None → y (N, F, OH, OW)

    The derivative of a convolution from F channels of OH×OW to C of H×W, hence the order of w's axes. Where SH > 1 that
    convolution takes images of several heights OH to the same H; `output_padding` says how far above the least OH is.
    """
    x_size, kernel, how = x.shape[2:], w.shape[2:], (stride, padding, dilation, groups)
    y = spread(x, w, transposed_size(x_size, kernel, stride, padding, dilation, output_padding), *how)
    if b is not None:
        y += b[:, None, None]
    return y, lambda g: correlate(g, w, x_size, *how), lambda g: weigh(g, x, kernel, *how), lambda g: g.sum((0, 2, 3))


@equation(
    "nn.conv_transpose2d.vjp.x",
    r"\frac{\partial L}{\partial x_{n,c,p,q}} = \sum_{f=0}^{F/G-1} \sum_{i=0}^{K_H-1} \sum_{j=0}^{K_W-1} w_{c,f,i,j}"
    r" g_{n, a_c + f, h_{p,i}, v_{q,j}}, \quad a_c = \lfloor c G / C \rfloor F/G," + PLACES,
    symbols={"g": "x"},
    outside={"g": 0},
    conventions="outside the result g is 0",
    unseen=("size",),
)
def correlate(x: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """∂T/∂y: x (N, C, H, W), w (F, C/G, KH, KW), y's size (OH, OW) → (N, F, OH, OW)

    Of a transposed convolution ∂L/∂x[n,c,p,q] = Σ_f Σᵢ Σⱼ w[c,f,i,j] g[n, a[c] + f, hₚᵢ, v[q,j]], with the pixels of `conv2d`
    """
    N, (F, _, *kernel), (OH, OW) = len(x), w.shape, size
    cols = columns(x, kernel, size, stride, padding, dilation, groups)
    y = rows(w, groups) @ cols  # (G, F/G, C/G·KH·KW) @ (G, C/G·KH·KW, OH·OW·N) → (G, F/G, OH·OW·N)
    return y.reshape(F, OH, OW, N).transpose(3, 0, 1, 2)  # (G, F/G, OH·OW·N) → (F, OH, OW, N) → (N, F, OH, OW)


@equation(
    "nn.conv2d.vjp.x",
    r"\frac{\partial L}{\partial x_{n,c,r,s}} = \sum_{f=0}^{F-1} \sum_{p=0}^{O_H-1} \sum_{q=0}^{O_W-1}"
    r" \sum_{i=0}^{K_H-1} \sum_{j=0}^{K_W-1} g_{n,f,p,q} w_{f, c \bmod (C/G), i, j}"
    r" [r = h_{p,i} \land s = v_{q,j} \land \lfloor f G / F \rfloor = \lfloor c G / C \rfloor]," + PLACES,
    symbols={"g": "y"},
    unseen=("size",),
)
def spread(y: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """∂T/∂x: y (N, F, OH, OW), w (F, C/G, KH, KW), x's size (H, W) → (N, C, H, W)

    Of a convolution ∂L/∂x[n,c,r,s] = Σ_f Σₚ Σ_q Σᵢ Σⱼ g[n,f,p,q] w[f, c mod (C/G), i, j]
                    [r = hₚᵢ and s = v[q,j] and ⌊f G/F⌋ = ⌊c G/C⌋], with the pixels of `conv2d`

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


@equation(
    "nn.conv2d.vjp.w",
    r"\frac{\partial L}{\partial w_{f,c,i,j}} = \sum_{n=0}^{N-1} \sum_{p=0}^{O_H-1} \sum_{q=0}^{O_W-1} g_{n,f,p,q}"
    r" x_{n, a_f + c, h_{p,i}, v_{q,j}}, \quad a_f = \lfloor f G / F \rfloor C/G," + PLACES,
    symbols={"g": "y"},
    conventions="outside the image x is 0",
    unseen=("kernel",),
    helpers=("columns", "rows", "places"),
)
@equation(
    "nn.conv_transpose2d.vjp.w",
    r"\frac{\partial L}{\partial w_{c,f,i,j}} = \sum_{n=0}^{N-1} \sum_{p=0}^{H-1} \sum_{q=0}^{W-1} x_{n,c,p,q}"
    r" g_{n, a_c + f, h_{p,i}, v_{q,j}}, \quad a_c = \lfloor c G / C \rfloor F/G," + PLACES,
    symbols={"g": "x"},
    outside={"g": 0},
    conventions="outside the result g is 0",
)
def weigh(x: Array, y: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """∂T/∂w: x (N, C, H, W), y (N, F, OH, OW) → (F, C/G, KH, KW)

    Of a convolution ∂L/∂w[f,c,i,j] = Σₙ Σₚ Σ_q g[n,f,p,q] x[n, a[f] + c, hₚᵢ, v[q,j]], with the pixels of `conv2d`
    Of a transposed one ∂L/∂w[c,f,i,j] = Σₙ Σₚ Σ_q x[n,c,p,q] g[n, a[c] + f, hₚᵢ, v[q,j]]
    """
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
