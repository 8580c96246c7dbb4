"""The image and normalisation kernels against their definitions by scalar loops, and their maps against differences."""

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from foreign import disguise
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import KERNELS, LAYOUTS, Kernel, laid_out, normal, pairs, run, seeds, windows_that_fit

from minimtl.backend import Array
from minimtl.kernels import activation, conv, norm, pool, window

every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=repr)
quick = settings(deadline=None, max_examples=60)


def close(got: Array, wanted: Array, tolerance: float) -> None:
    """Equal to within the tolerance times the largest number, at least 1."""
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * max(1.0, np.abs(wanted).max(initial=0)))


def check_map(f: Callable[[Array], Array], x: Array, gx: Callable[[Array], Array], seed: int) -> None:
    """⟨g, ∂f/∂x · d⟩ = ⟨gx(g), d⟩ for random g and d, the left side by central differences of fourth order."""
    h, d, g = 1e-3, normal(seed, *x.shape), normal(seed + 1, *f(x).shape)
    along = [np.sum(g * f(x + k * h * d)) for k in (-2, -1, 1, 2)]
    by_difference = (along[0] - 8 * along[1] + 8 * along[2] - along[3]) / (12 * h)
    by_map = np.sum(gx(g) * d)
    scale = max(1.0, np.abs(g).sum(), np.abs(gx(g)).sum())
    assert abs(by_difference - by_map) < 1e-8 * scale, (by_difference, by_map)


def check_maps(kernel: Kernel, arrays: list[Any], options: tuple[Any, ...], seed: int, plant: Any = None) -> None:
    """`check_map` for every array that has one, after an error was planted in it where one is given."""
    _, maps = run(kernel, arrays, options)
    for i, (a, back) in enumerate(zip(arrays, maps, strict=True)):
        if a is not None and back is not None:

            def f(changed: Array, i: int = i) -> Array:
                return run(kernel, [*arrays[:i], changed, *arrays[i + 1 :]], options)[0][0]

            planted = back if plant is None else (lambda g, back=back: plant(back(g)))
            check_map(f, a, planted, seed)


@every_kernel
def test_value_is_the_definition(kernel: Kernel) -> None:
    @given(case=kernel.cases)
    @quick
    def check(case: Any) -> None:
        arrays, options = case
        values, _ = run(kernel, arrays, options)
        naive = kernel.naive(*arrays, *options)
        for got, wanted in zip(values, naive if isinstance(naive, tuple) else (naive,), strict=True):
            close(got, wanted, 1e-12)

    check()


@every_kernel
def test_maps_are_the_derivatives(kernel: Kernel) -> None:
    @given(case=kernel.cases, seed=seeds)
    @quick
    def check(case: Any, seed: int) -> None:
        check_maps(kernel, *case, seed)

    check()


