"""Where the numbers live, what is said where there is no GPU, and what `import minimtl` loads."""

import subprocess
import sys
import types

import numpy as np
import pytest

import minimtl as mm
from minimtl import backend


def cupy_that(count):
    """A module in the place of cupy, whose answer about GPUs is `count`."""
    module = types.ModuleType("cupy")
    module.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count))
    return module


def no_driver():
    raise OSError("cudaErrorInsufficientDriver")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, r"needs CuPy: pip install 'minimtl\[gpu\]'"),
        (cupy_that(lambda: 0), "finds no GPU"),
        (cupy_that(no_driver), "finds no GPU: cudaErrorInsufficientDriver"),
    ],
    ids=["no cupy", "no gpu", "no driver"],
)
def test_without_a_gpu_each_way_there_says_what_is_missing(monkeypatch, module, message):
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert not mm.cuda.is_available()
    t, layer = mm.ones(2), mm.nn.Linear(2, 2)
    before = {name: value.array.tobytes() for name, value in layer.state_dict().items()}
    for move in (lambda: t.to("cuda"), lambda: t.to("cuda:0"), t.cuda, lambda: mm.ones(2, device="cuda"), layer.cuda):
        with pytest.raises(RuntimeError, match=message):
            move()
    assert t.device == "cpu"
    assert {name: value.array.tobytes() for name, value in layer.state_dict().items()} == before


def test_moving_to_where_it_is_changes_nothing():
    t = mm.ones(2)
    assert t.to("cpu").array is t.array
    assert t.cpu().device == "cpu"
    assert t.to(mm.device("cpu:0")).device == "cpu"
    assert mm.device("cuda:0").startswith("cuda")  # naming a device does not need one
    p = mm.ones(2, requires_grad=True)
    p.to("cpu").sum().backward()
    assert p.grad.tolist() == [1, 1]


def test_a_place_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"'cpu'.*'cuda'.*'tpu'"):
        mm.device("tpu")
    with pytest.raises(ValueError, match=r"'cpu'.*'cuda'.*'tpu'"):
        mm.ones(2, device="tpu")
    with pytest.raises(ValueError, match="'cuda:1'"):
        mm.device("cuda:1")
    with pytest.raises(TypeError, match=r"'tpu'.*float32"):
        mm.ones(2).to("tpu")


def test_the_owner_of_memory_is_found_through_every_kind_of_view():
    x = np.arange(24.0)
    windows = np.lib.stride_tricks.sliding_window_view(x, 3)
    views = [x, x[2:], x.reshape(4, 6).T[1:, ::2], np.broadcast_to(x, (2, 24)), windows, windows[::2].reshape(-1, 1)[:0]]
    assert [backend.owner(v) is x for v in views[:5]] == [True] * 5
    assert backend.owner(x.copy()) is not x
    assert backend.owner(np.frombuffer(b"12345678")) == b"12345678"


def test_import_loads_numpy_alone():
    """The time is printed for whoever asks for it with -s; it depends on the machine too much to be a test."""
    program = """
import sys, time
import numpy.random
before, start = set(sys.modules), time.perf_counter()
import minimtl
seconds = time.perf_counter() - start
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(f"{seconds:.3f} s")
print(sorted(roots - set(sys.stdlib_module_names) - {"minimtl", "numpy"}))
print(sorted(set(sys.modules) & {"matplotlib", "torch", "tqdm", "hypothesis", "cupy", "safetensors", "pytest"}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, *loaded = done.stdout.splitlines()
    print("import minimtl, after numpy:", seconds)
    assert loaded == ["[]", "[]"]
