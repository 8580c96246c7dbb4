"""Class folders: what is in them, every kind of file, damaged ones named, splits that keep the classes' shares."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import minimtl as mm
from minimtl import data, mtl, nn, optim, transfer
from minimtl.backend import Array
from minimtl.data import (
    DataLoader,
    ImageFolder,
    PictureError,
    TensorDataset,
    augment,
    read_picture,
    stratified_split,
    transforms,
)
from minimtl.random import Generator


def bytes_of(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def write(path: Path, pixels: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, of 6 and 4 pictures of 5 × 7."""
    for c, n in (("dog", 4), ("cat", 6)):
        for i in range(n):
            write(tmp_path / c / f"{i}.png", bytes_of(100 * n + i, 5, 7, 3))
    return tmp_path


# What is in a folder


def test_it_reads_as_torchvisions(root: Path) -> None:
    write(root / "cat" / "more" / "deep.PNG", bytes_of(0, 5, 7, 3))
    for name in ("cat/notes.txt", "cat/._0.png", "readme.png", "dog/.hidden.jpg"):
        (root / name).write_bytes(b"not a picture")
    (root / ".ipynb_checkpoints").mkdir()
    folder = ImageFolder(root)
    assert (folder.classes, folder.class_to_idx) == (["cat", "dog"], {"cat": 0, "dog": 1})
    assert folder.samples == [(str(root / "cat" / f"{i}.png"), 0) for i in range(6)] + [
        (str(root / "cat" / "more" / "deep.PNG"), 0),
        *((str(root / "dog" / f"{i}.png"), 1) for i in range(4)),
    ]
    assert folder.targets == [0] * 7 + [1] * 4
    assert len(folder) == 11 and repr(folder).endswith("11 pictures, 2 classes)")
    assert folder.check() is folder and folder.skipped == []


def test_samples_and_batches_are_the_bytes_of_the_files(root: Path) -> None:
    folder = ImageFolder(str(root))
    images, labels = folder.__getitems__(np.array([9, 0, -1]))
    assert images.dtype == np.uint8 and images.shape == (3, 5, 7, 3)
    assert labels.dtype == np.int64 and labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(images.numpy()[1], bytes_of(600, 5, 7, 3))
    image, label = folder[9]
    assert type(label) is int and label == 1
    np.testing.assert_array_equal(image.numpy(), images.numpy()[0])
    with pytest.raises(IndexError, match="index 10 lies outside its 10 samples"):
        folder[10]
    with pytest.raises(TypeError, match="an index is one integer"):
        folder[:2]


def test_batches_pass_transforms(root: Path) -> None:
    chain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    folder = ImageFolder(root, chain, lambda y: 10 + y, size=(4, 6), mode="L")
    x, y = next(iter(DataLoader(folder, 10)))
    assert x.shape == (10, 1, 4, 6) and x.dtype == np.float32 and y.tolist() == [10] * 6 + [11] * 4
    one, label = folder[7]
    np.testing.assert_array_equal(one.numpy(), x.numpy()[7])
    assert label == 11


def test_a_batch_of_two_sizes_is_refused_and_resized(root: Path) -> None:
    odd = write(root / "cat" / "odd.png", bytes_of(1, 9, 8, 3))
    with pytest.raises(
        ValueError, match=r"a batch needs one size, .*0.png and .*odd.png have 5 × 7 and 9 × 8; give size=\(H, W\)"
    ):
        ImageFolder(root).__getitems__(np.arange(11))
    x, _ = ImageFolder(root, size=8).__getitems__(np.arange(11))
    assert x.shape == (11, 8, 8, 3)
    expected = Image.open(odd).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(x.numpy()[6], np.asarray(expected))


def test_size_is_height_and_width(root: Path) -> None:
    assert ImageFolder(root, size=(3, 4))[0][0].shape == (3, 4, 3)
    assert ImageFolder(root, size=[3, 4], mode="L")[0][0].shape == (3, 4)


# Every kind of file


def opened(tmp_path: Path, pixels: Any, mode: str = "RGB", suffix: str = ".png", **options: Any) -> Array:
    return read_picture(write(tmp_path / f"x{suffix}", pixels, **options), mode=mode)


