"""Rendered digits: real digits, the same bytes for the same seed, and labels that say what the pictures show."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minimtl.backend import Array
from minimtl.data import RenderedDigits
from minimtl.data.digits import (
    GRID,
    LABELS,
    RANGES,
    REACH,
    WEIGHTS,
    faces,
    glyphs,
    mean_stroke,
    render,
    signed_distance,
)

PLAIN = dict.fromkeys(["angle", "shear", "right", "up", "noise"], (0.0, 0.0)) | {"width": (1.0, 1.0)}


def drawn(seed: int = 0, /, **changed: tuple[float, float]) -> RenderedDigits:
    """Upright digits without noise, but for what is changed."""
    return RenderedDigits(128, seed, None, None, "digit", **(PLAIN | changed))


def target(dataset: RenderedDigits, name: str) -> Array:
    assert isinstance(dataset.targets, dict)
    return dataset.targets[name].array


# Glyphs


def test_only_faces_with_digits() -> None:
    names = {path.name for path in faces()}
    assert {"DejaVuSans.ttf", "DejaVuSerif-Bold.ttf", "STIXGeneral.ttf", "cmr10.ttf", "cmtt10.ttf"} <= names
    strangers = {"cmex10.ttf", "cmsy10.ttf", "cmmi10.ttf", "STIXNonUni.ttf", "STIXSizOneSymReg.ttf"}
    assert not strangers & names
    assert not any(name.startswith("LastResort") for name in names)


def test_weights_are_those_of_the_faces() -> None:
    by_name = {path.name: WEIGHTS[weight] for path, weight in zip(faces(), glyphs()[1], strict=True)}
    assert by_name["DejaVuSans.ttf"] == "regular"
    assert by_name["cmr10.ttf"] == "light"
    assert all((weight == "bold") == ("Bol" in name or name == "cmb10.ttf") for name, weight in by_name.items())


def rectangle(width: float, height: float, clockwise: bool) -> tuple[Array, Array]:
    """The outline of a rectangle around the origin as segments a → b."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (width / 2, height / 2)
    a = corners[::-1] if clockwise else corners
    return a, np.roll(a, -1, axis=0)


sides = st.floats(0.1, 1)


@given(width=sides, height=sides, clockwise=st.booleans())
@settings(deadline=None, max_examples=30)
def test_distance_to_a_rectangle(width: float, height: float, clockwise: bool) -> None:
    """d(q) = |max(m, 0)| + min(max(m₁, m₂), 0), m = |q| − half the sides: the formula known for a rectangle."""
    axis = np.linspace(-REACH, REACH, GRID)
    q = np.stack(np.meshgrid(axis, -axis), axis=-1)
    m = np.abs(q) - (width / 2, height / 2)
    assume(np.abs(m).min() > 1e-6)  # on the outline itself the sign is a matter of rounding
    exact = np.hypot(*np.moveaxis(np.maximum(m, 0), -1, 0)) + np.minimum(m.max(axis=-1), 0)
    np.testing.assert_allclose(signed_distance(*rectangle(width, height, clockwise)), exact, atol=1e-6)


