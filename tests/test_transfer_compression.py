"""Weights cut to 0, and weights of eight bits."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim, transfer
from minimtl.transfer import compression
from minimtl.transfer.footprint import stored

seeds = st.integers(0, 2**32 - 1)
amounts = st.floats(0, 1)
WAYS = ("global", "layer", "filter")


def network(seed: int = 0) -> nn.Sequential:
    mm.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)
    )  # fmt: skip


def pictures(n: int = 12) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return mm.tensor(rng.standard_normal((n, 1, 8, 8)).astype(np.float32)), mm.tensor(rng.integers(0, 3, n))


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    """The weights of layers, as they count."""
    layers = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)}
    return {name: part.weight.numpy().copy() for name, part in layers.items()}


def train(model: nn.Module, rule: optim.Optimizer, steps: int = 3) -> None:
    x, y = pictures()
    for _ in range(steps):
        rule.zero_grad()
        nn.CrossEntropyLoss()(model(x), y).backward()
        rule.step()


# Pruning


@given(seeds, amounts, st.sampled_from(WAYS))
def test_the_smallest_are_cut_and_the_others_stay(seed: int, amount: float, by: str) -> None:
    model = network(seed % 1000)
    before = weights(model)
    after = weights(transfer.prune(model, amount, by))
    cut = {name: w == 0 for name, w in after.items()}
    for name, w in before.items():
        np.testing.assert_array_equal(after[name], np.where(cut[name], 0, w))
    sizes = {name: np.sqrt((w**2).reshape(len(w), -1).sum(1)) if by == "filter" else abs(w) for name, w in before.items()}
    if by == "filter":
        cut = {name: c.reshape(len(c), -1).all(axis=1) for name, c in cut.items()}
    groups = [list(before)] if by == "global" else [[name] for name in before]
    for group in groups:
        size, gone = (np.concatenate([d[name].ravel() for name in group]) for d in (sizes, cut))
        assert gone.sum() == round(amount * len(gone))
        if gone.any() and not gone.all():
            assert size[gone].max() <= size[~gone].min()


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize(
    "rule",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
        lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.1),
        lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, weight_decay=0.1),
    ],
)
def test_what_is_cut_stays_exactly_0_whatever_momentum_there_was(rule: Callable[..., Any], by: str, tmp_path: Path) -> None:
    model = network()
    old = rule(model.parameters())
    train(model, old)  # so there is momentum
    transfer.prune(model, 0.5, by)
    cut = {name: w == 0 for name, w in weights(model).items()}
    train(model, old)
    train(model, rule(model.parameters()))
    mm.save(model.state_dict(), tmp_path / "pruned.npz")
    again = transfer.prune(network(7), 0.0)
    again.load_state_dict(mm.load(tmp_path / "pruned.npz"))
    train(again, rule(again.parameters()))
    transfer.permanent(model)
    for name in cut:
        for one in (model, again):
            w = weights(one)[name]
            assert (w[cut[name]] == 0).all() and (w[~cut[name]] != 0).all()
    assert list(model.state_dict()) == list(network().state_dict())


def test_a_pruned_layer_keeps_its_parameters_their_order_and_its_place() -> None:
    model = network()
    own, layer = list(model.parameters()), model[0]
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    transfer.prune(model, 0.7, except_="7")
    assert [a is b for a, b in zip(own, model.parameters(), strict=True)] == [True] * len(own)
    assert model[0] is layer and isinstance(layer, nn.Conv2d) and type(model[7]) is nn.Linear
    transfer.freeze(model, "0")
    assert all((model[0].weight_orig.numpy() == before["0.weight"]).ravel())  # frozen bytes stay, the mask is beside them
    other = copy.deepcopy(model)
    x, _ = pictures()
    np.testing.assert_array_equal(other.eval()(x).numpy(), model.eval()(x).numpy())
    transfer.permanent(other)
    np.testing.assert_array_equal(other(x).numpy(), model(x).numpy())
    assert isinstance(model[0], compression.Pruned) and not isinstance(other[0], compression.Pruned)
    assert not other[0].weight.requires_grad and list(vars(other[0])).index("weight") < list(vars(other[0])).index("bias")


def test_cutting_again_cuts_more_of_what_is_left() -> None:
    model = network()
    cut = [{name: w == 0 for name, w in weights(transfer.prune(model, share)).items()} for share in (0.5, 0.8, 0.8)]
    for name in cut[0]:
        assert (cut[1][name] >= cut[0][name]).all() and (cut[2][name] == cut[1][name]).all()


def test_a_weight_that_two_layers_share_is_cut_once() -> None:
    mm.manual_seed(0)
    a, b = nn.Linear(6, 6), nn.Linear(6, 6)
    b.weight = a.weight
    model = transfer.prune(nn.Sequential(a, b), 0.5)
    assert a.weight_orig is b.weight_orig and (a.weight.numpy() == b.weight.numpy()).all()
    assert (a.weight.numpy() == 0).sum() == 18
    transfer.permanent(model)
    assert a.weight is b.weight and sum(1 for _ in model.parameters()) == 3


def test_gradients_pass_through_the_mask() -> None:
    """∂L/∂w = m ∂L/∂w′, beside a plain layer of the same numbers."""
    pruned = transfer.prune(nn.Sequential(nn.Linear(5, 4)), 0.5)
    plain = transfer.permanent(copy.deepcopy(pruned))
    x, G = mm.randn(3, 5), mm.randn(3, 4)
    for model in (pruned, plain):
        model(x).backward(G)
    m = pruned[0].weight_mask.numpy()
    np.testing.assert_allclose(pruned[0].weight_orig.grad.numpy(), m * plain[0].weight.grad.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(pruned[0].bias.grad.numpy(), plain[0].bias.grad.numpy())


@pytest.mark.oracle
@pytest.mark.parametrize("by", WAYS)
def test_masks_are_pytorchs(by: str) -> None:
    import torch
    from torch.nn.utils import prune

    mine = network()
    theirs = torch.nn.ModuleList([torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(36, 8), torch.nn.Linear(8, 3)])
    for layer, w in zip(theirs, weights(mine).values(), strict=True):
        layer.weight.data = torch.tensor(w)
    if by == "global":
        prune.global_unstructured([(layer, "weight") for layer in theirs], prune.L1Unstructured, amount=0.6)
    for layer in theirs if by != "global" else ():
        if by == "layer":
            prune.l1_unstructured(layer, "weight", 0.6)
        else:
            prune.ln_structured(layer, "weight", 0.6, n=2, dim=0)
    for layer, w in zip(theirs, weights(transfer.prune(mine, 0.6, by)).values(), strict=True):
        np.testing.assert_array_equal(layer.weight.detach().numpy(), w)


# Eight bits

rows = st.integers(0, 30).flatmap(lambda e: st.lists(st.floats(-1, 1, width=32), min_size=6, max_size=6).map(lambda v: (v, e)))


@given(rows, st.sampled_from([np.float32, np.float64]))
def test_an_error_is_at_most_half_a_step(drawn: tuple[list[float], int], dtype: Any) -> None:
    w = (np.array(drawn[0], dtype) * dtype(2.0 ** -drawn[1])).reshape(2, 3)
    q, s = compression.eight_bits(w)
    assert q.dtype == np.int8 and s.dtype == dtype and (s > 0).all() and abs(q.astype(int)).max(initial=0) <= 127
    assert (abs(w - s[:, None] * q) <= s[:, None] / 2 * (1 + 300 * np.finfo(dtype).eps)).all()
    np.testing.assert_array_equal(compression.eight_bits(-w)[1], s)


def half_up(w: Any, s: Any) -> Any:
    return np.array([[int(np.floor(v / sf + 0.5)) for v in row] for row, sf in zip(w, s, strict=True)])


def test_eight_bits_against_a_loop() -> None:
    w = np.random.default_rng(0).standard_normal((4, 30))
    q, s = compression.eight_bits(w)
    assert [max(abs(v) for v in row) / 127 for row in w] == pytest.approx(s.tolist(), rel=1e-12)
    np.testing.assert_array_equal(q, half_up(w, s))
    assert (abs(q).max(axis=1) == 127).all()


def test_quantized_models_say_nearly_the_same_and_are_saved_in_a_quarter(tmp_path: Path) -> None:
    model = network().eval()
    x, _ = pictures()
    small = transfer.quantize(copy.deepcopy(model))
    for name in ("big", "small"):
        mm.save((model if name == "big" else small).state_dict(), tmp_path / f"{name}.npz")
    again = transfer.quantize(network(5)).eval()
    again.load_state_dict(mm.load(tmp_path / "small.npz"))
    assert again[5].weight_q.dtype == mm.int8 and again.state_dict().keys() == small.state_dict().keys()
    np.testing.assert_array_equal(again(x).numpy(), small(x).numpy())
    plain = transfer.permanent(copy.deepcopy(small))
    np.testing.assert_array_equal(plain(x).numpy(), small(x).numpy())
    assert list(plain.state_dict()) == list(model.state_dict())
    for name, w in weights(model).items():
        step = small.state_dict()[f"{name}.weight_scale"].numpy().reshape(-1, *[1] * (w.ndim - 1))
        assert (abs(w - weights(small)[name]) <= step / 2 * 1.0001).all()
    assert abs(small(x).numpy() - model(x).numpy()).max() < 0.02
    assert abs(small(x).numpy() - model(x).numpy()).max() > 0
    assert (
        transfer.footprint_of(small, x).bytes < 0.5 * transfer.footprint_of(model, x).bytes
    )  # biases and statistics are whole


def test_biases_of_a_quantized_model_are_trained_and_its_weights_are_not() -> None:
    model = transfer.quantize(network())
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    train(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1))
    after = model.state_dict()
    for name in ("0", "5", "7"):
        assert (before[f"{name}.weight_q"] == after[f"{name}.weight_q"].numpy()).all()
        assert (before[f"{name}.bias"] != after[f"{name}.bias"].numpy()).any()


def test_zeros_of_pruned_layers_stay_zeros_in_eight_bits() -> None:
    model = transfer.prune(network(), 0.6)
    cut = {name: w == 0 for name, w in weights(model).items()}
    transfer.quantize(model)
    assert all((weights(model)[name][c] == 0).all() for name, c in cut.items())
    assert all(type(part) in (compression.Int8Conv2d, compression.Int8Linear) for part in (model[0], model[5], model[7]))
    assert set(dict(model.named_buffers())) >= {"0.weight_q", "0.weight_scale"} and "0.weight_mask" not in model.state_dict()
    transfer.quantize(model)  # once more changes nothing
    assert all((weights(model)[name][c] == 0).all() for name, c in cut.items())


def test_a_row_of_zeros_has_a_step_and_no_nan() -> None:
    layer = nn.Linear(3, 2)
    layer.load_state_dict({"weight": np.zeros((2, 3)), "bias": np.zeros(2)})
    assert (transfer.quantize(layer)(mm.ones(1, 3)).numpy() == 0).all()


@pytest.mark.oracle
def test_eight_bits_are_pytorchs() -> None:
    import torch

    w = np.random.default_rng(0).standard_normal((4, 30)).astype(np.float32)
    q, s = compression.eight_bits(w)
    zero = torch.zeros(4, dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(torch.tensor(w), torch.tensor(s), zero, 0, -127, 127)
    np.testing.assert_array_equal(theirs.numpy(), s[:, None] * q)


# Side by side


def test_a_footprint_against_counting_by_hand() -> None:
    model, (x, _) = network(), pictures()
    dense = transfer.footprint_of(model, x)
    numbers = 4 * 9 + 4 + 36 * 8 + 8 + 8 * 3 + 3 + 4 * 4
    assert dense.multiply_adds == 4 * 9 * 36 + 36 * 8 + 8 * 3 == mtl.evaluation.arithmetic(copy.deepcopy(model), x)
    zeros = sum(int((t.numpy() == 0).sum()) for t in model.state_dict().values())  # as batch norm begins
    assert dense.nonzero == numbers + 1 - zeros  # and the count of batches
    transfer.prune(model, 0.75, "layer")
    small = transfer.footprint_of(model, x)
    assert small.multiply_adds == 9 * 36 + 9 * 8 + 6
    assert small.nonzero == dense.nonzero - 27 - 216 - 18
    assert dense.bytes - small.bytes == sum(4 * n - stored(n, 4, n // 4) for n in (36, 288, 24))
    assert isinstance(model[0], compression.Pruned) and model.training
    assert transfer.footprint_of(transfer.permanent(model), x)[:3] == small[:3]


def test_side_by_side() -> None:
    model, (x, y) = network(), pictures()
    accuracy = lambda m: float((m(x).argmax(dim=1) == y).float().mean().item())  # noqa: E731
    table = transfer.footprint({"whole": model, "int8": transfer.quantize(copy.deepcopy(model))}, x, accuracy, repeats=1)
    assert table.columns == ["model", "bytes", "not 0", "multiply-adds", "ms", "score"]
    assert int(table["int8"]["bytes"].replace(",", "")) < int(table["whole"]["bytes"].replace(",", ""))
    assert table["int8"]["multiply-adds"].replace(",", "").isdigit()


def test_a_student_learns_of_one_teacher_and_is_pruned_and_quantized() -> None:
    """Distillation, pruning, and eight bits, one after the other, on one task."""
    mm.manual_seed(0)
    teacher, student = network(3), mtl.HardSharing(nn.Flatten(), {"y": nn.Linear(64, 3)})
    x, y = pictures(64)
    model = mtl.Distillation(transfer.prune(student, 0.5), {"y": teacher})
    task = mtl.Task("y", mtl.distilled(nn.CrossEntropyLoss(), weight=1.0), metrics=["accuracy"])
    history = mtl.Trainer(model, [task], optim.Adam(model.parameters(), lr=0.05)).fit([(x, y)] * 60, 2, verbose=False)
    assert history.rows[-1]["y loss"] < 0.5 * history.rows[0]["y loss"]
    assert (student.heads["y"].weight.numpy() == 0).sum() == 96
    said = teacher(x).argmax(dim=1)
    agree = float((transfer.quantize(student).eval()(x)["y"].argmax(dim=1) == said).float().mean().item())
    assert agree > 0.8


def test_refusals_change_nothing() -> None:
    model = network()
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    for amount in (-0.1, 1.1, float("nan"), 5, True, "half"):
        with pytest.raises(ValueError, match=r"prune: amount must be a share in \[0, 1\]"):
            transfer.prune(model, amount)
    with pytest.raises(ValueError, match="by must be 'global', 'layer' or 'filter', got 'row'"):
        transfer.prune(model, 0.5, "row")
    with pytest.raises(ValueError, match="has no part or parameter 'fc'"):
        transfer.prune(model, 0.5, except_="fc")
    for f in (lambda m: transfer.prune(m, 0.5), transfer.quantize):
        with pytest.raises(ValueError, match="has no Linear and no Conv2d"):
            f(nn.Sequential(nn.ReLU()))
        broken = network()
        broken[7].weight.data = mm.tensor(np.full((3, 8), np.nan, np.float32))
        with pytest.raises(ValueError, match="the weight of '7' is not finite"):
            f(broken)
        assert type(broken[0]) is nn.Conv2d
    assert all((t.numpy() == before[name]).all() for name, t in model.state_dict().items())
    transfer.quantize(model)
    with pytest.raises(ValueError, match=r"\['0', '5', '7'\] are int8 already"):
        transfer.prune(model, 0.5)


@pytest.mark.parametrize("compress", [lambda m: transfer.prune(m, 0.5, "layer"), transfer.quantize])
def test_a_compressed_head_that_is_resized_keeps_the_weights_that_count(compress: Any) -> None:
    model = compress(network())
    before, bias = weights(model)["7"], model[7].bias.numpy().copy()
    transfer.resize_head(model, "7", [2, None, 0])
    assert type(model[7]) is nn.Linear
    np.testing.assert_array_equal(model[7].weight.numpy()[[0, 2]], before[[2, 0]])
    np.testing.assert_array_equal(model[7].bias.numpy()[[0, 2]], bias[[2, 0]])


# Planted errors


def test_a_mask_that_is_applied_once_is_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = transfer.prune

    def once(model: Any, *how: Any) -> Any:
        for layer in real(model, *how).modules():
            if isinstance(layer, compression.Pruned):
                layer.weight_orig.data = (layer.weight_orig * layer.weight_mask).detach()
        return model

    monkeypatch.setattr(transfer, "prune", once)
    monkeypatch.setattr(compression.Pruned, "weight", property(lambda self: self.weight_orig))
    with pytest.raises(AssertionError):
        test_what_is_cut_stays_exactly_0_whatever_momentum_there_was(lambda p: optim.SGD(p, lr=0.1), "layer", tmp_path)


def test_scales_of_the_wrong_axis_and_128_steps_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(w: Any) -> Any:
        s = np.full(len(w), abs(w).max() / 127)
        return np.rint(w / s[:, None]).astype(np.int8), s

    def wraps(w: Any) -> Any:
        s = abs(w).max(axis=1) / 128
        return np.rint(w / s[:, None]).astype(np.int64).astype(np.int8), s

    for planted in (wrong, wraps):
        monkeypatch.setattr(compression, "eight_bits", planted)
        with pytest.raises(AssertionError):
            test_eight_bits_against_a_loop()