def test_grey_and_colour_become_each_other(tmp_path: Path) -> None:
    grey, colour = bytes_of(0, 4, 5), bytes_of(1, 4, 5, 3)
    np.testing.assert_array_equal(opened(tmp_path, grey, "L"), grey)
    np.testing.assert_array_equal(opened(tmp_path, grey), np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(opened(tmp_path, colour), colour)
    luminance = colour @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(opened(tmp_path, colour, "L"), luminance, atol=1)
    bits = opened(tmp_path, Image.fromarray(grey > 99), "L")
    np.testing.assert_array_equal(bits, np.where(grey > 99, 255, 0))


def test_sixteen_bits_of_grey_keep_their_brightness(tmp_path: Path) -> None:
    deep = np.array([[0, 128, 129, 257, 1000], [32768, 65535, 65407, 60000, 300]], np.uint16)
    expected = np.rint(deep / 257)
    np.testing.assert_array_equal(opened(tmp_path, deep, "L"), expected)
    np.testing.assert_array_equal(opened(tmp_path, deep)[..., 2], expected)
    assert (np.asarray(Image.open(tmp_path / "x.png").convert("L")) == 255).sum() > 3  # what Pillow alone would make of it


def test_palettes_are_looked_up(tmp_path: Path) -> None:
    colour = np.array([[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [255, 0, 0]]], np.uint8)
    picture = Image.fromarray(colour).quantize(3)
    assert picture.mode == "P"
    np.testing.assert_array_equal(opened(tmp_path, picture), colour)


def test_the_transparent_is_laid_on_white(tmp_path: Path) -> None:
    rgba = bytes_of(0, 4, 5, 4)
    rgba[0, 0, 3], rgba[0, 1, 3] = 0, 255
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    y = opened(tmp_path, rgba)
    np.testing.assert_allclose(y, expected, atol=1)
    assert y[0, 0].tolist() == [255] * 3 and y[0, 1].tolist() == rgba[0, 1, :3].tolist()
    la = Image.merge("LA", [Image.fromarray(rgba[..., 0]), Image.fromarray(rgba[..., 3])])
    grey = opened(tmp_path, la, "L")
    np.testing.assert_allclose(grey, rgba[..., 0] * alpha[..., 0] + 255 * (1 - alpha[..., 0]), atol=1)
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    np.testing.assert_array_equal(opened(tmp_path, palette, transparency=1)[0], [[10, 20, 30], [255, 255, 255]])


def test_a_picture_is_turned_as_the_camera_says(tmp_path: Path) -> None:
    grey = np.repeat(np.repeat(np.array([[0, 50, 100], [150, 200, 250]], np.uint8), 8, axis=0), 8, axis=1)
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right
    y = opened(tmp_path, grey, "L", ".jpg", exif=exif, quality=100)
    np.testing.assert_allclose(y, np.rot90(grey, -1), atol=2)


def test_cmyk_becomes_colour(tmp_path: Path) -> None:
    flat = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    y = opened(tmp_path, flat, suffix=".jpeg", quality=100)
    np.testing.assert_allclose(y, np.broadcast_to([255, 0, 0], (8, 8, 3)), atol=3)


# Files that give no picture


def damaged(root: Path) -> dict[str, str]:
    """{file: what is said of it}; one of them only when its last pixels are asked for."""
    (root / "cat" / "text.png").write_text("no picture")
    (root / "cat" / "empty.jpg").write_bytes(b"")
    whole = write(root / "dog" / "short.jpg", bytes_of(0, 64, 64, 3))
    whole.write_bytes(whole.read_bytes()[:-900])
    cut = write(root / "dog" / "cut.png", bytes_of(0, 64, 64, 3))
    cut.write_bytes(cut.read_bytes()[:2000])
    write(root / "dog" / "really.gif", bytes_of(0, 4, 4)).rename(root / "dog" / "gif.png")
    return {
        "text.png": "is no PNG or JPEG picture",
        "empty.jpg": "is no PNG or JPEG picture",
        "short.jpg": "cannot be read: image file is truncated",
        "cut.png": "cannot be read",
        "gif.png": "is no PNG or JPEG picture",
    }


def test_check_counts_and_names_what_cannot_be_read(root: Path) -> None:
    ImageFolder(root).check()
    said = damaged(root)
    folder = ImageFolder(root, size=4)
    with pytest.raises(PictureError, match="ImageFolder: 5 of 15 files cannot be read:\n") as error:
        folder.check()
    for name, why in said.items():
        assert f"{name}: {why}" in str(error.value)
    with pytest.raises(PictureError, match=r"empty\.jpg: is no PNG or JPEG picture"):
        folder.__getitems__(np.arange(15))
    assert folder[0][1] == 0


def test_they_are_left_out_where_that_is_asked_for_and_it_is_told(root: Path) -> None:
    said = damaged(root)
    with pytest.warns(UserWarning, match=r"ImageFolder: 5 of 15 files cannot be read:\n.*\n.*") as caught:
        folder = ImageFolder(root, size=4, skip_unreadable=True)
    assert caught[0].filename == __file__
    assert len(folder) == 10 and {Path(path).name for path in folder.skipped} == set(said)
    folder.check()
    for path in (root / "dog").glob("?.png"):
        path.write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="has no file that can be read for 1 of its classes: 'dog'"):
        ImageFolder(root, skip_unreadable=True)