PLANTED = {
    "a percent too large": lambda g: 1.01 * g,
    "the wrong sign": lambda g: -g,
    "nothing": np.zeros_like,
    "one number lost": lambda g: np.where(np.arange(g.size).reshape(g.shape) == g.size // 2, 0, g),
    "shifted by one": lambda g: np.roll(g, 1),
}


@every_kernel
@pytest.mark.parametrize("error", PLANTED)
def test_wrong_maps_are_caught(kernel: Kernel, error: str) -> None:
    arrays, options = kernel.specimen
    check_maps(kernel, arrays, options, 0)
    with pytest.raises(AssertionError):
        check_maps(kernel, arrays, options, 0, plant=PLANTED[error])


@every_kernel
def test_memory_layout_changes_nothing(kernel: Kernel) -> None:
    @given(case=kernel.cases, layouts=st.lists(st.sampled_from(LAYOUTS), min_size=6, max_size=6), seed=seeds)
    @quick
    def check(case: Any, layouts: list[str], seed: int) -> None:
        arrays, options = case
        strange = [None if a is None else laid_out(a, how) for a, how in zip(arrays, layouts, strict=False)]
        (y, *_), maps = run(kernel, arrays, options)
        (y_strange, *_), maps_strange = run(kernel, strange, options)
        close(y_strange, y, 1e-12)
        g = normal(seed, *y.shape)
        for a, back, back_strange in zip(arrays, maps, maps_strange, strict=True):
            if a is not None and back is not None:
                close(back_strange(laid_out(g, layouts[-1])), back(g), 1e-12)

    check()


@every_kernel
def test_a_constant_cotangent_of_one_number_in_memory(kernel: Kernel) -> None:
    arrays, options = kernel.specimen
    (y, *_), maps = run(kernel, arrays, options)
    for back in filter(None, maps):
        close(back(np.broadcast_to(np.array(0.5), y.shape)), back(np.full(y.shape, 0.5)), 1e-12)


@every_kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_and_shape_are_the_arguments(kernel: Kernel, dtype: Any) -> None:
    @given(case=kernel.cases, seed=seeds)
    @quick
    def check(case: Any, seed: int) -> None:
        arrays, options = case
        cast = [None if a is None else a.astype(dtype) for a in arrays]
        values, maps = run(kernel, cast, options)
        exact, exact_maps = run(kernel, [None if a is None else a.astype(float) for a in cast], options)
        g = normal(seed, *values[0].shape).astype(dtype)
        for got, wanted in zip(values, exact, strict=True):
            assert got.dtype == dtype
            close(got, wanted, 1e-4)
        for a, back, exact_back in zip(cast, maps, exact_maps, strict=True):
            if a is not None and back is not None:
                got = back(g)
                assert got.dtype == dtype
                assert got.shape == a.shape
                if "norm" not in kernel.name:  # near a variance of 0 float32 has few digits left
                    close(got, exact_back(g.astype(float)), 1e-4)

    check()


@every_kernel
def test_pure(kernel: Kernel) -> None:
    """Arguments and cotangent keep their bytes, and asking a map again gives the same answer in memory of its own."""
    arrays, options = kernel.specimen
    held = [a.copy() for a in arrays]
    for a in held:
        a.flags.writeable = False
    (y, *_), maps = run(kernel, held, options)
    g = normal(3, *y.shape)
    g.flags.writeable = False
    for back in filter(None, maps):
        first = back(g)
        again = first.copy()
        first.fill(np.nan)
        back(2 * g)
        np.testing.assert_array_equal(back(g), again)
    np.testing.assert_array_equal(run(kernel, held, options)[0][0], y)
    for a, before in zip(held, arrays, strict=True):
        np.testing.assert_array_equal(a, before)


@every_kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_empty_batch(kernel: Kernel, dtype: Any) -> None:
    (x, *others), options = kernel.specimen
    arrays = [x[:0].astype(dtype), *(a.astype(dtype) for a in others)]
    values, maps = run(kernel, arrays, options)
    assert values[0].shape == (0, *run(kernel, [x, *others], options)[0][0].shape[1:])
    assert all(v.dtype == dtype and np.isfinite(v).all() for v in values)
    for a, back in zip(arrays, maps, strict=True):
        if back is not None:
            g = back(np.zeros_like(values[0]))
            assert (g.shape, g.dtype) == (a.shape, dtype)
            assert not g.any()


@every_kernel
def test_arrays_of_another_library_stay_there(kernel: Kernel) -> None:
    @given(case=kernel.cases)
    @quick
    def check(case: Any) -> None:
        arrays, options = case
        (y, *_), maps = run(kernel, arrays, options)
        (there, *_), maps_there = run(kernel, [disguise(a) for a in arrays], options)
        close(there.array, y, 1e-12)
        for a, back, back_there in zip(arrays, maps, maps_there, strict=True):
            if a is not None and back is not None:
                close(back_there(disguise(np.ones_like(y))).array, back(np.ones_like(y)), 1e-12)

    check()


@every_kernel
def test_what_is_dropped_is_freed_at_once(kernel: Kernel) -> None:
    arrays, options = kernel.specimen
    held = [a.copy() for a in arrays]
    watched = [weakref.ref(a) for a in held]
    gc.disable()
    try:
        values, maps = run(kernel, held, options)
        watched.append(weakref.ref(values[0]))
        for back in filter(None, maps):
            back(np.ones_like(values[0]))
        del held, values, maps, back
        assert [w() for w in watched] == [None] * len(watched)
    finally:
        gc.enable()


def test_a_convolution_of_frozen_filters_keeps_no_image() -> None:
    (x, w, b), options = KERNELS[0].specimen
    image, filters = x.copy(), w.copy()
    seen, kept = weakref.ref(image), weakref.ref(filters)
    maps = list(conv.conv2d(image, filters, b, *options))
    del image, maps[2]
    assert seen() is None
    del filters, maps[1]
    assert kept() is None


# Convolution


@given(case=KERNELS[0].cases, seed=seeds)
@quick
def test_transposed_convolution_is_the_adjoint(case: Any, seed: int) -> None:
    """⟨y, w ⋆ x⟩ = ⟨w ⋆ᵀ y, x⟩"""
    (x, w, _), (stride, padding, dilation, groups) = case
    y, *_ = conv.conv2d(x, w, None, stride, padding, dilation, groups)
    least = window.transposed_size(y.shape[2:], w.shape[2:], stride, padding, dilation, (0, 0))
    extra = (x.shape[2] - least[0], x.shape[3] - least[1])
    g = normal(seed, *y.shape)
    back, *_ = conv.conv_transpose2d(g, w, None, stride, padding, extra, groups, dilation)
    close(np.sum(back * x), np.sum(g * y), 1e-10)


# Pooling


def test_max_pool_of_negative_numbers_ignores_the_frame() -> None:
    y, gx = pool.max_pool2d(-np.ones((1, 1, 2, 2)), (2, 2), (1, 1), (1, 1))
    np.testing.assert_array_equal(y, -np.ones((1, 1, 3, 3)))
    assert gx(np.ones_like(y)).sum() == 9


def test_of_equal_maxima_the_first_takes_the_gradient() -> None:
    y, gx = pool.max_pool2d(np.zeros((1, 1, 4, 4)), (2, 2), (2, 2), (0, 0))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(gx(np.ones_like(y))[0, 0], expected)


def test_max_pool_passes_nan_on() -> None:
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    x[0, 0, 1, 0] = np.nan
    y, gx = pool.max_pool2d(x, (2, 2), (2, 2), (0, 0))
    np.testing.assert_array_equal(y[0, 0], [[np.nan, 7], [13, 15]])
    g = gx(np.ones_like(y))[0, 0]
    assert g[1, 0] == 1
    assert g.sum() == 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["avg_pool2d", "adaptive_avg_pool2d", "upsample_nearest2d"])
