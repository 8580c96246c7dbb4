"""New tensors: their numbers and types, and how random ones are distributed."""

import numpy as np
import pytest

import minimtl as mm

LIKE = mm.ones(2, 3, dtype="float64")
CREATED = [
    (mm.zeros(2, 3), "float32", [[0, 0, 0]] * 2),
    (mm.ones((2, 1)), "float32", [[1], [1]]),
    (mm.full((2,), 7), "int64", [7, 7]),
    (mm.zeros_like(LIKE), "float64", [[0, 0, 0]] * 2),
    (mm.ones_like(LIKE, dtype="int32"), "int32", [[1, 1, 1]] * 2),
    (mm.full_like(LIKE, 7), "float64", [[7, 7, 7]] * 2),
    (mm.eye(2), "float32", [[1, 0], [0, 1]]),
    (mm.eye(2, 3), "float32", [[1, 0, 0], [0, 1, 0]]),
    (mm.arange(3), "int64", [0, 1, 2]),
    (mm.arange(5, 0, -2), "int64", [5, 3, 1]),
    (mm.arange(1, 2, 0.5), "float32", [1, 1.5]),
    (mm.arange(1.5), "float32", [0, 1]),
    (mm.linspace(0, 1, 5), "float32", [0, 0.25, 0.5, 0.75, 1]),
]


@pytest.mark.parametrize(("made", "dtype", "numbers"), CREATED)
def test_new_tensors(made, dtype, numbers):
    assert (made.dtype, made.tolist(), made.requires_grad) == (dtype, numbers, False)


def test_random_tensors_have_their_distributions():
    g = mm.Generator(0)
    assert set(mm.randint(2, 5, (200,), generator=g).tolist()) == {2, 3, 4}
    assert set(mm.randint(2, (200,), generator=g).tolist()) == {0, 1}
    assert sorted(mm.randperm(9, generator=g).tolist()) == list(range(9))
    u, n = mm.rand(4000, generator=g).numpy(), mm.randn(4000, generator=g).numpy()
    assert 0 <= u.min() < u.max() < 1
    np.testing.assert_allclose([u.mean(), u.std(), n.mean(), n.std()], [0.5, 12**-0.5, 0, 1], atol=0.06)
