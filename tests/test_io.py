"""Saving and loading: what comes back, what is never executed, and that a failure leaves the old file."""

import builtins
import os
import stat
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minimtl as mm
from minimtl import dtypes, io, nn

on_files = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
endings = pytest.mark.parametrize("ending", [".npz", ".safetensors"])
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
names = st.text(st.characters(categories=["L", "N"], include_characters="._- "), min_size=1, max_size=12)


@pytest.fixture(autouse=True)
def safetensors(request):
    if "ending" in request.fixturenames and request.getfixturevalue("ending") == ".safetensors":
        pytest.importorskip("safetensors")


def array_of(dtype, shape, seed):
    """Any bytes that are numbers of the dtype, NaN and infinity among them."""
    n = int(np.prod(shape)) * dtype.itemsize
    data = np.random.default_rng(seed).integers(0, 2 if dtype.kind == "b" else 256, n, dtype=np.uint8)
    return data.view(dtype).reshape(shape)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.array.tobytes() == b.array.tobytes()


@endings
@on_files
@given(st.dictionaries(names, st.tuples(st.sampled_from(dtypes.DTYPES), shapes, st.integers(0, 99)), max_size=4))
def test_what_is_saved_comes_back_byte_for_byte(tmp_path, ending, drawn):
    path = tmp_path / f"state{ending}"
    state = {name: mm.from_numpy(array_of(*one)) for name, one in drawn.items()}
    mm.save(state, path)
    loaded = mm.load(path)
    assert set(loaded) == set(state)
    assert all(same(loaded[name], state[name]) for name in state)


@endings
@pytest.mark.parametrize("name", ["file", "allow_pickle", "args", "a.npy", "arr_0", "", "θₛ.weight", "a/b"])
def test_no_name_is_special(tmp_path, ending, name):
    path = tmp_path / f"state{ending}"
    mm.save({name: mm.ones(2), "a": mm.zeros(3)}, path)
    assert {n: t.tolist() for n, t in mm.load(path).items()} == {name: [1, 1], "a": [0, 0, 0]}


@endings
def test_numbers_arrays_views_and_tensors_are_saved_alike(tmp_path, ending):
    path = tmp_path / f"state{ending}"
    t = mm.randn(3, 4)
    mm.save({"t": t.T, "view": t[::2, 1:], "int": 3, "float": 0.5, "numpy": np.float64(2), "array": np.ones(2)}, path)
    loaded = mm.load(path)
    assert loaded["t"].tolist() == t.T.tolist()
    assert loaded["view"].tolist() == t[::2, 1:].tolist()
    assert (loaded["int"].item(), loaded["float"].item(), loaded["numpy"].dtype) == (3, 0.5, mm.float64)
    assert loaded["array"].dtype == mm.float64
    for tensor in loaded.values():
        tensor.zero_()  # memory of its own


@endings
def test_a_model_comes_back(tmp_path, ending):
    path = tmp_path / f"model{ending}"
    model, other = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)) for _ in range(2))
    model(mm.randn(5, 3))
    mm.save(model.state_dict(), path)
    other.load_state_dict(mm.load(path))
    x = mm.randn(2, 3)
    assert model.eval()(x).tolist() == other.eval()(x).tolist()


@endings
def test_the_file_is_exactly_the_one_named_and_as_open_as_any_other(tmp_path, ending):
    path = tmp_path / f"with.dots and φ.v1{ending}"
    mm.save({"a": mm.ones(1)}, str(path))
    (tmp_path / "plain").write_text("")
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, "plain"])
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_numpy_reads_what_is_saved_and_the_reverse(tmp_path):
    ours, theirs, packed = tmp_path / "ours.npz", tmp_path / "theirs.npz", tmp_path / "packed.npz"
    mm.save({"a": mm.ones(2), "b": mm.zeros(3)}, ours)
    with np.load(ours) as arrays:
        assert {name: arrays[name].tolist() for name in arrays} == {"a": [1, 1], "b": [0, 0, 0]}
    np.savez(theirs, a=np.ones((2, 3), order="F"), b=np.arange(3))
    np.savez_compressed(packed, a=np.ones((2, 3)), b=np.arange(3))
    for path in (theirs, packed):
        assert {n: t.tolist() for n, t in mm.load(path).items()} == {"a": [[1, 1, 1]] * 2, "b": [0, 1, 2]}


