"""Augmentation: naive loops, PyTorch and Pillow say the same; a batch is what its pictures are one by one; nothing else moves."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minimtl as mm
from minimtl import nn, testing
from minimtl.backend import Array
from minimtl.data import augment, transforms
from minimtl.data.augment import colour, erasing, geometry, mixing
from minimtl.random import Generator

ALL: dict[str, Callable[[Any], Any]] = {
    "hflip": lambda g: augment.RandomHorizontalFlip(generator=g),
    "vflip": lambda g: augment.RandomVerticalFlip(0.3, generator=g),
    "crop": lambda g: augment.RandomCrop((4, 5), (1, 2, 3, 0), 0.5, generator=g),
    "affine": lambda g: augment.RandomAffine(40, (0.2, 0.1), (0.7, 1.4), (-10, 10, -5, 20), 0.25, generator=g),
    "jitter": lambda g: augment.ColorJitter(0.4, 0.5, (0.5, 2), generator=g),
    "erasing": lambda g: augment.RandomErasing(0.7, value=0.5, generator=g),
}
every = pytest.mark.parametrize("name", ALL)


def pictures(n: int, C: int = 3, H: int = 7, W: int = 6, seed: int = 0, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(seed).random((n, C, H, W)).astype(dtype)


def run(transform: Any, x: Array) -> Array:
    y = transform(mm.tensor(x)).numpy()
    assert y.dtype == x.dtype
    return np.asarray(y)


# What holds for all


@every
@given(n=st.integers(0, 6), C=st.sampled_from([1, 3]), H=st.integers(4, 9), W=st.integers(5, 9), seed=st.integers(0, 99))
@settings(deadline=None)
def test_a_batch_is_its_pictures_one_by_one_to_the_bit(name: str, n: int, C: int, H: int, W: int, seed: int) -> None:
    for dtype in (np.float32, np.float64):
        x = pictures(n, C, H, W, seed, dtype)
        before = x.copy()
        batch, one = ALL[name](Generator(seed)), ALL[name](Generator(seed))
        y = run(batch, x)
        assert y.shape[:2] == x.shape[:2]
        assert x.tobytes() == before.tobytes()
        for i in range(n):
            assert run(one, x[i]).tobytes() == y[i].tobytes()
        after = batch.generator.rng.bit_generator.state, one.generator.rng.bit_generator.state
        assert after[0] == after[1]


@every
def test_a_seed_fixes_the_bytes_and_pictures_are_drawn_each_by_itself(name: str) -> None:
    x = np.repeat(pictures(1, seed=3), 60, axis=0)
    first, again, other = (run(ALL[name](Generator(seed)), x) for seed in (5, 5, 6))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert len({y.tobytes() for y in first}) > 1
    mm.manual_seed(5)
    default = run(ALL[name](None), x)
    assert default.tobytes() == first.tobytes()


@every
def test_they_stand_in_a_chain_and_say_that_they_are_random(name: str) -> None:
    step = ALL[name](Generator(0))
    assert step.random is True and type(step).__name__ in repr(step)
    chain = transforms.Compose([transforms.ToTensor(), step, transforms.Normalize(0.5, 0.5)])
    x = np.random.default_rng(0).integers(256, size=(5, 7, 6, 3), dtype=np.uint8)
    batch = transforms.apply(chain, mm.tensor(x))
    step.generator = Generator(0)
    for i in range(5):
        np.testing.assert_array_equal(chain(mm.tensor(x[i])).numpy(), batch.numpy()[i])


@every
def test_bytes_and_other_shapes_are_refused_before_anything_is_drawn(name: str) -> None:
    step = ALL[name](Generator(0))
    before = step.generator.rng.bit_generator.state
    for x in (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((8, 8), np.float32), np.zeros((1, 1, 3, 8, 8), np.float32)):
        with pytest.raises(ValueError, match=rf"{type(step).__name__}: needs floating-point pictures .* after ToTensor"):
            step(mm.tensor(x))
    assert step.generator.rng.bit_generator.state == before


# The identity


IDENTITIES: dict[str, Callable[[Array], Any]] = {
    "no flip": lambda x: augment.RandomHorizontalFlip(0),
    "no vertical flip": lambda x: augment.RandomVerticalFlip(0.0),
    "the whole picture": lambda x: augment.RandomCrop(x.shape[2:]),
    "affine": lambda x: augment.RandomAffine(0),
    "affine, all ranges 0": lambda x: augment.RandomAffine((0, 0), (0, 0), (1, 1), (0, 0, 0, 0)),
    "jitter": lambda x: augment.ColorJitter(),
    "jitter by factors of 1": lambda x: augment.ColorJitter((1, 1), (1.0, 1.0), 0),
    "no erasing": lambda x: augment.RandomErasing(0),
    "too large to erase": lambda x: augment.RandomErasing(1, (1, 1), (1, 1)),
}


@pytest.mark.parametrize("name", IDENTITIES)
@given(n=st.integers(1, 3), C=st.sampled_from([1, 3]), H=st.integers(1, 9), W=st.integers(1, 9), seed=st.integers(0, 99))
@settings(deadline=None)
def test_the_identity_is_the_identity_to_the_bit(name: str, n: int, C: int, H: int, W: int, seed: int) -> None:
    if name == "too large to erase":
        W = H
    x = pictures(n, C, H, W, seed)
    assert run(IDENTITIES[name](x), x).tobytes() == x.tobytes()


@pytest.mark.parametrize("flip", [augment.RandomHorizontalFlip, augment.RandomVerticalFlip])
@given(n=st.integers(1, 4), H=st.integers(1, 6), W=st.integers(1, 6), p=st.floats(0, 1), seed=st.integers(0, 99))
@settings(deadline=None)
def test_flipped_twice_is_not_flipped(flip: Any, n: int, H: int, W: int, p: float, seed: int) -> None:
    x = pictures(n, 2, H, W, seed)
    once = run(flip(p, Generator(seed)), x)
    assert run(flip(p, Generator(seed)), once).tobytes() == x.tobytes()


# Against others


def test_flips_are_pillows() -> None:
    from PIL import Image, ImageOps

    x = np.random.default_rng(0).integers(256, size=(6, 5), dtype=np.uint8)
    as_float = mm.tensor(x[None].astype(np.float32))
    for step, theirs in ((augment.RandomHorizontalFlip(1), ImageOps.mirror), (augment.RandomVerticalFlip(1), ImageOps.flip)):
        np.testing.assert_array_equal(step(as_float).numpy()[0], np.asarray(theirs(Image.fromarray(x))))


@given(
    n=st.integers(1, 4),
    H=st.integers(1, 6),
    W=st.integers(1, 6),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    data=st.data(),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_a_crop_is_a_window_of_the_padded_picture(
    n: int, H: int, W: int, padding: tuple[int, ...], data: Any, seed: int
) -> None:
    left, top, right, bottom = padding
    h, w = data.draw(st.integers(1, H + top + bottom)), data.draw(st.integers(1, W + left + right))
    x = pictures(n, 2, H, W, seed)
    whole = np.full((n, 2, H + top + bottom, W + left + right), np.float32(9))
    whole[:, :, top : top + H, left : left + W] = x
    y = run(augment.RandomCrop((h, w), padding, 9, Generator(seed)), x)
    for i in range(n):
        windows = [
            whole[i, :, t : t + h, l : l + w] for t in range(whole.shape[2] - h + 1) for l in range(whole.shape[3] - w + 1)
        ]
        assert any(np.array_equal(y[i], window) for window in windows)


def test_all_windows_come_equally_often_and_paddings_are_torchvisions() -> None:
    x = np.repeat(np.arange(9.0).reshape(1, 1, 3, 3), 9000, axis=0)
    corners = augment.RandomCrop(2, generator=Generator(0))(mm.tensor(x)).numpy()[:, 0, 0, 0]
    counts = [int((corners == c).sum()) for c in (0, 1, 3, 4)]
    assert sum(counts) == 9000
    assert all(abs(count - 2250) < 5 * math.sqrt(9000 * 3 / 16) for count in counts)
    assert augment.RandomCrop(2, 1).padding == (1, 1, 1, 1)
    assert augment.RandomCrop(2, (1, 2)).padding == (1, 2, 1, 2)


def naive_affine(x: Array, A: Array, t: Array, fill: float) -> Array:
    """One picture (C, H, W), pixel by pixel in Python's numbers, A inverted by NumPy."""
    C, H, W = x.shape
    y = np.zeros_like(x)
    middle = np.array([(W - 1) / 2, (H - 1) / 2])
    for h in range(H):
        for w in range(W):
            v, u = np.linalg.inv(A) @ (np.array([w, h]) - middle - t) + middle
            for c in range(C):
                total = 0.0
                for i in (math.floor(u), math.floor(u) + 1):
                    for j in (math.floor(v), math.floor(v) + 1):
                        inside = 0 <= i < H and 0 <= j < W
                        total += (x[c, i, j] if inside else fill) * (1 - abs(u - i)) * (1 - abs(v - j))
                y[c, h, w] = total
    return y


