"""Digits drawn from fonts and distorted: an endless data set with five labels a picture, and nothing to download.

A glyph is kept as its signed distance d(q): how far the point q lies from the outline, negative inside. Every
distortion is then a formula. Turned, slanted, scaled and shifted: the pixel at p shows the point q = A⁻¹(p − t) of the
glyph. Bolder by w: d − w in place of d. Blurred: the edge, where d crosses 0, fades over b pixels. With h pixels to a
unit of d and noise ε, the pixel at p is

    x(p) = clip(½ − (h d(A⁻¹(p − t)) − w) / b, 0, 1) + σ ε        and belongs to the mask where h d − w < 0.

The same seed gives the same bytes. Where a picture is placed is computed in float64; what follows, for every pixel, is
sums, products and roots in float32, which all processors round alike.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data.dataset import ImageDataset
from minimtl.data.transforms import Transform

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LABELS = ("digit", "parity", "angle", "weight", "mask")
WEIGHTS = ("light", "regular", "bold")  # by the mean stroke of a face: below 10 % of the height, below 12 %, above
BOUNDS = (0.10, 0.12)

SIDE = 28  # pixels of a picture
GRID = 64  # points of a field
REACH = 0.625  # a field covers [−REACH, REACH]², the glyph in it is 1 high; the margin holds stroke and blur
CHUNK = 128  # pictures rendered at once, so that the work fits the processor's cache

RANGES = {  # what is drawn for each picture, uniformly
    "angle": (-math.pi / 6, math.pi / 6),  # radians, counter-clockwise; turned further, a 6 is a 9
    "shear": (-0.15, 0.15),  # to the right, per unit of height
    "height": (14.0, 20.0),  # pixels
    "width": (0.8, 1.1),  # relative to the face's own
    "right": (-1.5, 1.5),  # pixels from the centre
    "up": (-1.5, 1.5),
    "stroke": (0.1, 0.6),  # pixels added on either side
    "blur": (0.8, 1.6),  # pixels
    "noise": (0.0, 0.08),  # standard deviation, white being 1
}


# Glyphs


def faces() -> list[Path]:
    """The font files that ship with matplotlib and whose characters 0 … 9 are glyphs named zero … nine.

    Without the names we would take brackets and arrows for digits: some mathematical fonts keep those at 0 … 9.
    """
    import matplotlib  # here and below only when digits are drawn: the rest of the package needs NumPy alone
    from matplotlib.ft2font import FT2Font

    def names(path: Path) -> Iterator[str]:
        font = FT2Font(str(path))
        return (font.get_glyph_name(font.get_char_index(ord(digit))) for digit in "0123456789")

    files = Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf")
    return sorted((path for path in files if tuple(names(path)) == NAMES), key=lambda path: path.name)


def outlines(face: Path) -> list[tuple[Array, Array]]:
    """The outline of each digit as segments from a to b, (S, 2) each: 1 high, the origin at the centre, y upwards."""
    from matplotlib.ft2font import FT2Font, LoadFlags
    from matplotlib.path import Path as Curve

    font = FT2Font(str(face))
    font.set_size(100, 72)  # the scale at which curves become polygons

    def segments(digit: str) -> tuple[Array, Array]:
        font.load_char(ord(digit), flags=LoadFlags.NO_HINTING)
        polygons: list[Array] = [*Curve(*font.get_path()).to_polygons()]
        a, b = np.concatenate([p[:-1] for p in polygons]), np.concatenate([p[1:] for p in polygons])
        low, high = a.min(axis=0), a.max(axis=0)
        a, b = ((end - (low + high) / 2) / (high - low)[1] for end in (a, b))
        proper = (a != b).any(axis=1)
        return a[proper], b[proper]

    return [segments(digit) for digit in "0123456789"]


def mean_stroke(a: Array, b: Array) -> float:
    """2 A / P      of an outline, area A = ½ |Σ a × b| and length P = Σ |b − a|: of a long bar it is the width."""
    area = abs(np.sum(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])) / 2
    return float(2 * area / np.sum(np.hypot(*(b - a).T)))


def signed_distance(a: Array, b: Array) -> Array:
    """d(q) = ± min_s |q − (a_s + τ (b_s − a_s))|, τ = clip((q − a_s)·(b_s − a_s) / |b_s − a_s|², 0, 1)

    Segments a, b (S, 2) → (GRID, GRID), the top in the first row. Inside, d < 0, is where the outline winds around q:
    of the segments that cross the height of q to its right, those upwards less those downwards are not 0.
    """
    a, b = a.astype(np.float32), b.astype(np.float32)
    (ax, ay), (dx, dy) = a.T, (b - a).T
    x = np.linspace(-REACH, REACH, GRID, dtype=np.float32)[:, None]  # (GRID, 1), against S segments
    y = -x[:, None]  # (GRID, 1, 1), so that a row of the field is one y
    qx, qy, square = x - ax, y - ay, dx * dx + dy * dy
    τ = np.clip(qx * (dx / square) + qy * (dy / square), 0, 1)  # (GRID, GRID, S)
    distance = np.sqrt(((qx - τ * dx) ** 2 + (qy - τ * dy) ** 2).min(axis=-1))
    sense = ((ay <= y) & (y < ay + dy)).astype(np.int8) - ((ay + dy <= y) & (y < ay))  # (GRID, 1, S)
    crossing = ax + qy * np.divide(dx, dy, out=np.zeros_like(dx), where=dy != 0)
    winding = ((x < crossing) * sense).sum(axis=-1)
    return np.where(winding == 0, distance, -distance)


@cache
def glyphs() -> tuple[Array, Array]:
    """The fields d of F faces, (F, 10, GRID, GRID) float32, and their weight classes, (F,) int64; computed once."""
    shapes = [outlines(face) for face in faces()]
    fields = np.array([[signed_distance(a, b) for a, b in digits] for digits in shapes], np.float32)
    fields.flags.writeable = False
    strokes = [np.mean([mean_stroke(a, b) for a, b in digits]) for digits in shapes]
    return fields, np.searchsorted(BOUNDS, strokes).astype(np.int64)


# Pictures


def bilinear(fields: Array, first: Array, u: Array, v: Array) -> Array:
    """f(u, v) between four grid points      u rightwards, v down, in [0, GRID − 1); a field starts at `first`."""
    column, row = u.astype(np.int64), v.astype(np.int64)
    u, v, corner = u - column.astype(np.float32), v - row.astype(np.float32), first + row * GRID + column
    a, b, c, d = (fields.take(corner + offset) for offset in (0, 1, GRID, GRID + 1))
    top, bottom = a + u * (b - a), c + u * (d - c)
    return top + v * (bottom - top)


def render(face: Array, digit: Array, drawn: dict[str, Array], ε: Array) -> tuple[Array, Array]:
    """x = clip(½ − (h d(A⁻¹(p − t)) − w) / b, 0, 1) + σ ε      → pictures (n, 28, 28) uint8, masks (n, 28, 28) bool

    A = R(angle) · (1 shear; 0 1) · diag(height · width, height) turns a glyph 1 high into pixels; t = (right, up).
    """
    fields, _ = glyphs()
    centred = np.arange(SIDE) - (SIDE - 1) / 2
    px, py = centred - drawn["right"][:, None], -centred - drawn["up"][:, None]  # (n, 28) columns, (n, 28) rows
    c, s, k = np.cos(drawn["angle"]), np.sin(drawn["angle"]), drawn["shear"]
    wide, high = drawn["height"] * drawn["width"], drawn["height"]

    def plane(per_x: Array, per_y: Array) -> Array:
        """per_x · px + per_y · py, from glyph units to steps of the grid, kept on it      → (n, 28, 28)"""
        step = (GRID - 1) / (2 * REACH)
        across = ((per_x[:, None] * px + REACH) * step).astype(np.float32)
        down = (per_y[:, None] * py * step).astype(np.float32)
        return np.clip(across[:, None, :] + down[:, :, None], 0, GRID - 1.001, dtype=np.float32)

    def per_picture(values: Array) -> Array:
        return values.astype(np.float32)[:, None, None]

    u = plane((c + k * s) / wide, (s - k * c) / wide)  # A⁻¹ = diag⁻¹ · (1 −k; 0 1) · Rᵀ, first row
    v = plane(s / high, -c / high)  # second row, negative: v counts down
    d = bilinear(fields, (face * 10 + digit)[:, None, None] * GRID**2, u, v)
    d = d * per_picture(np.sqrt(wide * high)) - per_picture(drawn["stroke"])
    x = np.clip(np.float32(0.5) - d / per_picture(drawn["blur"]), 0, 1) + per_picture(drawn["noise"]) * ε
    return np.clip(x * 255 + np.float32(0.5), 0, 255).astype(np.uint8), d < 0


def chunk(rng: np.random.Generator, ranges: dict[str, tuple[float, float]]) -> dict[str, Array]:
    """CHUNK pictures and all their labels, drawn from rng."""
    fields, weights = glyphs()
    face, digit = rng.integers(len(fields), size=CHUNK), rng.integers(10, size=CHUNK)
    drawn = {name: rng.uniform(low, high, CHUNK) for name, (low, high) in ranges.items()}
    images, masks = render(face, digit, drawn, rng.standard_normal((CHUNK, SIDE, SIDE), np.float32))
    return {
        "image": images,
        "digit": digit,
        "parity": (digit % 2 == 0).astype(np.int64),
        "angle": drawn["angle"].astype(np.float32),
        "weight": weights[face],
        "mask": masks,
    }


def checked_ranges(ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """`RANGES`, some of them replaced."""
    for name, pair in ranges.items():
        if name not in RANGES:
            raise TypeError(f"RenderedDigits: has no argument {name!r}; its ranges are {', '.join(RANGES)}")
        low, high = pair if isinstance(pair, (tuple, list)) and len(pair) == 2 else (math.nan, math.nan)
        least = {"height": 1.0, "width": 0.1, "blur": 0.1, "noise": 0.0}.get(name, -1000.0)
        if not least <= low <= high <= 1000:
            raise ValueError(f"RenderedDigits: {name} must be (low, high), {least} ≤ low ≤ high ≤ 1000, got {pair!r}")
    merged = RANGES | ranges
    edge = merged["stroke"][1] + merged["blur"][1] / 2
    margin = (REACH - 0.5) * merged["height"][0] * math.sqrt(merged["width"][0])
    if edge > margin:
        raise ValueError(f"RenderedDigits: stroke + blur/2 is {edge:.1f} pixels, the smallest digits have {margin:.1f}")
    return merged


class RenderedDigits(ImageDataset):
    """n pictures (28, 28) uint8, white on black, of printed digits; a label is one of the `targets`, or several:

        digit    int64    0 … 9
        parity   int64    [y mod 2 = 0], 1 = even
        angle    float32  radians, counter-clockwise
        weight   int64    of the face, a position in `WEIGHTS`: light, regular, bold
        mask     bool     (28, 28), the pixels of the glyph, without blur and noise

    One name makes a sample (image, label), a tuple of names (image, {name: label}). The first m of n pictures are those
    of `RenderedDigits(m, seed)`; another seed gives other pictures: take one to train and one to test. `ranges` replace
    some of `RANGES`: with `angle=(0, 0), noise=(0, 0)` all stand upright on clean paper, otherwise as they were.
    (A release of matplotlib with other fonts gives other pictures.)
    """

    def __init__(
        self,
        n: int = 60_000,
        seed: int = 0,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        labels: str | Sequence[str] = "digit",
        **ranges: tuple[float, float],
    ) -> None:
        for name, number in (("n", n), ("seed", seed)):
            if not isinstance(number, (int, np.integer)) or isinstance(number, bool) or number < 0:
                raise ValueError(f"RenderedDigits: {name} must be an integer of at least 0, got {number!r}")
        ranges = checked_ranges(ranges)
        sources = np.random.SeedSequence(seed).spawn(max(1, -(-n // CHUNK)))  # whole chunks: n changes no picture
        chunks = [chunk(np.random.default_rng(source), ranges) for source in sources]
        drawn = {name: Tensor(np.concatenate([part[name] for part in chunks])[:n]) for name in ("image", *LABELS)}
        super().__init__(drawn.pop("image"), drawn, transform, target_transform, labels)