def test_the_same_state_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        mm.save({"w": mm.ones(3), "b": mm.zeros(())}, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# What is refused


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model", "model.npy", "model.npz.gz"])
def test_other_endings_are_refused_and_nothing_is_written(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ValueError, match=r"must be \.npz, \.safetensors$"):
        mm.save({"a": mm.ones(1)}, path)
    assert os.listdir(tmp_path) == []
    path.write_bytes(b"x")
    says = "it starts with 78, a zip archive" if path.suffix in (".pt", ".pth") else r"must be .* \.pth, \.pt$"
    with pytest.raises(ValueError, match=says):
        mm.load(path)


class Evil:
    def __reduce__(self):
        return (exec, ("import builtins; builtins.planted = True",))


@pytest.mark.parametrize("allow", ["npz of objects", "bare pickle"])
def test_a_pickle_is_refused_and_not_executed(tmp_path, allow):
    path = tmp_path / "evil.npz"
    evil = np.array([Evil()], dtype=object)
    if allow == "npz of objects":
        np.savez(path, evil=evil)
    else:
        path.write_bytes(evil.dumps())
    with pytest.raises(ValueError, match=r"evil\.npz"):
        mm.load(path)
    assert not hasattr(builtins, "planted")


@pytest.mark.parametrize("array", [np.array(["a"]), np.ones(2, complex), np.ones(2, np.uint64), np.zeros(2, [("x", "i4")])])
def test_arrays_that_no_tensor_holds_are_refused(tmp_path, array):
    path = tmp_path / "other.npz"
    np.savez(path, array=array)
    with pytest.raises(ValueError, match=r"other\.npz"):
        mm.load(path)
    with pytest.raises(TypeError):
        mm.save({"array": array}, path)


@pytest.mark.parametrize("state", [{1: mm.ones(1)}, {"a": None}, {"a": "text"}, {"a": [1.0]}, {"a": {"b": mm.ones(1)}}])
def test_what_is_no_state_dict_is_refused(tmp_path, state):
    with pytest.raises(TypeError, match="names with tensors"):
        mm.save(state, tmp_path / "state.npz")
    assert os.listdir(tmp_path) == []


@endings
def test_a_save_that_fails_leaves_the_old_file(tmp_path, ending, monkeypatch):
    path = tmp_path / f"state{ending}"
    mm.save({"a": mm.ones(1)}, path)
    old = path.read_bytes()

    def half(file, arrays):
        file.write(b"half")
        raise OSError("no space left on device")

    for broken in ("write_npz", "write_safetensors"):
        monkeypatch.setattr(io, broken, half)
    with pytest.raises(OSError, match="no space"):
        mm.save({"a": mm.zeros(5)}, path)
    with pytest.raises(TypeError):
        mm.save({"a": mm.zeros(5), "b": object()}, path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        mm.load(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        mm.save({"a": mm.ones(1)}, tmp_path / "nowhere" / "a.npz")


def test_without_safetensors_it_is_read_and_saving_says_what_to_install(tmp_path, monkeypatch):
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}  '
    (tmp_path / "b.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\x80\x3f\xc0\xbf")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(RuntimeError, match=r"minimtl\[weights\]"):
        mm.save({"a": mm.ones(1)}, tmp_path / "a.safetensors")
    assert os.listdir(tmp_path) == ["b.safetensors"]
    loaded = mm.load(tmp_path / "b.safetensors")["a"]
    assert (loaded.tolist(), loaded.dtype) == ([1.0, -1.5], mm.float32)


# Damaged files


STATE = {"θ.weight": mm.arange(12, dtype="float32").reshape(3, 4), "bias": mm.ones(3), "steps": mm.tensor(7)}


@settings(on_files, max_examples=400)
@given(st.data())
def test_a_damaged_npz_is_refused_or_harmless(tmp_path, data):
    """A zip keeps a checksum of every member, so a byte that matters cannot change unseen."""
    path = tmp_path / "state.npz"
    mm.save(STATE, path)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans(), "cut"):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1), "length")]
    else:
        damaged = bytearray(whole)
        damaged[data.draw(st.integers(0, len(whole) - 1), "place")] ^= data.draw(st.integers(1, 255), "bits")
    path.write_bytes(damaged)
    try:
        loaded = mm.load(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert list(loaded) == list(STATE)
        assert all(same(loaded[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("damage", ["a member hides another", "a name in another code"])
def test_a_damaged_list_of_members_is_refused(tmp_path, damage):
    """One byte of the zip's list, which has no checksum, and a tensor would be gone or renamed."""
    path = tmp_path / "state.npz"
    mm.save(STATE, path)
    whole = bytearray(path.read_bytes())
    first, last, end = whole.find(b"PK\1\2"), whole.rfind(b"PK\1\2"), whole.rfind(b"PK\5\6")
    if damage == "a member hides another":
        whole[whole.rfind(b"PK\1\2", 0, last) + 32] = end - last  # the length of a comment behind the name
    else:
        whole[first + 9] ^= 8  # the mark of UTF-8
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"state\.npz"):
        mm.load(path)


@settings(on_files, max_examples=200)
@given(st.data())
def test_a_damaged_safetensors_is_refused_or_holds_tensors(tmp_path, data):
    """This format has no checksum: a changed number is a number. What is cut off is always seen."""
    pytest.importorskip("safetensors")
    path = tmp_path / "state.safetensors"
    mm.save(STATE, path)
    whole = bytearray(path.read_bytes())
    cut = data.draw(st.booleans(), "cut")
    if cut:
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1), "length")]
    else:
        damaged = bytearray(whole)
        damaged[data.draw(st.integers(0, len(whole) - 1), "place")] ^= data.draw(st.integers(1, 255), "bits")
    path.write_bytes(damaged)
    try:
        loaded = mm.load(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert not cut
        assert all(t.dtype in dtypes.DTYPES for t in loaded.values())


@pytest.mark.parametrize("claim", ["(1,)", "(9,)", "(99999999999,)", "(-1,)", "('a',)", "(2,"])
def test_a_header_that_does_not_fit_its_bytes_is_refused(tmp_path, claim):
    """With a right checksum."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {claim}, }}".ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + np.ones(2, "<f4").tobytes()
    path = tmp_path / "state.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member)
    with pytest.raises(ValueError, match=r"state\.npz"):
        mm.load(path)