def drawn_maps(n: int, seed: int) -> tuple[Array, Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    degrees, scale, shear = rng.uniform(-90, 90, n), rng.uniform(0.5, 2, n), rng.uniform(-40, 40, (n, 2))
    return geometry.matrix(degrees, scale, shear), rng.uniform(-4, 4, (n, 2)), degrees, scale, shear


def warped(x: Array, A: Array, t: Array, fill: float = 0.0) -> Array:
    return geometry.bilinear(x, geometry.places(A, t, *x.shape[2:]), fill)


@given(
    n=st.integers(1, 2), H=st.integers(1, 5), W=st.integers(1, 5), seed=st.integers(0, 999), fill=st.sampled_from([0.0, 0.7])
)
@settings(deadline=None)
def test_an_affine_map_is_what_loops_say(n: int, H: int, W: int, seed: int, fill: float) -> None:
    x = pictures(n, 2, H, W, seed, np.float64)
    A, t, *_ = drawn_maps(n, seed)
    y = warped(x, A, t, fill)
    for i in range(n):
        np.testing.assert_allclose(y[i], naive_affine(x[i], A[i], t[i], fill), atol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(20))
def test_an_affine_map_is_torchs_grid(seed: int) -> None:
    import torch
    import torch.nn.functional as TF

    x = pictures(4, 3, 9, 12, seed, np.float64)
    H, W = x.shape[2:]
    A, t, *_ = drawn_maps(4, seed)
    B = np.linalg.inv(A)
    θ = np.concatenate([B, -(B @ t[:, :, None])], axis=2)  # in pixels around the middle
    half = np.array([W / 2, H / 2])
    θ[:, :, :2] *= half[None, None, :] / half[None, :, None]
    θ[:, :, 2] /= half
    grid = TF.affine_grid(torch.from_numpy(θ), [4, 3, H, W], align_corners=False)
    theirs = TF.grid_sample(torch.from_numpy(x), grid, align_corners=False).numpy()
    np.testing.assert_allclose(warped(x, A, t), theirs, atol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(10))
def test_angles_scales_and_shears_are_torchvisions(seed: int) -> None:
    torch, functional = pytest.importorskip("torch"), pytest.importorskip("torchvision.transforms.functional")
    x = pictures(3, 3, 9, 12, seed)
    A, t, degrees, scale, shear = drawn_maps(3, seed)
    t = np.rint(t)
    y = warped(x, A, t)
    for i in range(3):
        theirs = functional.affine(
            torch.from_numpy(x[i]), float(degrees[i]), t[i].astype(int).tolist(), float(scale[i]), shear[i].tolist(),
            functional.InterpolationMode.BILINEAR,
        )  # fmt: skip
        np.testing.assert_allclose(y[i], theirs.numpy(), atol=2e-5)


@pytest.mark.oracle
def test_colours_and_rectangles_are_torchvisions() -> None:
    torch, functional = pytest.importorskip("torch"), pytest.importorskip("torchvision.transforms.functional")
    x, a = pictures(6), np.array([0.0, 0.3, 1.0, 1.7, 2.5, 0.9])
    pairs = (
        (colour.brightness, functional.adjust_brightness),
        (colour.contrast, functional.adjust_contrast),
        (colour.saturation, functional.adjust_saturation),
    )
    for ours, theirs in pairs:
        for C in (3, 1):
            y = ours(x[:, :C], a)
            expected = [theirs(torch.from_numpy(x[i : i + 1, :C]), float(a[i])).numpy()[0] for i in range(6)]
            np.testing.assert_allclose(y, expected, atol=1e-6)
    y = erasing.erase(x, *(np.full(6, n) for n in (1, 2, 3, 2)), 0.5)
    np.testing.assert_array_equal(y, functional.erase(torch.from_numpy(x), 1, 2, 3, 2, torch.tensor(0.5)).numpy())


def test_the_matrix_is_torchvisions_written_out() -> None:
    A, _, degrees, scale, shear = drawn_maps(50, 0)
    φ, (α, β) = np.radians(degrees), np.radians(shear).T
    a, c = np.cos(φ - β) / np.cos(β), np.sin(φ - β) / np.cos(β)
    b, d = -a * np.tan(α) - np.sin(φ), -c * np.tan(α) + np.cos(φ)
    np.testing.assert_allclose(A, np.moveaxis(scale * np.array([[a, b], [c, d]]), -1, 0), atol=1e-12)


def test_a_quarter_turn_is_clockwise_and_a_shift_goes_right_and_down() -> None:
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    quarter = augment.RandomAffine((90, 90))(mm.tensor(x)).numpy()
    np.testing.assert_allclose(quarter[0, 0], np.rot90(x[0, 0], -1), atol=1e-12)
    moved = warped(x, np.eye(2)[None], np.array([[1.0, 2.0]]))[0, 0]
    np.testing.assert_array_equal(moved, [[0, 0, 0], [0, 0, 0], [0, 0, 1]])
    twice = warped(x, 2 * np.eye(2)[None], np.zeros((1, 2)))[0, 0]
    assert twice[1, 1] == 4 and twice[0, 0] == x[0, 0, :2, :2].mean()


def test_shifts_stay_within_their_shares() -> None:
    x = np.zeros((400, 1, 21, 41), np.float32)
    x[:, :, 10, 20] = 1
    y = run(augment.RandomAffine(0, (0.1, 0.2), generator=Generator(0)), x)
    np.testing.assert_allclose(y.sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    columns, rows = y.sum(axis=(1, 2)) @ np.arange(41) - 20, y.sum(axis=(1, 3)) @ np.arange(21) - 10
    for moves, most in ((columns, 4.1), (rows, 4.2)):
        assert np.abs(moves).max() <= most + 1e-4
        assert moves.max() > 0.95 * most and moves.min() < -0.95 * most


# Colours


def naive_jitter(x: Array, factors: Array, order: list[int]) -> Array:
    """One picture (3, H, W), pixel by pixel."""
    y = x.astype(float)
    C, H, W = x.shape

    def luminance(h: int, w: int) -> float:
        return 0.2989 * y[0, h, w] + 0.587 * y[1, h, w] + 0.114 * y[2, h, w] if C == 3 else y[0, h, w]

    for step in order:
        a = factors[step]
        g = np.array([[luminance(h, w) for w in range(W)] for h in range(H)])
        z = [np.zeros_like(g), np.full_like(g, g.mean()), g][step]
        y = np.array(
            [[[min(max(a * y[c, h, w] + (1 - a) * z[h, w], 0), 1) for w in range(W)] for h in range(H)] for c in range(C)]
        )
    return y


@given(n=st.integers(1, 4), C=st.sampled_from([1, 3]), seed=st.integers(0, 999))
@settings(deadline=None)
def test_jitter_is_three_steps_in_an_order_of_each_picture(n: int, C: int, seed: int) -> None:
    x = pictures(n, C, 2, 3, seed, np.float64)
    step = augment.ColorJitter(0.8, 0.5, (0.5, 2))
    u = np.random.default_rng(seed).random((n, 6))
    y = step.changed(x, u)
    for i in range(n):
        factors = np.array([0.2 + 1.6 * u[i, 0], 0.5 + u[i, 1], 0.5 + 1.5 * u[i, 2]])
        np.testing.assert_allclose(y[i], naive_jitter(x[i], factors, np.argsort(u[i, 3:]).tolist()), atol=1e-12)


def test_pictures_after_normalize_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs pictures in \[0, 1\], got -0.5 to 0.5; Normalize comes after it"):
        augment.ColorJitter(0.1)(mm.tensor(np.array([[[-0.5, 0.5]]], np.float32)))
    with pytest.raises(ValueError, match=r"needs pictures \(…, 1 or 3, H, W\), got \(1, 2, 1, 1\)"):
        augment.ColorJitter(0.1)(mm.zeros(1, 2, 1, 1))


# Rectangles


@given(H=st.integers(1, 12), W=st.integers(1, 12), p=st.sampled_from([0.5, 1.0]), seed=st.integers(0, 999))
@settings(deadline=None)
def test_what_is_erased_is_one_rectangle_inside(H: int, W: int, p: float, seed: int) -> None:
    x = pictures(5, 2, H, W, seed) + 1
    y = run(augment.RandomErasing(p, (0.05, 0.6), value=-1, generator=Generator(seed)), x)
    for before, after in zip(x, y, strict=True):
        gone = after[0] == -1
        rows, columns = np.flatnonzero(gone.any(axis=1)), np.flatnonzero(gone.any(axis=0))
        assert gone.sum() == len(rows) * len(columns)
        if gone.any():
            assert (np.diff(rows) == 1).all() and (np.diff(columns) == 1).all()
            assert len(rows) < H and len(columns) < W
        np.testing.assert_array_equal(after, np.where(gone, np.float32(-1), before))


def test_rectangles_have_the_area_shape_and_place_that_is_asked_for() -> None:
    x = np.ones((2000, 1, 40, 60), np.float32)
    gone = run(augment.RandomErasing(0.8, (0.1, 0.2), (0.5, 2), generator=Generator(1)), x)[:, 0] == 0
    hit = gone.any(axis=(1, 2))
    assert abs(hit.mean() - 0.8) < 0.05
    height, width = gone.any(axis=2).sum(axis=1)[hit], gone.any(axis=1).sum(axis=1)[hit]
    share, ratio = height * width / 2400, height / width
    assert 0.09 < share.min() < 0.11 and 0.19 < share.max() < 0.21
    assert 0.45 < ratio.min() < 0.55 and 1.85 < ratio.max() < 2.15
    assert abs(np.log(ratio).mean()) < 0.05  # as likely high as wide
    counts = gone.sum(axis=0)
    assert counts[0, 0] > 0 and counts[-1, -1] > 0  # no edge is left out
    square = run(augment.RandomErasing(1, (0.25, 0.25), (1, 1), generator=Generator(1)), np.ones((50, 1, 28, 28), np.float32))
    assert ((square == 0).sum(axis=(1, 2, 3)) == 14 * 14).all()


# Mixtures


@given(n=st.integers(1, 6), alpha=st.floats(0.05, 5), seed=st.integers(0, 99))
@settings(deadline=None)
def test_pictures_and_labels_are_mixed_alike(n: int, alpha: float, seed: int) -> None:
    x, y = pictures(n, 1, 2, 2, seed), np.random.default_rng(seed).integers(3, size=n)
    mix = augment.MixUp(alpha=alpha, num_classes=3, generator=Generator(seed))
    mixed, q = mix((mm.tensor(x), mm.tensor(y)))
    rng = np.random.default_rng(seed)
    λ, partner = rng.beta(alpha, alpha, n), rng.permutation(n)
    assert mixed.dtype == q.dtype == np.float32 and q.shape == (n, 3)
    for i in range(n):
        one_hot = [λ[i] * (y[i] == c) + (1 - λ[i]) * (y[partner[i]] == c) for c in range(3)]
        np.testing.assert_allclose(mixed.numpy()[i], λ[i] * x[i] + (1 - λ[i]) * x[partner[i]], atol=1e-6)
        np.testing.assert_allclose(q.numpy()[i], one_hot, atol=1e-6)
    rows = mm.tensor(np.eye(3, dtype=np.float32)[y])
    again = augment.MixUp(alpha=alpha, generator=Generator(seed))((mm.tensor(x), rows))
    assert [t.numpy().tobytes() for t in again] == [t.numpy().tobytes() for t in (mixed, q)]


def test_all_of_one_is_the_identity() -> None:
    x = pictures(4)
    assert mixing.mixed(x, np.ones(4), np.array([3, 2, 1, 0])).tobytes() == x.tobytes()
    assert mixing.mixed(x, np.zeros(4), np.array([3, 2, 1, 0])).tobytes() == x[::-1].tobytes()


def test_the_loss_of_mixed_labels_is_the_mixed_loss() -> None:
    """Zhang et al.'s λ l(f, yᵢ) + (1 − λ) l(f, yⱼ), which their program computes."""
    rng = np.random.default_rng(0)
    logits = mm.tensor(rng.normal(size=(5, 3))).requires_grad_()
    y, λ, j = rng.integers(3, size=5), rng.random(5), rng.permutation(5)
    q = mm.tensor(mixing.mixed(np.eye(3)[y], λ, j))
    each = nn.CrossEntropyLoss(reduction="none")
    expected = λ * each(logits, mm.tensor(y)).numpy() + (1 - λ) * each(logits, mm.tensor(y[j])).numpy()
    np.testing.assert_allclose(each(logits, q).numpy(), expected, rtol=1e-12)
    testing.gradcheck(lambda z: nn.CrossEntropyLoss(label_smoothing=0.1)(z, q), logits)


# Refusals


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: augment.RandomHorizontalFlip(1.5), "RandomHorizontalFlip: p must be a number from 0 to 1, got 1.5"),
        (lambda: augment.RandomVerticalFlip(float("nan")), "RandomVerticalFlip: p must be .* got nan"),
        (lambda: augment.RandomErasing(True), "RandomErasing: p must be .* got True"),
        (
            lambda: augment.RandomErasing(scale=(0, 2)),
            r"RandomErasing: scale must be \(low, high\), 0 ≤ low ≤ high ≤ 1, got \(0, 2\)",
        ),
        (lambda: augment.RandomErasing(ratio=(0, 1)), "RandomErasing: ratio must be"),
        (lambda: augment.RandomErasing(value="random"), "RandomErasing: value must be a number, got 'random'"),  # type: ignore
        (lambda: augment.RandomCrop(0), "RandomCrop: size must be one or two integers of at least 1, got 0"),
        (lambda: augment.RandomCrop(3, -1), "RandomCrop: padding must be 1, 2 or 4 integers of at least 0, got -1"),
        (lambda: augment.RandomCrop(3, (1, 2, 3)), "RandomCrop: padding must be"),
        (lambda: augment.RandomCrop(9, 1)(mm.zeros(1, 3, 6, 8)), r"size \(9, 9\) does not fit .*\(1, 3, 6, 8\).*\(8, 10\)"),
        (lambda: augment.RandomAffine((10, -10)), "RandomAffine: degrees must be"),
        (lambda: augment.RandomAffine(0, translate=(2, 0)), "RandomAffine: translate must be two shares from 0 to 1"),
        (lambda: augment.RandomAffine(0, scale=(0, 1)), "RandomAffine: scale must be"),
        (lambda: augment.RandomAffine(0, shear=(0, 1, 2)), "RandomAffine: shear must be"),
        (lambda: augment.RandomAffine(0, shear=90), "RandomAffine: shear must be"),
        (lambda: augment.ColorJitter(-1), "ColorJitter: brightness must be"),
        (lambda: augment.ColorJitter(saturation=(2, 1)), "ColorJitter: saturation must be"),
        (lambda: augment.MixUp(alpha=0), "MixUp: alpha must be a number greater than 0, got 0"),
        (lambda: augment.MixUp(num_classes=1), "MixUp: num_classes must be"),
        (lambda: augment.MixUp()((mm.zeros(2, 3), mm.tensor([0, 1]))), r"needs distributions \(N, C\), or classes .* and None"),
        (lambda: augment.MixUp(num_classes=2)((mm.zeros(2, 3), mm.tensor([0, 2]))), "classes must lie in 0 … 1, got 0 … 2"),
        (lambda: augment.MixUp(num_classes=2)((mm.zeros(2, 3), mm.tensor([0]))), r"got float32 \(2, 3\), \(1,\)"),
    ],
)
def test_refusals(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="RandomHorizontalFlip: generator must be a minimtl Generator, got int"):
        augment.RandomHorizontalFlip(0.5, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"MixUp: needs a batch \(x, y\) of two Tensors, got Tensor"):
        augment.MixUp()(mm.zeros(2, 3))  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match=r"Own needs a method changed\(self, x, u\)"):
        type("Own", (augment.Augmentation,), {})()(mm.zeros(1, 2, 2))
