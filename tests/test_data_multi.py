"""Two digits in one picture; and where MNIST is looked for."""

from pathlib import Path

import numpy as np
import pytest

import minimtl as mm
from minimtl import data
from minimtl.data.multi import overlaid


def test_both_digits_are_where_they_should_be() -> None:
    left, right = np.zeros((1, 28, 28), np.uint8), np.zeros((1, 28, 28), np.uint8)
    left[0, 0, 0], right[0, 27, 27], left[0, 14, 14], right[0, 8, 8] = 200, 100, 50, 90
    both = overlaid(left, right)
    assert both.shape == (1, 28, 28) and both.dtype == np.uint8
    assert both[0, 0, 0] == 200
    assert (both == 90).any() and not (both == 50).any()  # 14 and 8 + 6 meet: the brighter counts
    places = np.arange(28) * 36 // 28
    assert both[0, list(places).index(14), list(places).index(14)] == 90


def test_labels_are_those_of_the_pictures() -> None:
    digits = data.RenderedDigits(50, seed=0, labels="digit")
    pairs = data.MultiDigits(digits, generator=mm.Generator(3))
    images, labels = pairs.__getitems__(np.arange(50))
    assert images.shape == (50, 28, 28)
    assert (labels["left"].numpy() == digits.targets["digit"].numpy()).all()
    order = mm.Generator(3).rng.permutation(50)
    assert (labels["right"].numpy() == digits.targets["digit"].numpy()[order]).all()
    again = data.MultiDigits(digits, generator=mm.Generator(3)).__getitems__(np.arange(50))[0]
    assert (again.numpy() == images.numpy()).all()


def test_what_are_no_digits_is_refused() -> None:
    other = data.ImageDataset(mm.zeros(3, 8, 8), mm.zeros(3).long())
    with pytest.raises(ValueError, match=r"needs pictures \(N, 28, 28\) uint8, got float32 \(3, 8, 8\)"):
        data.MultiDigits(other)


def test_mnist_is_looked_for_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("MINIMTL_DATA", raising=False)
    assert data.mnist_folder() is None
    monkeypatch.setenv("MINIMTL_DATA", "there")
    assert data.mnist_folder() == "there"
    assert data.mnist_folder("here") == "here"
    monkeypatch.delenv("MINIMTL_DATA")
    cache = tmp_path / ".cache" / "minimtl" / "MNIST" / "raw"
    cache.mkdir(parents=True)
    (cache / "train-images-idx3-ubyte.gz").touch()
    assert data.mnist_folder() == str(tmp_path / ".cache" / "minimtl")
