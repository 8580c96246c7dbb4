"""Checkpoint files that are broken, or made to do harm: refused, or read as what they say, in little time and memory."""

import sys
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest

import minimtl as mm
from minimtl.io import archive, pickled
from tests.bench.checkpoints import main, read
from tests.checkpoints import RANDOM, STATE, flipped, pth, strided, tensor, wholes
from tests.checkpoints import pickled as pickle_of
from tests.hostile import hostile, zips


def test_the_whole_files_are_read(tmp_path: Path) -> None:
    for ending, data in wholes(tmp_path).items():
        path = tmp_path / f"model{ending}"
        path.write_bytes(data)
        loaded = mm.load(path)
        assert list(loaded) == list(STATE)
        for name, t in loaded.items():
            assert t.dtype == STATE[name].dtype and np.array_equal(t.numpy(), STATE[name])
            t.zero_()  # memory that may be written to


def test_files_made_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for mutant in hostile():
        reading = read(mutant, tmp_path)
        assert not reading.outcome.startswith("WRONG"), (mutant.kind, reading)
        assert not (tmp_path / "planted").exists(), mutant.kind


@pytest.mark.parametrize("kind", RANDOM, ids=lambda kind: kind.__name__)
def test_mutants(kind, tmp_path: Path) -> None:
    rng, whole = np.random.default_rng(1), wholes(tmp_path)
    for _ in range(60):
        mutant = kind(rng, whole)
        assert not read(mutant, tmp_path).outcome.startswith("WRONG")


@pytest.mark.slow
def test_10_000_files(capsys: pytest.CaptureFixture[str]) -> None:
    main(10_000, seed=1)
    assert "WRONG" not in capsys.readouterr().out


def without_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive.zlib, "crc32", lambda data: ANY)  # equal to anything


def without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "strided", lambda held, offset, shape, stride: pickled.Strided(held, offset, shape, stride))


def with_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SPARE", 1 << 40)


def believing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "named", lambda name: pickled.Name("collections OrderedDict"))


@pytest.mark.parametrize(
    ("fault", "files"),
    [
        (without_checksums, lambda rng, whole: (flipped(rng, whole) for _ in range(300))),
        (without_bounds, lambda rng, whole: (strided(rng, whole) for _ in range(100))),
        (with_any_size, lambda rng, whole: zips()),
        (believing, lambda rng, whole: hostile()),
    ],
    ids=lambda value: value.__name__,
)
def test_a_reader_with_a_fault_is_found_out(fault, files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted errors: a check that is left out."""
    mutants = files(np.random.default_rng(2), wholes(tmp_path))
    fault(monkeypatch)
    assert any(read(mutant, tmp_path).outcome.startswith("WRONG") for mutant in mutants)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.", "asks for 'os.system', and only tensors in dicts are read"),
        (b"\x80\x02(X\x04\0\0\0trueios\nsystem\n.", "asks for INST"),
        (b"\x80\x04}.", "asks for PROTO 4"),
        (pickle_of({"a": tensor("f4", "0", 3, 1, [3], [1])}), "reaches to number 4 of storage 0, which has 3"),
        (pickle_of({"a": tensor("f4", "0", 3, 0, [9, 9], [0, 0])}), "strides of 0"),
        (pickle_of({"a": tensor("f4", "7", 3, 0, [3], [1])}), "storage 7 of 3 × float32 is missing"),
        (pickle_of({"a": tensor("f8", "0", 3, 0, [3], [1])}), "storage 0 of 3 × float64 has 12 bytes"),
        (pickle_of({"a": tensor("f4", "0/../1", 3, 0, [3], [1])}), "something else than a storage"),
        (pickle_of({"a": tensor("f4", "0", 3, 0, [3], [1]), "b": b"K\x01"}), "it holds 'b': int"),
        (pickle_of({"model": pickle_of({"b": b"N"})[2:-1]}), "it holds 'b': NoneType"),
    ],
)
def test_what_is_wrong_with_a_pickle_is_said(code: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(pth(code, {"data/0": np.ones(3, "f4").tobytes()}))
    with pytest.raises(ValueError) as error:
        mm.load(path)
    assert str(path) in str(error.value) and says in str(error.value)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_around_a_state_dict(key: str, tmp_path: Path) -> None:
    one = {"a": tensor("bf16", "0", 6, 1, [2, 2], [3, 1])}
    path = tmp_path / "model.pt"
    path.write_bytes(pth(pickle_of({"epoch": b"K\x03", key: pickle_of(one)[2:-1]}), {"data/0": bytes(range(12))}))
    halves = np.frombuffer(bytes(range(12)), "<u2").astype("<u4") << 16
    expected = halves.view("<f4")[[1, 2, 4, 5]].reshape(2, 2)
    assert np.array_equal(mm.load(path)["a"].numpy(), expected)


def test_reading_does_nothing_but_open_the_file(tmp_path: Path) -> None:
    """As Python's audit of itself tells: no import, no call of the system, no code compiled or run, no other file."""
    path, watching, seen = tmp_path / "model.pth", [False], []
    sys.addaudithook(lambda event, arguments: seen.append((event, *arguments[:1])) if watching[0] else None)
    for mutant in hostile():
        if mutant.ending == ".pth":
            path.write_bytes(mutant.data)
            watching[0] = True
            try:
                mm.load(path)
            except ValueError:
                pass
            finally:
                watching[0] = False
    assert {event for event in seen if event[0] != "builtins.id"} == {("open", str(path))}
