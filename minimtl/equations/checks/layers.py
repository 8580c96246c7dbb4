"""Layers: linear, convolution, pooling, resizing; and those that move entries, drop them or look them up."""

from typing import Any

import numpy as np

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, Values, evaluated, operation
from minimtl.equations.draw import Draw
from minimtl.equations.numbers import Sample
from minimtl.kernels.window import transposed_size
from minimtl.ops import nuclear_norm
from minimtl.ops.image import upsample_nearest2d
from minimtl.random import Generator

# Linear layers and products of matrices


def affine(d: Draw) -> Values:
    """Samples, a weight and a bias."""
    N, I, O = 2 * d.size(), d.size(), d.size()
    return {"x": d.array(N, I), "w": d.array(O, I), "b": d.array(O)}


def linear(v: Any) -> Tensor:
    """The samples in two rows, since a linear layer takes any leading axes."""
    N, I = v.x.shape
    return F.linear(v.x.reshape(2, N // 2, I), v.w, v.b).reshape(N, len(v.w))


def matrices(d: Draw) -> Values:
    """Two matrices that multiply, and how they are given."""
    n, m, p = d.size(2), d.size(2), d.size()
    return {"A": d.array(n, m), "B": d.array(m, p), "given": d.of("plain", "first stacked", "both stacked", "column")}


def singular(d: Draw) -> Values:
    """A matrix, and its singular vectors."""
    A = d.array(2, 3) + np.diag([4.0, 8.0]) @ np.eye(2, 3)
    U, _, Vt = np.linalg.svd(A, full_matrices=False)
    return {"A": A, "U": U, "V": Vt.T}


def matmul(v: Any) -> Tensor:
    """A B, now and then as the last of a stack, or with B a vector."""
    A, B = v.A, v.B
    if v.given == "column" and B.shape[1] == 1:
        return mm.matmul(A, B.reshape(-1)).reshape(-1, 1)
    A = mm.stack([A, A]) if "stacked" in v.given else A
    B = mm.stack([B, B]) if v.given == "both stacked" else B
    return mm.matmul(A, B)[-1] if "stacked" in v.given else mm.matmul(A, B)


operation(
    "nn.linear",
    affine,
    linear,
    {
        "": [(" + b_o", ""), ("x_{n,i} w_{o,i}", "x_{n,i} w_{i,o}")],
        ".vjp.x": [(r"\sum_{o=1}^{O}", r"\frac{1}{O} \sum_{o=1}^{O}"), ("w_{o,i}", "w_{i,o}")],
        ".vjp.w": [(r"\sum_{n=1}^{N}", r"\frac{1}{N} \sum_{n=1}^{N}")],
        ".vjp.b": [(r"\sum_{n=1}^{N}", r"\frac{1}{N} \sum_{n=1}^{N}")],
    },
)
operation(
    "ops.matmul",
    matrices,
    matmul,
    {"": [("A B", "B A")], ".vjp.A": [(r"B^\top", "B"), (r"G B^\top", r"B^\top G")], ".vjp.B": [(r"A^\top", "A")]},
)
operation(
    "ops.nuclear_norm",
    singular,
    lambda v: nuclear_norm(v.A),
    {"": [("V_{jk}", "V_{j,1}"), (r"A_{ij} ", "")], ".vjp": [("U_{ik}", "U_{i,1}"), ("= G", "=")]},
    constants=("U", "V"),
)

# Convolution


def geometry(d: Draw) -> Values:
    """Strides, paddings, dilations and groups, all different in the two directions now and then."""
    pairs = {"S": (1, 2), "P": (0, 1), "D": (1, 2)}
    return {f"{letter}{side}": d.integer(*bounds) for letter, bounds in pairs.items() for side in "HW"} | {"G": d.integer(1, 2)}


def convolved(d: Draw) -> Values:
    """An image on which a window fits, and filters."""
    v = geometry(d)
    G, KH, KW = v["G"], d.of(2, 1, 2), d.of(2, 1, 2)
    C, F = G * d.size(1, 2), G * d.size(1, 2)
    H, W = (v[f"D{s}"] * (k - 1) + 1 + d.integer(0, 2) for s, k in zip("HW", (KH, KW), strict=True))
    return {**v, "x": d.array(d.size(1, 2), C, H, W), "w": d.array(F, C // G, KH, KW), "b": d.array(F), "F": F, "C": C}


def spread(d: Draw) -> Values:
    """An image and the filters that spread it, so that something is left inside the padding."""
    v = geometry(d)
    G, KH, KW = v["G"], d.of(2, 1, 2), d.of(2, 1, 2)
    C, F, H, W = G * d.size(1, 2), G * d.size(1, 2), d.size(2, 3), d.size(2, 3)
    v |= {s: 0 for s in ("PH", "PW") if min(transposed_size((H, W), (KH, KW), *steps(v), (0, 0))) < 1}
    v["extra"] = tuple(d.integer(0, max(v[f"S{side}"], v[f"D{side}"]) - 1) for side in "HW")
    return {**v, "x": d.array(d.size(1, 2), C, H, W), "w": d.array(C, F // G, KH, KW), "b": d.array(F), "F": F, "C": C}


def steps(v: Values) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Stride, padding and dilation."""
    return (v["SH"], v["SW"]), (v["PH"], v["PW"]), (v["DH"], v["DW"])


MEAN = r"\frac{1}{N} \sum_{n=0}^{N-1}"
operation(
    "nn.conv2d",
    convolved,
    lambda v: F.conv2d(v.x, v.w, v.b, (v.SH, v.SW), (v.PH, v.PW), (v.DH, v.DW), v.G),
    {
        "": [("w_{f,c,i,j}", "w_{f,c,K_H-1-i,K_W-1-j}"), ("p S_H", "p"), ("i D_H", "i"), ("b_f + ", "")],
        ".vjp.x": [(r" \land \lfloor f G / F \rfloor = \lfloor c G / C \rfloor", ""), ("g_{n,f,p,q} w", "w")],
        ".vjp.w": [(r"\sum_{n=0}^{N-1}", MEAN), ("q S_W + j D_W", "q + j")],
        ".vjp.b": [(r"\sum_{n=0}^{N-1}", MEAN)],
    },
)
operation(
    "nn.conv_transpose2d",
    spread,
    lambda v: F.conv_transpose2d(v.x, v.w, v.b, (v.SH, v.SW), (v.PH, v.PW), v.extra, v.G, (v.DH, v.DW)),
    {
        "": [(r" \land \lfloor c G / C \rfloor = \lfloor f G / F \rfloor", ""), ("b_f + ", "")],
        ".vjp.x": [("w_{c,f,i,j}", "w_{c,f,K_H-1-i,K_W-1-j}")],
        ".vjp.w": [(r"\sum_{n=0}^{N-1}", MEAN)],
        ".vjp.b": [(r"\sum_{n=0}^{N-1}", MEAN)],
    },
)


def sizes(v: Values) -> Values:
    """The letters of a result's size: of an image, a window, and how that moves."""
    (H, W), (KH, KW) = v["x"].shape[2:], v["w"].shape[2:]
    return {**v, "H": H, "W": W, "KH": KH, "KW": KW, "EH": v.get("extra", (0, 0))[0], "EW": v.get("extra", (0, 0))[1]}


@evaluated(
    "nn.conv2d.size", wrong=[("H + 2 P_H", "H + P_H"), ("D_W (K_W - 1)", "(K_W - 1)"), (r"S_H \rfloor + 1", r"S_H \rfloor")]
)
def window_sizes(d: Draw) -> Drawn:
    """How large a convolution's result is."""
    v = convolved(d)
    y = F.conv2d(Tensor(v["x"]), Tensor(v["w"]), None, *steps(v), v["G"])
    return sizes(v), {"OH": y.shape[2], "OW": y.shape[3]}


@evaluated("nn.conv_transpose2d.size", wrong=[("2 P_H", "P_H"), (" + E_W", ""), ("D_W (K_W - 1)", "(K_W - 1)")])
def transposed_sizes(d: Draw) -> Drawn:
    """How large a transposed convolution's result is."""
    v = spread(d)
    stride, padding, dilation = steps(v)
    y = F.conv_transpose2d(Tensor(v["x"]), Tensor(v["w"]), None, stride, padding, v["extra"], v["G"], dilation)
    return sizes(v), {"OH": y.shape[2], "OW": y.shape[3]}


# Pooling and resizing


def windows(d: Draw) -> Values:
    """An image of different numbers, and windows that fit on it."""
    v = {f"{letter}{side}": d.integer(1, 3) for letter in "KS" for side in "HW"}
    v |= {f"P{side}": d.integer(0, v[f"K{side}"] // 2) for side in "HW"}
    H, W = v["KH"] + d.integer(0, 2), v["KW"] + d.integer(0, 2)
    return {**v, "x": d.distinct(d.size(1, 2), d.size(1, 2), H, W), "u": d.integer(0, 1)}


def resized(d: Draw) -> Values:
    """An image and another size."""
    return {"x": d.array(d.size(1, 2), d.size(1, 2), d.size(1, 5), d.size(1, 5)), "OH": d.size(1, 5), "OW": d.size(1, 5)}


operation(
    "nn.max_pool2d",
    windows,
    lambda v: F.max_pool2d(v.x, (v.KH, v.KW), (v.SH, v.SW), (v.PH, v.PW)),
    {
        "": [(r"\max_{0 \le i < K_H}", r"\min_{0 \le i < K_H}"), ("p S_H", "p")],
        ".vjp": [(r"x_{n,c,h,v} = y_{n,c,p,q} \land ", "")],
    },
)
operation(
    "nn.avg_pool2d",
    windows,
    lambda v: F.avg_pool2d(v.x, (v.KH, v.KW), (v.SH, v.SW), (v.PH, v.PW), bool(v.u)),
    {"": [(r"\frac{1}{k_{p,q}} ", ""), (r"\max(u,", r"\max(0,")], ".vjp": [(r"\frac{g_{n,c,p,q}}{k_{p,q}}", "g_{n,c,p,q}")]},
)
operation(
    "nn.adaptive_avg_pool2d",
    resized,
    lambda v: F.adaptive_avg_pool2d(v.x, (v.OH, v.OW)),
    {
        "": [(r"\lceil (p+1) \, H / O_H \rceil", r"\lfloor (p+1) \, H / O_H \rfloor")],
        ".vjp": [(r"\lceil (p+1) \, H / O_H \rceil", r"\lfloor (p+1) \, H / O_H \rfloor")],
    },
)
operation(
    "nn.upsample_nearest2d",
    resized,
    lambda v: upsample_nearest2d(v.x, (v.OH, v.OW)),
    {
        "": [(r"\lfloor p H / O_H \rfloor", r"\lfloor (p H + H - 1) / O_H \rfloor")],
        ".vjp": [(r" \land \lfloor q W / O_W \rfloor = w", "")],
    },
)

# Moving, dropping, looking up


def images(d: Draw) -> Values:
    """A batch of images."""
    return {"x": d.array(d.size(), d.size(), d.size(), d.size())}


operation(
    "nn.flatten",
    images,
    lambda v: mm.flatten(v.x, 1),
    {"": [(r"n, \lfloor m / (H W) \rfloor", r"n, \lfloor m / (C H W) \rfloor")], ".vjp": [("(c H + h)", "(h C + c)")]},
)


def dropped(d: Draw) -> Values:
    """A vector, a probability, and the numbers that decide what is dropped: those of a generator of the same seed."""
    n, seed = d.size(2, 5), d.integer(0, 99)
    return {"x": d.array(n), "p": d.number(0.2, 0.8), "u": Sample(seed, n, "float32"), "seed": seed}


def looked_up(d: Draw) -> Values:
    """Items, and a vector for each there is."""
    V = d.size(2, 4)
    return {"x": d.indices(V, d.size(1, 4)), "w": d.array(V, d.size())}


operation(
    "nn.dropout",
    dropped,
    lambda v: F.dropout(v.x, v.p, generator=Generator(v.seed)),
    {"": [(r"\frac{x_i [u_i \ge p]}{1 - p}", r"x_i [u_i \ge p]"), (r"\ge p]", "< p]")], ".vjp": [(r"\ge p]", "< p]")]},
)
operation(
    "nn.embedding",
    looked_up,
    lambda v: F.embedding(v.x, v.w),
    {"": [("w_{x_n, d}", "w_{n, d}")], ".vjp": [("[x_n = v] ", "")]},
)
operation(
    "nn.identity",
    lambda d: {"x": d.array(d.size(1, 4))},
    lambda v: nn.Identity()(v.x),
    {"": [("= x_i", "= x_i^2")], ".vjp": [("= g_i", "= 2 g_i")]},
)
