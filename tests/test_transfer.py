"""The objectives of transfer learning, and modules called with other parameters."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import models, mtl, nn, optim, transfer
from minimtl.nn.utils import functional_call
from minimtl.testing.strategies import modules


def squared(ŷ, y):
    return ((ŷ - y) ** 2).sum(dim=1)


@pytest.fixture
def problem():
    mm.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    return model, (mm.randn(8, 3), mm.randn(8, 2))


def bytes_of(model):
    return {name: t.numpy().tobytes() for name, t in model.state_dict().items()}


def test_fine_tuning_starts_at_the_source_and_leaves_it(problem):
    model, (x, y) = problem
    before = bytes_of(model)

    def L(θ):
        return transfer.target_loss(squared, lambda x, θ: θ(x), θ, (x, y))

    for steps in (0, 5):
        tuned = transfer.fine_tune(L, model, lambda p: optim.SGD(p, lr=0.01), steps)
        assert bytes_of(model) == before
        assert (bytes_of(tuned) == before) == (steps == 0)
    assert L(tuned).item() < L(model).item()


def test_frozen_parameters_stay_frozen_while_fine_tuning(problem):
    model, (x, y) = problem
    model[0].requires_grad_(False)
    tuned = transfer.fine_tune(lambda θ: F.mse_loss(θ(x), y), model, lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1), 3)
    assert np.array_equal(tuned[0].weight.numpy(), model[0].weight.numpy())
    assert not np.array_equal(tuned[3].weight.numpy(), model[3].weight.numpy())


@pytest.mark.parametrize("steps", [-1, 1.5, "many"])
def test_a_number_of_steps_that_is_none(problem, steps):
    with pytest.raises(ValueError, match="fine_tune: steps must be an integer"):
        transfer.fine_tune(lambda θ: None, problem[0], optim.SGD, steps)


def test_no_gradient_goes_to_what_is_fixed(problem):
    model, D = problem
    θ = dict(model.named_parameters())
    θʹ = {name: mm.zeros_like(p).requires_grad_() for name, p in θ.items()}
    transfer.delta_loss(F.mse_loss, lambda x, θ: functional_call(model, θ, x), θ, θʹ, D).backward()
    assert all(p.grad is None for p in θ.values())
    assert all(p.grad is not None for p in θʹ.values())
    with pytest.raises(ValueError, match="delta_loss: θ has the parameters"):
        transfer.delta_loss(F.mse_loss, lambda x, θ: x, θ, {}, D)


@given(modules(), st.integers(0, 2**8))
def test_a_module_called_with_its_own_numbers_and_with_others(drawn, seed):
    module, x = drawn
    own, rng = dict(module.named_parameters()), np.random.default_rng(seed)
    before = bytes_of(module)
    same = functional_call(module.eval(), {name: mm.tensor(p.numpy()) for name, p in own.items()}, x)
    np.testing.assert_array_equal(same.numpy(), module(x).numpy())
    others = {name: mm.tensor(rng.normal(size=p.shape), dtype=p.dtype, requires_grad=True) for name, p in own.items()}
    if others:
        functional_call(module, others, (x,)).sum().backward()
    assert all(p.grad is None for p in own.values())
    assert dict(module.named_parameters()) == own
    assert bytes_of(module) == before


def test_the_parameters_come_back_after_an_error_and_unknown_ones_are_refused():
    layer = nn.Linear(2, 3)
    weight = layer.weight
    with pytest.raises(ValueError, match="linear"):
        functional_call(layer, {"weight": mm.zeros(3, 5)}, mm.ones(1, 2))
    assert layer.weight is weight
    with pytest.raises(ValueError, match=r"Linear has no parameters \['wait'\]"):
        functional_call(layer, {"wait": mm.zeros(3, 2)}, mm.ones(1, 2))


def test_a_parameter_with_two_names_is_replaced_under_both():
    tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    x, w = mm.ones(1, 2), mm.tensor([[2.0, 0.0], [0.0, 3.0]])
    assert functional_call(tied, {"0.weight": w}, x).tolist() == [[4.0, 9.0]]
    with pytest.raises(ValueError, match="two are of one parameter"):
        functional_call(tied, {"0.weight": w, "1.weight": 2 * w}, x)
    with pytest.raises(TypeError, match=r"0\.weight must be a Tensor, got ndarray"):
        functional_call(tied, {"0.weight": w.numpy()}, x)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_that_is_no_loss_per_sample_is_refused(problem, reduction):
    """A mean would count each task 1/Nₖ of what it should, and nothing would show it."""
    model, (x, y) = problem
    l = nn.MSELoss(reduction=reduction)
    with pytest.raises(ValueError, match=r"a loss for each of the 8 samples, as with reduction='none', got shape \(\)"):
        mtl.total_loss({"a": l}, {"a": nn.Identity()}, model, {"a": (x, y)})
    with pytest.raises(ValueError, match="target_loss: l must give a loss for each of the 8 samples"):
        transfer.target_loss(l, lambda x, θ: θ(x), model, (x, y))


def test_a_negative_penalty_is_refused():
    with pytest.raises(ValueError, match="λ must not be negative"):
        mtl.regularised_loss([mm.sum], mm.sum, -0.1, mm.ones(2))


def test_the_regularised_loss_of_a_module():
    mm.manual_seed(0)
    model, x, y = nn.Linear(3, 1), mm.randn(5, 3), {"a": mm.randn(5, 1), "b": mm.randn(5, 1)}
    L = [lambda θ, k=k: F.mse_loss(θ(x), y[k]) for k in y]
    decay = mtl.regularised_loss(L, lambda θ: sum((p**2).sum() for p in θ.parameters()), 0.5, model)
    wanted = sum(F.mse_loss(model(x), y[k]).item() for k in y) + 0.5 * sum(
        float((p.numpy() ** 2).sum()) for p in model.parameters()
    )
    assert decay.item() == pytest.approx(wanted, rel=1e-6)


def write_safetensors(path, state):
    """By hand: the library is an extra."""
    import json

    parts, header, end = [], {}, 0
    for name, t in state.items():
        raw = t.numpy().tobytes()
        kind = {"float32": "F32", "int64": "I64"}[t.dtype.name]
        header[name] = {"dtype": kind, "shape": list(t.shape), "data_offsets": [end, end := end + len(raw)]}
        parts.append(raw)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def test_the_readers_transfer_program(tmp_path, monkeypatch):
    """At most 20 lines; it runs as the README has it, and trains the head alone."""
    from PIL import Image

    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (program,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "ImageFolder" in block)
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "pictures" / kind / f"{i}.png")
    source = models.resnet18()
    write_safetensors(tmp_path / "resnet18.safetensors", source.state_dict())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(program, "README.md", "exec"), names)
    assert names["test"].classes == ["cat", "dog"] and len(names["train"]) + len(names["test"]) == 20
    before = {name: data for name, data in bytes_of(source).items() if not name.startswith("fc.")}
    assert bytes_of(names["trunk"]) == before
    assert names["trainer"].steps == 5
