"""Augmentation: flips, crops, affine maps, colours, rectangles, mixtures."""

import numpy as np

from minimtl.backend import Array
from minimtl.data.augment import colour, erasing, geometry, mixing
from minimtl.equations.checking import Drawn, evaluated
from minimtl.equations.draw import Draw


def pictures(d: Draw, C: int = 0) -> Array:
    """(N, C, H, W)"""
    return d.array(d.size(), C or d.size(), d.size(1, 4), d.size(1, 4))


@evaluated("data.hflip", wrong=[("W-1-w", "w"), ("(1 - b_n)", "b_n")])
def hflip(d: Draw) -> Drawn:
    """Some turned round, some not."""
    x = pictures(d)
    b = d.indices(2, len(x))
    return {"x": x, "b": b}, geometry.hflip(x, b)


@evaluated("data.vflip", wrong=[("H-1-h", "h"), ("(1 - b_n)", "b_n")])
def vflip(d: Draw) -> Drawn:
    """Some turned over, some not."""
    x = pictures(d)
    b = d.indices(2, len(x))
    return {"x": x, "b": b}, geometry.vflip(x, b)


@evaluated("data.crop", wrong=[("t_n+h", "h"), ("l_n+w", "w")])
def crop(d: Draw) -> Drawn:
    """A window somewhere."""
    x = d.array(d.size(), d.size(), d.size(2, 4), d.size(2, 4))
    size = d.size(1, x.shape[2]), d.size(1, x.shape[3])
    t, l = (d.indices(n - p + 1, len(x)) for n, p in zip(x.shape[2:], size, strict=True))
    return {"x": x, "t": t, "l": l}, geometry.crop(x, t, l, size)


@evaluated(
    "data.affine",
    wrong=[
        ("[k=0] \\, w + [k=1] \\, h", "[k=0] \\, h + [k=1] \\, w"),
        ("(2 [i=k] - 1) ", ""),
        ("A_{n,1-k,1-i}", "A_{n,1-i,1-k}"),
        ("A_{n,1-k,1-i}", "A_{n,i,k}"),
        (r"[k=0] (W - 1) + [k=1] (H - 1)", r"[k=0] W + [k=1] H"),
        ("- t_{n,k}", ""),
    ],
)
def affine(d: Draw) -> Drawn:
    """Matrices that are not far from 1."""
    N, H, W = d.size(), d.size(), d.size()
    A, t = np.eye(2) + d.array(N, 2, 2, limit=0.4), d.array(N, 2)
    return {"A": A, "t": t, "H": H, "W": W}, geometry.places(A, t, H, W)


@evaluated(
    "data.bilinear",
    wrong=[
        ("z_{n,1,h,w}", "z_{n,0,h,w}"),
        (r"(x_{n,c,i,j} - f)", r"x_{n,c,i,j}"),
        (r"\max(0, 1 - |z_{n,1,h,w} - i|)", r"[|z_{n,1,h,w} - i| < 1]"),
        (r"\max(0, 1 - |z_{n,0,h,w} - j|)", r"(1 - |z_{n,0,h,w} - j|)"),
    ],
)
def bilinear(d: Draw) -> Drawn:
    """Points inside the picture, at its edge and outside."""
    x, fill = pictures(d), d.number(-1, 1)
    z = d.array(len(x), 2, d.size(), d.size(), limit=5.0)
    return {"x": x, "z": z, "f": fill}, geometry.bilinear(x, z, fill)


def colours(d: Draw) -> tuple[Array, Array]:
    """x (N, 3, H, W) in [0, 1] and factors a (N), some of which lead out of it."""
    x = np.abs(pictures(d, 3)) / 2
    return x, d.positive(len(x))


@evaluated("data.brightness", wrong=[(r"\min(\max(a_n x_{n,c,h,w}, 0), 1)", r"\max(a_n x_{n,c,h,w}, 0)"), ("a_n", "a_n^2")])
def brightness(d: Draw) -> Drawn:
    """Darker and brighter."""
    x, a = colours(d)
    return {"x": x, "a": a}, colour.brightness(x, a)


GREY = [("0.2989", "0.299"), ("0.587", "0.114"), ("0.114", "0.587")]


@evaluated(
    "data.contrast",
    wrong=[*GREY, (r"\frac{1}{H W} ", ""), ("(1 - a_n) m_n", "m_n")],
)
def contrast(d: Draw) -> Drawn:
    """Less and more."""
    x, a = colours(d)
    return {"x": x, "a": a}, colour.contrast(x, a)


@evaluated("data.saturation", wrong=[*GREY, ("(1 - a_n) g_{n,h,w}", "g_{n,h,w}"), ("g_{n,h,w}, 0)", "g_{n,h,w}, -1)")])
def saturation(d: Draw) -> Drawn:
    """Less and more."""
    x, a = colours(d)
    return {"x": x, "a": a}, colour.saturation(x, a)


@evaluated(
    "data.erase",
    wrong=[
        (r"h < t_n + a_n", r"h \le t_n + a_n"),
        (r"l_n \le w", r"l_n < w"),
        (r"\land l_n \le w < l_n + b_n", ""),
        ("(v - x_{n,c,h,w})", "v"),
    ],
)
def erase(d: Draw) -> Drawn:
    """Rectangles inside the picture, some of them empty."""
    x, v = pictures(d), d.number(-1, 1)
    H, W = x.shape[2:]
    t, l = d.indices(H, len(x)), d.indices(W, len(x))
    a, b = d.indices(10, len(x)) % (H - t + 1), d.indices(10, len(x)) % (W - l + 1)
    return {"x": x, "t": t, "l": l, "a": a, "b": b, "v": v}, erasing.erase(x, t, l, a, b, v)


@evaluated("data.mixup", wrong=[("x_{j_n,d}", "x_{n,d}"), ("(1 - \\lambda_n)", "\\lambda_n"), ("(1 - \\lambda_n)", "")])
def mixup(d: Draw) -> Drawn:
    """Partners in any order."""
    x = d.array(d.size(2), d.size())
    λ, j = d.shares(len(x)), d.indices(len(x), len(x))
    return {"x": x, "λ": λ, "j": j}, mixing.mixed(x, λ, j)