def test_many_damaged_files_are_counted_and_ten_named(root: Path) -> None:
    for i in range(13):
        (root / "cat" / f"bad{i:02}.png").write_bytes(b"")
    with pytest.raises(PictureError, match="13 of 23 files(.|\n)*bad09.png.*\n  and 3 more; skip_unreadable") as error:
        ImageFolder(root).check()
    assert "bad10" not in str(error.value)


@given(suffix=st.sampled_from([".png", ".jpg"]), places=st.lists(st.integers(0, 10**6), min_size=1, max_size=9), data=st.data())
@settings(deadline=None)
def test_whatever_the_bytes_are_there_is_a_picture_or_one_kind_of_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, places: list[int], data: Any
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    path = write(tmp_path_factory.getbasetemp() / "fuzzed" / f"x{suffix}", bytes_of(0, 9, 8, 3), exif=exif)
    contents = bytearray(path.read_bytes())
    for place in places:
        contents[place % len(contents)] = data.draw(st.integers(0, 255))
    path.write_bytes(contents)
    try:
        assert read_picture(path, (4, 4)).shape == (4, 4, 3)
    except PictureError as error:
        assert str(path) in str(error)


def test_a_decompression_bomb_is_named_and_not_unfolded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "cat" / "large.png", Image.new("L", (60, 50)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    for most in (2000, 1000):  # where Pillow warns, and where it stops
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        for filters in ("error", "ignore"):
            with warnings.catch_warnings():
                warnings.simplefilter(filters)  # type: ignore[arg-type]
                with pytest.raises(
                    PictureError, match=r"large\.png: too large, or a decompression bomb: .*(60 × 50|3000) pixels"
                ):
                    ImageFolder(root)[6]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert ImageFolder(root)[6][0].shape == (50, 60, 3)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda p: ImageFolder(p / "nowhere"), NotADirectoryError, "nowhere is not a folder"),
        (lambda p: ImageFolder(p / "cat" / "0.png"), NotADirectoryError, "0.png is a file, not a folder"),
        (lambda p: ImageFolder(p / "cat"), FileNotFoundError, "no class folders; 6 pictures lie in it: is its parent meant?"),
        (lambda p: ImageFolder(p.joinpath("cow").mkdir() or p), FileNotFoundError, r"has no .png, .jpg, .jpeg file .* 'cow'"),
        (lambda p: ImageFolder(p, size=0), ValueError, "size must be one or two integers of at least 1, got 0"),
        (lambda p: ImageFolder(p, size=(1, 2, 3)), ValueError, r"got \(1, 2, 3\)"),
        (lambda p: ImageFolder(p, mode="RGBA"), ValueError, "mode must be 'RGB' or 'L', got 'RGBA'"),
        (lambda p: ImageFolder(p).__getitems__(np.array([], int)), ValueError, "a batch needs at least one index"),
        (lambda p: ImageFolder(p).split(0), ValueError, "split needs a share between 0 and 1, got 0"),
        (lambda p: ImageFolder(p).split(1.0), ValueError, "split needs a share between 0 and 1, got 1.0"),
        (lambda p: ImageFolder(p).split(0.1), ValueError, r"class 'dog' has 4 samples, of which the shares .* get \[4, 0\]"),
    ],
)
def test_refusals(root: Path, make: Callable[[Path], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make(root)


def test_the_package_is_imported_without_pillow() -> None:
    program = "import sys, minimtl.data, minimtl.data.folder; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=os.environ).returncode == 0


# Splits


@given(
    counts=st.lists(st.integers(4, 30), min_size=1, max_size=4),
    shares=st.sampled_from([[0.8, 0.2], [0.5, 0.25, 0.25], [1.0], [0.7, 0.3]]),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_a_stratified_split_is_a_partition_that_keeps_the_shares(counts: list[int], shares: list[float], seed: int) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = stratified_split(range(len(y)), shares, Generator(seed), targets=mm.tensor(y))
    assert sorted(i for part in parts for i in part.indices.tolist()) == list(range(len(y)))
    for part, share in zip(parts, shares, strict=True):
        for c, n in enumerate(counts):
            assert abs((y[part.indices] == c).sum() - share * n) < 1
    again = stratified_split(TensorDataset(mm.tensor(y)), shares, Generator(seed), targets=y)
    assert [part.indices.tolist() for part in parts] == [part.indices.tolist() for part in again]


def test_the_parts_of_a_split_are_mixed_and_differ_by_the_seed() -> None:
    y = mm.tensor(np.arange(300) % 2)
    digits = data.ImageDataset(mm.zeros(300, 1, 1), y)
    first, second = (stratified_split(digits, [0.5, 0.5], Generator(seed))[0] for seed in (0, 1))
    assert first.indices.tolist() != second.indices.tolist()
    assert first.indices.tolist() != sorted(first.indices.tolist())
    assert len(np.unique([first[i][1] for i in range(20)])) == 2


@pytest.mark.parametrize(
    ("shares", "targets", "says"),
    [
        ([0.5, 0.6], [0, 0], "shares must add up to 1"),
        ([1.5, -0.5], [0, 0], "shares must add up to 1"),
        ([], [0, 0], "shares must add up to 1"),
        ([1.0], None, r"needs a class for each of the 2 samples, got object \(\)"),
        ([1.0], [0, 1, 1], r"needs a class for each of the 2 samples, got int64 \(3,\)"),
        ([1.0], [0.5, 1], "got float64"),
        ([0.5, 0.5], [0, 7], r"class 0 has 1 samples, of which the shares \[0.5, 0.5\] get \[1, 0\]"),
    ],
)
def test_stratified_split_refusals(shares: list[float], targets: Any, says: str) -> None:
    generator = Generator(0)
    before = generator.rng.bit_generator.state
    with pytest.raises(ValueError, match=says):
        stratified_split(range(2), shares, generator, targets)
    assert generator.rng.bit_generator.state == before


def test_both_parts_of_a_folder_have_a_transform_of_their_own(root: Path) -> None:
    folder = ImageFolder(root, size=4)
    train, test = folder.split(0.5, Generator(0))
    assert (len(train), len(test)) == (5, 5) and sorted(train.samples + test.samples) == sorted(folder.samples)
    assert train.targets.count(1) == test.targets.count(1) == 2 and train.classes == folder.classes
    train.transform = transforms.ToTensor()
    assert train[0][0].shape == (3, 4, 4) and test[0][0].shape == folder[0][0].shape == (4, 4, 3)
    again = folder.split(0.5, Generator(0))
    assert again[0].samples == train.samples
    with pytest.raises(ValueError, match=r"class 'dog' has 2 samples, of which the shares .* get \[2, 0\]"):
        train.split(0.2)


# In training


@pytest.mark.parametrize("flipped", [False, True])
def test_augmentation_turns_the_feature_cache_off(root: Path, flipped: bool) -> None:
    steps: list[Any] = [transforms.ToTensor()] + [augment.RandomHorizontalFlip()] * flipped
    folder = ImageFolder(root, transforms.Compose(steps), size=8)
    trunk = transfer.freeze(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()))
    cache = transfer.FeatureCache(trunk)
    batches = cache.over(DataLoader(data.Subset(folder, range(10)), 4))
    next(iter(batches))
    assert batches.reason == ("RandomHorizontalFlip draws samples anew" if flipped else "")
    assert (batches.kept is None) == flipped


def test_a_network_learns_from_a_folder_with_everything_at_once(tmp_path: Path) -> None:
    """Bright on the left or on the right: with mixtures, smoothed labels, batches from the background."""
    rng = np.random.default_rng(0)
    for i in range(60):
        pixels = rng.integers(0, 80, (12, 12), dtype=np.uint8)
        pixels[:, slice(0, 6) if i % 2 else slice(6, 12)] += 120
        write(tmp_path / ("left" if i % 2 else "right") / f"{i}.png", pixels)

    def run() -> tuple[bytes, float]:
        mm.manual_seed(0)
        train, test = ImageFolder(tmp_path, transforms.ToTensor(), size=8, mode="L").check().split(0.25, Generator(1))
        steps = [augment.RandomVerticalFlip(generator=Generator(2)), augment.RandomAffine(10, generator=Generator(3))]
        train.transform = transforms.Compose([transforms.ToTensor(), *steps])
        batches = data.Prefetched(DataLoader(train, 15, shuffle=True))
        mixing = data.Mapped(batches, augment.MixUp(alpha=0.2, num_classes=2))
        model = mtl.HardSharing(nn.Flatten(), {"side": nn.Linear(64, 2)})
        task = mtl.Task("side", nn.CrossEntropyLoss(label_smoothing=0.1), metrics=["accuracy"])
        history = mtl.Trainer(model, [task], optim.Adam(model.parameters(), lr=0.02)).fit(
            mixing, 8, DataLoader(test, 15), verbose=False
        )
        weights = b"".join(p.numpy().tobytes() for p in model.parameters())
        return weights, history.rows[-1]["validation side accuracy"]

    first, again = run(), run()
    assert first == again
    assert first[1] == 1