def test_a_bad_pixel_stays_in_its_windows(name: str, bad: float) -> None:
    kernel = next(k for k in KERNELS if k.name == name)
    (x,), options = kernel.specimen
    x = x.copy()
    before = run(kernel, [x], options)[0][0]
    x[0, 0, 0, 0] = bad
    after = run(kernel, [x], options)[0][0]
    assert not np.isfinite(after[0, 0, 0, 0])
    np.testing.assert_array_equal(after[:, :, -1], before[:, :, -1])
    np.testing.assert_array_equal(after[..., -1], before[..., -1])
    np.testing.assert_array_equal(after[1:], before[1:])


# Normalisation


def test_variance_survives_a_large_mean() -> None:
    x = normal(0, 64, 3)
    (_, mean, var), *_ = norm.batch_norm(x + 1e8, None, None, 0.0)
    np.testing.assert_allclose(mean, x.mean(0) + 1e8, rtol=1e-15)
    np.testing.assert_allclose(var, x.var(0), rtol=1e-6)  # x + 1e8 itself is rounded to 1e-8


def test_a_single_number_per_channel_is_its_mean() -> None:
    x = normal(0, 1, 3)
    (y, mean, var), gx, *_ = norm.batch_norm(x, None, None, 1e-5)
    np.testing.assert_array_equal([y[0], mean, var, gx(np.ones_like(x))[0]], [0 * x[0], x[0], 0 * x[0], 0 * x[0]])


# Nonlinearities


def test_erf_is_that_of_the_standard_library_to_13_digits() -> None:
    x, far = np.linspace(-7, 7, 1401), np.array([-np.inf, -6.0, 6.0, np.inf])
    np.testing.assert_allclose(activation.erf(x), [math.erf(a) for a in x], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(activation.erf(far), [-1, -1, 1, 1])


# What they share


@given(n=st.integers(1, 12), k=st.integers(1, 4), s=st.integers(1, 4), p=st.integers(0, 3), d=st.integers(1, 3))
def test_output_size_counts_windows(n: int, k: int, s: int, p: int, d: int) -> None:
    sizes = window.output_size((n, 9), (k, 1), (s, 1), (p, 0), (d, 1))
    assert max(sizes[0], 0) == windows_that_fit(n, k, s, p, d)
    assert sizes[1] == 9
    if sizes[0] >= 1:
        least, _ = window.transposed_size((sizes[0], 9), (k, 1), (s, 1), (p, 0), (d, 1), (0, 0))
        assert windows_that_fit(least, k, s, p, d) == sizes[0]
        assert windows_that_fit(least - 1, k, s, p, d) == sizes[0] - 1


@given(padding=pairs(0, 2), layout=st.sampled_from(LAYOUTS))
def test_crop_undoes_pad_in_the_same_layout(padding: tuple[int, int], layout: str) -> None:
    x = laid_out(normal(0, 2, 3, 4, 5), layout)
    xp = window.pad(x, padding, 7.0)
    np.testing.assert_array_equal(window.crop(xp, padding), x)
    assert xp.sum() == pytest.approx(x.sum() + 7 * (xp.size - x.size))
    if layout in ("C", "batch last", "channels last"):
        assert np.argsort(xp.strides).tolist() == np.argsort(x.strides).tolist()


@given(runs=st.lists(pairs(0, 6).map(sorted), min_size=1, max_size=6), axis=st.integers(0, 2))
def test_sum_runs(runs: list[list[int]], axis: int) -> None:
    x, (starts, stops) = normal(0, 6, 6, 6), np.array(runs).T
    wanted = np.stack([x.take(range(*run), axis).sum(axis) for run in runs], axis)
    close(window.sum_runs(x, axis, starts, stops), wanted, 1e-14)
