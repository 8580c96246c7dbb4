"""Flips, crops and affine maps."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minimtl.backend import Array
from minimtl.data.augment.base import Augmentation, between, interval, probability
from minimtl.equation import equation
from minimtl.random import Generator


@equation(
    "data.hflip",
    r"y_{n,c,h,w} = b_n x_{n,c,h,W-1-w} + (1 - b_n) x_{n,c,h,w}",
    shapes="x (N, C, H, W), b (N) → y (N, C, H, W)",
    conventions="b is 1 with probability p, else 0",
    base=0,
)
def hflip(x: Array, b: Array) -> Array:
    """y[n,c,h,w] = bₙ x[n, c, h, W − 1 − w] + (1 − bₙ) x[n,c,h,w]"""
    return np.where(b[:, None, None, None] == 1, x[:, :, :, ::-1], x)


@equation(
    "data.vflip",
    r"y_{n,c,h,w} = b_n x_{n,c,H-1-h,w} + (1 - b_n) x_{n,c,h,w}",
    shapes="x (N, C, H, W), b (N) → y (N, C, H, W)",
    conventions="b is 1 with probability p, else 0",
    base=0,
)
def vflip(x: Array, b: Array) -> Array:
    """y[n,c,h,w] = bₙ x[n, c, H − 1 − h, w] + (1 − bₙ) x[n,c,h,w]"""
    return np.where(b[:, None, None, None] == 1, x[:, :, ::-1], x)


class RandomHorizontalFlip(Augmentation):
    """Left and right exchanged with probability p: see `hflip`."""

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.p = probability("RandomHorizontalFlip", p)

    def changed(self, x: Array, u: Array) -> Array:
        return hflip(x, u[:, 0] < self.p)


class RandomVerticalFlip(Augmentation):
    """Top and bottom exchanged with probability p: see `vflip`."""

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.p = probability("RandomVerticalFlip", p)

    def changed(self, x: Array, u: Array) -> Array:
        return vflip(x, u[:, 0] < self.p)


@equation(
    "data.crop",
    r"y_{n,c,h,w} = x_{n,c,t_n+h,l_n+w}",
    symbols={"t": "top", "l": "left"},
    shapes="x (N, C, H, W), t (N), l (N) → y (N, C, P, Q)",
    conventions="x is the picture with its padding; P and Q are the size",
    base=0,
    unseen=("size",),
)
def crop(x: Array, top: Array, left: Array, size: tuple[int, int]) -> Array:
    """y[n,c,h,w] = x[n, c, tₙ + h, lₙ + w]      (N, C, H, W) → (N, C, *size)"""
    windows = sliding_window_view(x, size, axis=(2, 3))  # (N, C, H − P + 1, W − Q + 1, P, Q), a view
    return windows[np.arange(len(x)), :, top, left]


class RandomCrop(Augmentation):
    """A window of `size` pixels, h or (h, w), anywhere in the picture with its `padding`: see `crop`.

    padding: pixels on all sides, (left and right, top and bottom), or (left, top, right, bottom), filled with `fill`.
    """

    numbers = 2

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        fill: float = 0.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        pair = (size, size) if isinstance(size, int) else tuple(size)
        around = (0,) if padding is None else (padding,) if isinstance(padding, int) else tuple(padding)
        if len(pair) != 2 or not all(isinstance(n, int) and n >= 1 for n in pair):
            raise ValueError(f"RandomCrop: size must be one or two integers of at least 1, got {size!r}")
        if len(around) not in (1, 2, 4) or not all(isinstance(n, int) and n >= 0 for n in around):
            raise ValueError(f"RandomCrop: padding must be 1, 2 or 4 integers of at least 0, got {padding!r}")
        self.size, self.fill = pair, fill
        self.padding = (around * 4)[:4]  # left, top, right, bottom

    def check(self, x: Array) -> None:
        left, top, right, bottom = self.padding
        h, w = x.shape[2] + top + bottom, x.shape[3] + left + right
        if h < self.size[0] or w < self.size[1]:
            raise ValueError(f"RandomCrop: size {self.size} does not fit into pictures {x.shape}, with their padding {(h, w)}")

    def changed(self, x: Array, u: Array) -> Array:
        left, top, right, bottom = self.padding
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=self.fill)
        free = np.array(x.shape[2:]) - self.size + 1  # places
        place = (u * free).astype(np.int64)  # u < 1
        return crop(x, place[:, 0], place[:, 1], self.size)


# Affine maps


@equation(
    "data.affine",
    r"z_{n,i,h,w} = m_i + \sum_{k=0}^{1} B_{n,i,k} (p_{k,h,w} - m_k - t_{n,k}), \quad"
    r" p_{k,h,w} = [k=0] \, w + [k=1] \, h, \quad m_k = \frac{[k=0] (W - 1) + [k=1] (H - 1)}{2}, \quad"
    r" B_{n,i,k} = \frac{(2 [i=k] - 1) A_{n,1-k,1-i}}{A_{n,0,0} A_{n,1,1} - A_{n,0,1} A_{n,1,0}}",
    shapes="A (N, 2, 2), t (N, 2) → z (N, 2, H, W)",
    conventions="pixel (w, h) of the new picture shows the point z of the old one; B is A⁻¹, m the middle, t in pixels; h counts down",
    base=0,
)
def places(A: Array, t: Array, H: int, W: int) -> Array:
    """z[n,i,h,w] = mᵢ + Σₖ Bₙᵢₖ (p[k,h,w] − mₖ − tₙₖ)

    where p[k,h,w] = [k = 0] w + [k = 1] h, mₖ = ([k = 0] (W − 1) + [k = 1] (H − 1)) / 2 and B = A⁻¹,
    Bₙᵢₖ = (2 [i = k] − 1) A[n, 1 − k, 1 − i] / (Aₙ₀₀ Aₙ₁₁ − Aₙ₀₁ Aₙ₁₀)      (N, 2, 2), (N, 2) → (N, 2, H, W)
    """
    a, b, c, d = (A[:, i, k, None, None] for i in (0, 1) for k in (0, 1))
    m0, m1, det = (W - 1) / 2, (H - 1) / 2, a * d - b * c
    dx = np.arange(W) - m0 - t[:, 0, None, None]  # (N, 1, W)
    dy = np.arange(H)[:, None] - m1 - t[:, 1, None, None]  # (N, H, 1)
    return np.stack([d / det * dx - b / det * dy + m0, a / det * dy - c / det * dx + m1], axis=1)


@equation(
    "data.bilinear",
    r"y_{n,c,h,w} = f + \sum_{i=0}^{H-1} \sum_{j=0}^{W-1}"
    r" (x_{n,c,i,j} - f) \max(0, 1 - |z_{n,1,h,w} - i|) \max(0, 1 - |z_{n,0,h,w} - j|)",
    symbols={"f": "fill"},
    shapes="x (N, C, H, W), z (N, 2, P, Q) → y (N, C, P, Q)",
    conventions="z_0 counts columns, z_1 rows; beyond the picture everything is f",
    base=0,
)
def bilinear(x: Array, z: Array, fill: float = 0.0) -> Array:
    """y[n,c,h,w] = f + Σᵢ Σⱼ (x[n,c,i,j] − f) max(0, 1 − |z[n,1,h,w] − i|) max(0, 1 − |z[n,0,h,w] − j|)"""
    N, C, H, W = x.shape
    rim = np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 2)), constant_values=fill)  # the second row behind is for z = H itself
    v, u = np.clip(z[:, 0] + 1, 0, W + 1), np.clip(z[:, 1] + 1, 0, H + 1)  # (N, P, Q), in the picture with its rim
    row, column = u.astype(np.int64), v.astype(np.int64)
    a, b = (u - row).astype(x.dtype)[:, None], (v - column).astype(x.dtype)[:, None]  # (N, 1, P, Q)
    first = np.arange(N * C).reshape(N, C, 1, 1) * ((H + 3) * (W + 3))
    at, flat = first + (row * (W + 3) + column)[:, None], rim.ravel()  # at (N, C, P, Q)
    above, below = flat.take(at), flat.take(at + (W + 3))
    above += b * (flat.take(at + 1) - above)
    below += b * (flat.take(at + (W + 4)) - below)
    return np.asarray(above + a * (below - above))


def matrix(degrees: Array, scale: Array, shear: Array) -> Array:
    """A = s (cos φ, −sin φ; sin φ, cos φ) (1, 0; −tan β, 1) (1, −tan α; 0, 1)      (N), (N), (N, 2) → (N, 2, 2)

    φ = degrees turns clockwise, α and β = shear, in degrees, along x and y: torchvision's, as x counts rightwards and y downwards.
    """
    φ, (α, β) = np.radians(degrees), np.radians(shear).T
    c, s, one, zero = np.cos(φ), np.sin(φ), np.ones_like(φ), np.zeros_like(φ)
    turned = np.array([[c, -s], [s, c]])  # (2, 2, N), and so the others
    along_y, along_x = np.array([[one, zero], [-np.tan(β), one]]), np.array([[one, -np.tan(α)], [zero, one]])
    return scale[:, None, None] * np.einsum("ijn,jkn,kln->nil", turned, along_y, along_x)


class RandomAffine(Augmentation):
    """y(p) = x(A⁻¹(p − m − t) + m)      turned, sheared and scaled by A around the middle m, and moved by t: `places`, `bilinear`.

    degrees and shear are angles, d for (−d, d); shear also (x, x, y, y); translate = (a, b) are shares of width and height, up to
    which it is moved; scale is (low, high). All as torchvision's, but that interpolation is bilinear and nothing is rounded to pixels.
    """

    numbers = 6

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        fill: float = 0.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        name = "RandomAffine"
        both = {k: (-v, v) if isinstance(v, (int, float)) else v for k, v in (("degrees", degrees), ("shear", shear or 0.0))}
        self.degrees = interval(name, "degrees", both["degrees"])
        angles = tuple(both["shear"])
        if len(angles) not in (2, 4):
            raise ValueError(f"{name}: shear must be a number, (low, high) or (x low, x high, y low, y high), got {shear!r}")
        self.shear = tuple(interval(name, "shear", pair, -89, 89) for pair in (angles[:2], angles[2:] or (0.0, 0.0)))
        self.translate = tuple(translate or (0.0, 0.0))
        if len(self.translate) != 2 or not all(0 <= share <= 1 for share in self.translate):
            raise ValueError(f"{name}: translate must be two shares from 0 to 1, got {translate!r}")
        self.scale = interval(name, "scale", (1.0, 1.0) if scale is None else scale, 1e-3)
        self.fill = fill

    def changed(self, x: Array, u: Array) -> Array:
        H, W = x.shape[2:]
        shear = np.stack([between(u[:, 2 + i], *self.shear[i]) for i in (0, 1)], axis=1)
        A = matrix(between(u[:, 0], *self.degrees), between(u[:, 1], *self.scale), shear)
        furthest = np.multiply(self.translate, (W, H))
        return bilinear(x, places(A, between(u[:, 4:], -furthest, furthest), H, W), self.fill)
