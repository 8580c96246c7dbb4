"""IDX files and MNIST: what is sound is read exactly, everything else is refused by the name of its file."""

import gzip
import hashlib
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimtl.backend import Array
from minimtl.data import MNIST, mnist, read_idx

REAL = Path(__file__).parents[1] / "../shared/data/mnist"
CODES = {np.dtype(numpy).newbyteorder("="): code for code, numpy in mnist.TYPES.items()}
shapes = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)


def idx(array: Array) -> bytes:
    """The array as an IDX file."""
    numbers: bytes = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return header(CODES[array.dtype], *array.shape) + numbers


def header(code: int, *lengths: int) -> bytes:
    """The header of an IDX file."""
    return bytes([0, 0, code, len(lengths)]) + struct.pack(f">{len(lengths)}I", *lengths)


def digits(n: int, seed: int = 0) -> tuple[Array, Array]:
    """n images and labels, as MNIST stores them."""
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(n, 28, 28), dtype=np.uint8), rng.integers(10, size=n, dtype=np.uint8)


def store(folder: Path, images: bytes, labels: bytes, ending: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in zip(mnist.TRAIN, (images, labels), strict=True):
        (folder / f"{name}{ending}").write_bytes(contents)


# IDX


@given(shape=shapes, dtype=st.sampled_from(list(CODES)), zipped=st.booleans(), seed=st.integers(0, 99))
@settings(deadline=None)
def test_idx_round_trip(tmp_path_factory: Any, shape: tuple[int, ...], dtype: Any, zipped: bool, seed: int) -> None:
    array = (np.random.default_rng(seed).normal(size=shape) * 50).astype(dtype)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    read = read_idx(path)
    assert read.dtype == dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)
    read[...] = 0  # the array is the reader's own