def test_a_hole_is_outside() -> None:
    outer, hole = rectangle(1, 1, clockwise=True), rectangle(0.5, 0.5, clockwise=False)
    field = signed_distance(*(np.concatenate(ends) for ends in zip(outer, hole, strict=True)))
    centre, ring, corner = field[GRID // 2, GRID // 2], field[GRID // 2, GRID // 5], field[0, 0]
    assert centre > 0
    assert ring < 0
    assert corner > 0


@given(width=st.floats(0.01, 0.05), clockwise=st.booleans())
def test_mean_stroke_of_a_bar_is_its_width(width: float, clockwise: bool) -> None:
    assert mean_stroke(*rectangle(width, 1, clockwise)) == pytest.approx(width, rel=2 * width)


# Pictures


def test_same_seed_same_bytes() -> None:
    a, b, other = RenderedDigits(150, seed=3), RenderedDigits(300, seed=3), RenderedDigits(150, seed=4)
    np.testing.assert_array_equal(a.data.array, b.data.array[:150])  # the first ones do not depend on how many follow
    for name in LABELS:
        np.testing.assert_array_equal(target(a, name), target(b, name)[:150])
    seen = {image.tobytes() for image in a.data.array}
    assert len(seen) == 150
    assert not seen & {image.tobytes() for image in other.data.array}


def test_labels_are_consistent() -> None:
    dataset = RenderedDigits(2000)
    digit, angle = target(dataset, "digit"), target(dataset, "angle")
    np.testing.assert_array_equal(target(dataset, "parity"), digit % 2 == 0)
    for name, classes in (("digit", 10), ("parity", 2), ("weight", len(WEIGHTS))):
        counts = np.bincount(target(dataset, name), minlength=classes)
        assert len(counts) == classes
        assert counts.min() > 0.5 * 2000 / classes
    assert abs(angle.mean()) < 0.05
    assert 0.5 < abs(angle).max() < np.pi / 6 + 1e-6
    types = {name: target(dataset, name).dtype.name for name in LABELS}
    assert types == {"digit": "int64", "parity": "int64", "angle": "float32", "weight": "int64", "mask": "bool"}


def test_the_mask_is_the_bright_pixels() -> None:
    for noise, share in (((0, 0), 1.0), (RANGES["noise"], 0.99)):
        dataset = RenderedDigits(300, noise=noise)
        bright, mask = dataset.data.array > 127, target(dataset, "mask")
        assert (bright == mask).mean() >= share
        assert mask.sum(axis=(1, 2)).min() > 10


def test_pictures_are_digits_on_black() -> None:
    images = RenderedDigits(500).data.array
    assert images[:, 12:16, :].max(axis=(1, 2)).min() > 60
    assert np.median(images[:, 0, :]) < 15
    assert images.max() == 255


def moments(masks: Array) -> tuple[Array, Array, Array, Array]:
    """The centre (x, y) of each mask and the direction along which it is longest, x to the right and y up; its area."""
    x, y = np.arange(28) - 13.5, 13.5 - np.arange(28)[:, None]
    area = masks.sum(axis=(1, 2))
    cx, cy = ((masks * z).sum(axis=(1, 2)) / area for z in (x, y))
    dx, dy = x - cx[:, None, None], y - cy[:, None, None]
    xx, yy, xy = ((masks * z).sum(axis=(1, 2)) for z in (dx * dx, dy * dy, dx * dy))
    return cx, cy, np.arctan2(2 * xy, xx - yy) / 2 % np.pi, area


@given(degrees=st.integers(-30, 30), seed=st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_the_angle_turns_the_picture_counter_clockwise(degrees: int, seed: int) -> None:
    angle = np.radians(degrees)
    upright, turned = drawn(seed), drawn(seed, angle=(angle, angle))
    np.testing.assert_array_equal(target(turned, "angle"), np.float32(angle))
    ones = target(upright, "digit") == 1
    before, after = (moments(target(dataset, "mask")[ones])[2] for dataset in (upright, turned))
    np.testing.assert_allclose(after - before, angle, atol=0.12)


def test_shift_height_and_stroke_do_what_they_say() -> None:
    plain = {"height": (16.0, 16.0), "stroke": (0.2, 0.2)}
    base, moved = drawn(**plain), drawn(**plain, right=(3, 3), up=(-2, -2))
    (x, y, *_), (moved_x, moved_y, *_) = (moments(target(dataset, "mask")) for dataset in (base, moved))
    np.testing.assert_allclose(moved_x - x, 3, atol=1e-9)
    np.testing.assert_allclose(moved_y - y, -2, atol=1e-9)
    assert set(target(base, "mask").any(axis=2).sum(axis=1)) <= {16, 17, 18}
    bolder = drawn(height=(16, 16), stroke=(0.6, 0.6))
    assert (target(bolder, "mask") | ~target(base, "mask")).all()
    assert target(bolder, "mask").sum() > 1.1 * target(base, "mask").sum()


def naive_pixel(field: Array, drawn: dict[str, float], row: int, column: int) -> float:
    """½ − (h d(A⁻¹(p − t)) − w) / b, clipped, for one pixel, as it is printed."""
    c, s = np.cos(drawn["angle"]), np.sin(drawn["angle"])
    turn, slant = np.array([[c, -s], [s, c]]), np.array([[1, drawn["shear"]], [0, 1]])
    A = turn @ slant @ np.diag([drawn["height"] * drawn["width"], drawn["height"]])
    q = np.linalg.inv(A) @ (column - 13.5 - drawn["right"], 13.5 - row - drawn["up"])
    x, y = np.clip((REACH + q * (1, -1)) / (2 * REACH) * (GRID - 1), 0, GRID - 1.001)
    d = 0.0
    for i in (int(y), int(y) + 1):
        for j in (int(x), int(x) + 1):
            d += field[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    h = np.sqrt(abs(np.linalg.det(A)))
    return float(np.clip(0.5 - (h * d - drawn["stroke"]) / drawn["blur"], 0, 1))


@given(seed=st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_a_picture_is_its_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    face, digit = rng.integers(len(faces()), size=2), rng.integers(10, size=2)
    values = {name: rng.uniform(low, high, 2) for name, (low, high) in RANGES.items()}
    images, masks = render(face, digit, values, np.zeros((2, 28, 28), np.float32))
    field, second = glyphs()[0][face[1], digit[1]], {name: float(value[1]) for name, value in values.items()}
    exact = np.array([[naive_pixel(field, second, row, column) for column in range(28)] for row in range(28)])
    np.testing.assert_allclose(images[1], exact * 255, atol=0.51)
    np.testing.assert_array_equal(masks[1][abs(exact - 0.5) > 1e-4], (exact > 0.5)[abs(exact - 0.5) > 1e-4])


def test_samples_and_batches() -> None:
    dataset = RenderedDigits(20, labels=("digit", "angle", "mask"))
    image, labels = dataset[7]
    assert image.shape == (28, 28)
    assert list(labels) == ["digit", "angle", "mask"]
    assert (type(labels["digit"]), type(labels["angle"]), labels["mask"].shape) == (int, float, (28, 28))
    images, batch = dataset.__getitems__(np.array([7, 3]))
    assert images.shape == (2, 28, 28)
    assert batch["digit"].array.tolist() == [labels["digit"], dataset[3][1]["digit"]]
    assert batch["mask"].shape == (2, 28, 28)
    assert isinstance(RenderedDigits(20)[7][1], int)
    assert len(RenderedDigits(0)) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"n": -1}, ValueError, "n must be an integer of at least 0, got -1"),
        ({"n": 2.5}, ValueError, "n must be an integer"),
        ({"seed": "a"}, ValueError, "seed must be an integer of at least 0, got 'a'"),
        ({"labels": "colour"}, ValueError, "labels must be among digit, parity, angle, weight, mask, got 'colour'"),
        ({"labels": ()}, ValueError, "labels must be among"),
        ({"train": True}, TypeError, "no argument 'train'"),
        ({"noise": 0.1}, ValueError, r"noise must be \(low, high\)"),
        ({"angle": (1, 0)}, ValueError, r"angle must be .*got \(1, 0\)"),
        ({"height": (float("nan"), 20)}, ValueError, "height must be"),
        ({"blur": (0, 1)}, ValueError, "blur must be"),
        ({"height": (5, 20)}, ValueError, r"stroke \+ blur/2 is 1.4 pixels, the smallest digits have 0.6"),
    ],
)
def test_refusals(arguments: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        RenderedDigits(**({"n": 1} | arguments))  # type: ignore[arg-type]