@given(st.data())
@settings(deadline=None)
def test_a_damaged_idx_is_refused_or_read_exactly(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Cut anywhere, or with any one bit flipped, a file is refused by name, or is sound and says what is read."""
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    zipped = data.draw(st.booleans(), "zipped")
    contents = bytearray(gzip.compress(idx(array), mtime=0) if zipped else idx(array))
    path = tmp_path_factory.mktemp("idx") / "damaged"
    at = data.draw(st.integers(0, len(contents) - 1), "at")
    cut = data.draw(st.booleans(), "cut")
    if cut:
        del contents[at:]
    else:
        contents[at] ^= 1 << data.draw(st.integers(0, 7), "bit")
    path.write_bytes(contents)
    try:
        read = read_idx(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise
        return
    assert not cut
    if zipped:  # of a gzip file only header fields without meaning may change: the checksum guards the rest
        np.testing.assert_array_equal(read, array)
    else:  # nothing guards bare numbers, but what is read is what the file says
        assert idx(read) == bytes(contents)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (b"", "ends after 0 bytes"),
        (b"\0\0\x08", "ends after 3 bytes"),
        (b"\x89PNG\r\n\x1a\n", "starts with 89 50 4e 47"),
        (b"\0\0\x0a\x01\0\0\0\0", "starts with 00 00 0a 01"),
        (b"\0\0\x08\0", "starts with 00 00 08 00"),
        (b"\0\0\x08\x03\0\0\0\x01", "ends inside the header, which announces 3 axes"),
        (header(0x08, 3) + b"ab", "announces uint8 (3,), which is 3 bytes; it holds only 2"),
        (header(0x08, 3) + b"abcd", "announces uint8 (3,), which is 3 bytes; it holds more"),
        (header(0x0E, 2) + b"abcdefgh", "announces float64 (2,), which is 16 bytes; it holds only 8"),
        (header(0x08, *[2**32 - 1] * 4), "it can hold 20 at most"),
        (header(0x08, *[1] * 200) + b"a", "dimension"),
        (header(0x08, 0, *[2**32 - 1] * 3), "big"),
        (gzip.compress(header(0x08, 3) + b"abc", mtime=0)[:-3], "the gzip data is damaged"),
        (gzip.compress(header(0x08, 3) + b"abc", mtime=0) + b"tail", "the gzip data is damaged"),
        (gzip.compress(header(0x08, 2**31), mtime=0), "which is 2147483648 bytes; it can hold"),
        (b"\x1f\x8b", "the gzip data is damaged"),
    ],
)
def test_idx_refusals(tmp_path: Path, contents: bytes, says: str) -> None:
    path = tmp_path / "wrong.idx"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=r"wrong\.idx: ") as error:
        read_idx(path)
    assert says in str(error.value)


def test_a_gzip_bomb_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(0x08, 10) + bytes(64 << 20)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds more"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


# MNIST


@pytest.mark.parametrize("folder", [".", "MNIST/raw", "mnist"])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_finds_its_files(tmp_path: Path, folder: str, zipped: bool) -> None:
    images, labels = digits(5)
    pack, ending = (gzip.compress, ".gz") if zipped else (bytes, "")
    store(tmp_path / folder, pack(idx(images)), pack(idx(labels)), ending)
    dataset = MNIST(tmp_path)
    assert len(dataset) == 5
    np.testing.assert_array_equal(dataset.data.array, images)
    np.testing.assert_array_equal(dataset.targets.array, labels)  # type: ignore[union-attr]
    assert dataset.targets.dtype == np.int64  # type: ignore[union-attr]
    image, label = dataset[-1]
    assert (image.shape, image.dtype, label, type(label)) == ((28, 28), np.uint8, labels[-1], int)


def test_mnist_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file t10k-images-idx3-ubyte .*download=True"):
        MNIST(tmp_path, train=False)


images, labels = digits(3)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (idx(labels), idx(labels), r"train-images.*needs images uint8 \(N, 28, 28\), holds uint8 \(3,\)"),
        (idx(images), idx(images), r"train-labels.*needs labels uint8 \(N,\), holds uint8 \(3, 28, 28\)"),
        (idx(images[:, :27]), idx(labels), r"holds uint8 \(3, 27, 28\)"),
        (idx(images.astype(np.float32)), idx(labels), r"holds float32 \(3, 28, 28\)"),
        (idx(images), idx(labels[:2]), "train-labels.*2 labels for the 3 images of .*train-images"),
        (idx(images), idx(labels + np.uint8(10)), "train-labels.*digits 0 to 9"),
        (idx(images)[:-1], idx(labels), "train-images.*holds only 2351"),
    ],
)
def test_mnist_refusals(tmp_path: Path, images: bytes, labels: bytes, says: str) -> None:
    store(tmp_path, images, labels)
    with pytest.raises(ValueError, match=says):
        MNIST(tmp_path)


@pytest.mark.skipif(not REAL.exists(), reason="needs the real MNIST files")
def test_real_mnist() -> None:
    train, test = MNIST(REAL), MNIST(REAL, train=False)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert [train[i][1] for i in range(5)] == [5, 0, 4, 1, 9]
    for dataset, names in ((train, mnist.TRAIN), (test, mnist.TEST)):
        labels = dataset.targets.array.astype(np.uint8)  # type: ignore[union-attr]
        for name, array in zip(names, (dataset.data.array, labels), strict=True):
            assert hashlib.sha256(idx(array)).hexdigest() == mnist.SHA256[name]


# Download


@pytest.fixture
def mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], Path]]:
    """Two local mirrors, a good one under /good and one to spoil under /bad, of four tiny files with their hashes."""
    for kind in ("good", "bad"):
        for i, names in enumerate((mnist.TRAIN, mnist.TEST)):
            for name, array in zip(names, digits(4, seed=i), strict=True):
                (tmp_path / "server" / kind).mkdir(parents=True, exist_ok=True)
                (tmp_path / "server" / kind / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
                monkeypatch.setitem(mnist.SHA256, name, hashlib.sha256(idx(array)).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "server"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        urls = [f"{address}/bad/", f"{address}/good"]
        monkeypatch.setattr(MNIST, "mirrors", urls)
        yield urls, tmp_path / "server"
        server.shutdown()
        thread.join()


def everything(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def spoil(path: Path, how: str) -> None:
    """Damage a file on a mirror."""
    contents = path.read_bytes()
    if how == "absent":
        path.unlink()
    elif how == "cut":
        path.write_bytes(contents[:-20])
    elif how == "another":
        path.write_bytes(gzip.compress(b"not the right contents"))
    elif how == "no gzip":
        path.write_bytes(b"<html>moved</html>")


@pytest.mark.parametrize("how", ["not at all", "absent", "cut", "another", "no gzip"])
def test_download_takes_the_first_sound_mirror(tmp_path: Path, mirrors: tuple[list[str], Path], how: str) -> None:
    for name in mnist.TRAIN:
        spoil(mirrors[1] / "bad" / f"{name}.gz", how)
    root = tmp_path / "root"
    assert len(MNIST(root, download=True)) == 4
    assert everything(root) == {f"{name}.gz" for name in mnist.SHA256}
    for path in mirrors[1].rglob("*.gz"):
        path.unlink()
    MNIST(root, train=False, download=True)  # there already: no mirror is asked


@pytest.mark.parametrize("how", ["absent", "cut", "another", "no gzip"])
def test_a_failed_download_leaves_nothing(tmp_path: Path, mirrors: tuple[list[str], Path], how: str) -> None:
    urls, server = mirrors
    for kind in ("good", "bad"):
        spoil(server / kind / f"{mnist.TRAIN[0]}.gz", how)
    root = tmp_path / "root"
    with pytest.raises(OSError, match=r"train-images-idx3-ubyte\.gz could not be downloaded") as error:
        MNIST(root, download=True)
    for url in urls:
        assert url in str(error.value)
    assert ("SHA-256" in str(error.value)) == (how == "another")
    assert everything(root) == set()


def test_write_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    mnist.write(path, b"old")

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        mnist.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert everything(tmp_path) == {"file"}
