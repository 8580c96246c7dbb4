"""θ + θ′: θ never moves by a byte, nothing changes at first; merging and taking apart; θ′ in a file of its own; PyTorch's LoRA."""

import copy
import gc
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import mtl, nn, optim, testing, transfer

BIG = st.integers(0, 2**32 - 1)


def net(seed: int = 0) -> nn.Sequential:
    """Convolutions, one in groups, normalisation, dropout, and linear layers inside a part."""
    mm.manual_seed(seed)
    inner = nn.Sequential(nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 5))
    convs = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding="same", groups=2)
    return nn.Sequential(*convs, nn.Dropout(0.5), nn.AdaptiveAvgPool2d(2), nn.Flatten(), inner, nn.Linear(5, 3))


def batch(seed: int = 1) -> tuple[mm.Tensor, mm.Tensor]:
    rng = np.random.default_rng(seed)
    return mm.tensor(rng.standard_normal((6, 2, 5, 5)).astype("float32")), mm.tensor(rng.integers(0, 3, 6))


def bytes_of(module: nn.Module) -> dict[str, bytes]:
    return {name: t.numpy().tobytes() for name, t in module.state_dict().items()}


SHAPES: dict[str, Any] = {
    "full": lambda: {"*": transfer.full},
    "bitfit": lambda: {"*.bias": transfer.full},
    "lora": lambda: {"*": transfer.lora(r=2)},
    "lora with dropout, rank stabilised": lambda: {"*": transfer.lora(r=3, rank_stabilised=True, dropout=0.3)},
    "adapters": lambda: {"0": transfer.adapter(4, 3, dim=1), "6": transfer.adapter(5, 2, activation=mm.tanh)},
    "mixed": lambda: {"6": transfer.lora(r=1), "6.*.bias": transfer.full, "2": transfer.adapter(4, dim=1)},
}
MERGED = [name for name in SHAPES if name not in ("adapters", "mixed")]
every_shape = pytest.mark.parametrize("shape", SHAPES)


def trained(delta: nn.Module, steps: int = 3, rate: float = 0.05) -> None:
    x, y = batch()
    rule = optim.AdamW([p for p in delta.parameters() if p.requires_grad], lr=rate, weight_decay=0.1)
    for _ in range(steps):
        delta.train()
        rule.zero_grad()
        F.cross_entropy(delta(x), y).backward()
        rule.step()


@every_shape
def test_at_first_nothing_changes_and_in_training_the_model_stays(shape: str) -> None:
    model, (x, _) = net(), batch()
    model.eval()
    wanted, before = model(x).numpy(), bytes_of(model)
    delta = transfer.Delta(model, SHAPES[shape]())
    np.testing.assert_array_equal(delta.eval()(x).numpy(), wanted)
    assert set(delta.update.parameters()) == {p for p in delta.parameters() if p.requires_grad}
    started = bytes_of(delta.update)
    trained(delta)
    assert bytes_of(delta.model) == before
    assert all(bytes_of(delta.update)[name] != b for name, b in started.items())
    assert not np.array_equal(delta.eval()(x).numpy(), wanted)
    assert not any("forward" in vars(part) for part in model.modules())  # nothing is left behind


@given(st.sampled_from(MERGED), BIG)
def test_merged_gives_the_same_and_taken_apart_has_the_bytes_it_had(shape: str, seed: int) -> None:
    model, (x, _) = net(seed % 7), batch(seed)
    delta, rng = transfer.Delta(model, SHAPES[shape]()).eval(), np.random.default_rng(seed)
    for p in delta.update.parameters():
        p.data = mm.tensor(rng.standard_normal(p.shape).astype("float32"))
    before, update, wanted = bytes_of(model), bytes_of(delta.update), delta(x).numpy()
    merged = delta.merge()
    assert merged is model and bytes_of(model) != before
    np.testing.assert_allclose(model(x).numpy(), wanted, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_array_equal(delta(x).numpy(), model(x).numpy())
    delta.unmerge()
    assert bytes_of(model) == before and bytes_of(delta.update) == update
    np.testing.assert_array_equal(delta(x).numpy(), wanted)


@given(BIG, st.integers(1, 4), st.booleans())
def test_low_rank_is_of_low_rank_and_the_path_is_the_weight(seed: int, r: int, stabilised: bool) -> None:
    """W x + s B A x = (W + s B A) x, in float64; ΔW as a matrix (m, n) has rank r at most."""
    delta = transfer.Delta(net().double(), {"*": transfer.lora(r=r, alpha=3.0, rank_stabilised=stabilised)}).eval()
    rng = np.random.default_rng(seed)
    for p in delta.update.parameters():
        p.data = mm.tensor(rng.standard_normal(p.shape))
    θ = dict(delta.model.named_parameters())
    d = delta.differences()
    assert set(d) == {"0.weight", "2.weight", "6.0.weight", "6.2.weight", "7.weight"}
    for name, D in d.items():
        assert D.shape == θ[name].shape
        assert np.linalg.matrix_rank(D.numpy().reshape(D.shape[0], -1)) <= r
    A, B = (delta.update.state_dict()[f"7.{name}"].numpy() for name in "AB")
    np.testing.assert_allclose(d["7.weight"].numpy(), 3.0 / (r**0.5 if stabilised else r) * B @ A, rtol=1e-12)
    x = mm.tensor(rng.standard_normal((3, 2, 5, 5)))
    moved = {name: θ[name] + D for name, D in d.items()}
    np.testing.assert_allclose(delta(x).numpy(), nn.utils.functional_call(delta.model, moved, x).numpy(), rtol=1e-9, atol=1e-11)


def test_the_full_update_walks_the_path_of_fine_tuning() -> None:
    """θₙ = θ + θ′ₙ after each number of steps, with momentum; with weight decay it does not: the planted error."""
    model, (x, y) = net().double(), batch()
    x = x.double()
    transfer.freeze(model, "1", "3")  # statistics and dropout, which Delta freezes
    for decay, same in ((0.0, True), (0.5, False)):
        rule = partial(optim.SGD, lr=0.1, momentum=0.9, weight_decay=decay)
        tuned = transfer.fine_tune(lambda θ: F.cross_entropy(θ(x), y), model, rule, 5)
        delta = transfer.Delta(copy.deepcopy(model), {"*": transfer.full})
        transfer.unfreeze(delta.update)
        names = [name for name, _ in model.named_parameters() if not name.startswith("1.")]
        own = dict(delta.update.named_parameters())
        learnt = rule([own[name] for name in names])
        for _ in range(5):
            learnt.zero_grad()
            F.cross_entropy(delta(x), y).backward()
            learnt.step()
        at = dict(delta.merge().named_parameters())
        gap = max(np.abs(at[name].numpy() - p.numpy()).max() for name, p in tuned.named_parameters())
        assert (gap < 1e-12) == same


@every_shape
def test_gradients_of_updates(shape: str) -> None:
    """By differences; and delta_loss of the whole θ′ is the same function."""
    delta = transfer.Delta(net().double(), SHAPES[shape]()).eval()
    rng = np.random.default_rng(0)
    for p in delta.update.parameters():
        p.data = mm.tensor(0.3 * rng.standard_normal(p.shape))
    x, y = batch()
    x = x.double()
    names = [name for name, _ in delta.named_parameters() if name.startswith("update.")]
    values = [delta.state_dict()[name] for name in names]
    testing.gradcheck(lambda x, *θʹ: nn.utils.functional_call(delta, dict(zip(names, θʹ, strict=True)), x), x, *values)
    if shape == "full":
        θ, θʹ = (dict(m.named_parameters()) for m in (delta.model, delta.update))
        L = transfer.delta_loss(F.cross_entropy, lambda x, θ: nn.utils.functional_call(delta.model, θ, x), θ, θʹ, (x, y))
        assert L.item() == F.cross_entropy(delta(x), y).item()


@every_shape
def test_the_update_is_saved_by_itself(shape: str, tmp_path: Path) -> None:
    delta, (x, _) = transfer.Delta(net(), SHAPES[shape]()), batch()
    trained(delta)
    mm.save(delta.update.state_dict(), tmp_path / "update.npz")
    other = transfer.Delta(net(), SHAPES[shape]())
    other.update.load_state_dict(mm.load(tmp_path / "update.npz"))
    np.testing.assert_array_equal(other.eval()(x).numpy(), delta.eval()(x).numpy())
    for twin in (copy.deepcopy(delta), pickle.loads(pickle.dumps(delta))):
        np.testing.assert_array_equal(twin(x).numpy(), delta(x).numpy())
        assert set(twin.parameters()).isdisjoint(delta.parameters())


def test_a_new_head_is_trained_itself_and_saved_with_the_update() -> None:
    model = net()
    delta = transfer.Delta(model, {"6": transfer.lora(r=2), "7": transfer.itself})
    before = bytes_of(model)
    trained(delta)
    moved = {name for name, b in bytes_of(model).items() if b != before[name]}
    assert moved == {"7.weight", "7.bias"} and not delta.model.frozen
    assert set(delta.update.state_dict()) == {"6.0.A", "6.0.B", "6.2.A", "6.2.B", "7.weight", "7.bias"}
    table = transfer.frozen(delta)
    n = 2 * (16 + 6) + 2 * (6 + 5) + 18
    assert table["update"]["trainable"] == table["all"]["trainable"] == str(n)
    delta.merge()
    assert {name for name, b in bytes_of(model).items() if b != before[name]} == {*moved, "6.0.weight", "6.2.weight"}


def test_in_a_multi_task_model() -> None:
    mm.manual_seed(0)
    x, y = batch()
    trunk = transfer.Delta(net(), {"6": transfer.lora(r=2)})
    model = mtl.HardSharing(trunk, {"a": nn.Linear(3, 3), "b": nn.Linear(3, 1)})
    before, head = bytes_of(trunk.model), bytes_of(model.heads)
    rule = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    tasks = [mtl.Task("a", nn.CrossEntropyLoss()), mtl.Task("b", nn.MSELoss())]
    history = mtl.Trainer(model, tasks, rule, aggregation=mtl.aggregation.PCGrad()).fit(
        [(x, {"a": y, "b": mm.ones(6, 1)})] * 3, epochs=8, verbose=False
    )
    assert bytes_of(trunk.model) == before and bytes_of(model.heads) != head
    assert history["loss"][-1] < history["loss"][0]


def test_a_tied_parameter_has_one_update() -> None:
    tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    delta = transfer.Delta(tied, {"*": transfer.full})
    assert [name for name, _ in delta.update.named_parameters()] == ["0.weight"]
    getattr(delta.update, "0").weight.data = mm.ones(2, 2)
    w, x = tied[0].weight.numpy() + 1, np.ones((1, 2), "float32")
    np.testing.assert_allclose(delta(mm.tensor(x)).numpy(), x @ w.T @ w.T, rtol=1e-6)
    low = transfer.Delta(tied, {"0": transfer.lora(r=1)})
    with pytest.raises(ValueError, match=r"'0.weight' is also \['1.weight'\]"):
        low.merge()


def test_a_transformer() -> None:
    """Layers inside attention are reached; what has several inputs and no input by position besides keeps them; any dtype."""
    mm.manual_seed(0)
    trunk = mtl.SharedEncoder(7, d_model=8, nhead=2, num_layers=1, padding=0).double()
    x = mm.tensor([[1, 2, 0], [3, 4, 5]])
    wanted = trunk.eval()(x).numpy()
    shapes = {"*": transfer.lora(r=1), "encoder.layers.0": transfer.adapter(8, 2), "*.in_proj_weight": transfer.full}
    delta = transfer.Delta(trunk, shapes)
    layer = "encoder.layers.0."
    assert {name.removeprefix(layer) for name in delta.around} == {"linear1", "linear2", "self_attn.out_proj", layer[:-1]}
    assert (delta.eval()(x).numpy() == wanted).all()
    assert all(p.dtype == np.float64 for p in delta.parameters())
    delta(x).sum().backward()
    reached = {name for name, p in delta.update.named_parameters() if p.grad is not None and p.grad.numpy().any()}
    assert {f"{layer}{part}.B" for part in ("linear1", "linear2", "self_attn.out_proj")} | {f"{layer}up.bias"} <= reached


def test_an_update_of_ones_own() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.s = nn.Parameter(mm.zeros(1))

        def forward(self, part: nn.Module, x: mm.Tensor, y: mm.Tensor) -> mm.Tensor:
            return y * (1 + self.s)

    model, (x, _) = net().eval(), batch()
    wanted = model(x).numpy()
    delta = transfer.Delta(model, {"7": lambda part: Scaled()})
    getattr(delta.update, "7").s.data = mm.ones(1)
    np.testing.assert_allclose(delta.eval()(x).numpy(), 2 * wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("updates", "kind", "said"),
    [
        ({}, TypeError, "needs a module and {name: function that makes θ′}"),
        ({"9": transfer.full}, ValueError, "no part or parameter '9'"),
        ({"1": transfer.lora()}, ValueError, "among '1' there is nothing that its update fits"),
        ({"6": transfer.lora(), "6.0": transfer.lora()}, ValueError, "'6.0' makes another update of '6.0'"),
        ({"6": transfer.itself, "6.0": transfer.lora()}, ValueError, r"\['6.0'\] are parts of what is trained itself"),
        ({"7": lambda part: 3}, TypeError, "an update is a Module or a Parameter, got int for '7'"),
        ({"7.bias": lambda p: nn.Parameter(mm.zeros(4))}, ValueError, r"shape \(4,\) does not fit '7.bias', \(3,\)"),
    ],
)
def test_refusals_leave_the_model(updates: Any, kind: type[Exception], said: str) -> None:
    model = net()
    before = bytes_of(model)
    with pytest.raises(kind, match=said):
        transfer.Delta(model, updates)
    assert bytes_of(model) == before and all(p.requires_grad for p in model.parameters())
    assert not any(part.frozen for part in model.modules())


def test_more_refusals() -> None:
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match="r must be an integer"):
            transfer.lora(r=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"dropout in \[0, 1\)"):
        transfer.lora(dropout=1.0)
    with pytest.raises(ValueError, match="features and width"):
        transfer.adapter(0)
    delta, (x, _) = transfer.Delta(net(), {"0": transfer.adapter(5, dim=1)}), batch()
    with pytest.raises(ValueError, match=r"adapter: needs 5 features on axis 1 of what Conv2d gives, got \(6, 4, 3, 3\)"):
        delta(x)
    before = bytes_of(delta.model)
    with pytest.raises(ValueError, match=r"updates of \['0'\] are layers of their own"):
        delta.merge()
    with pytest.raises(RuntimeError, match="not merged"):
        delta.unmerge()
    low = transfer.Delta(net(), {"7": transfer.lora()})
    getattr(low.update, "7").B.data = mm.tensor(np.full((3, 8), np.inf, "float32"))
    with pytest.raises(FloatingPointError, match=r"θ \+ θ′ of \['7.weight'\] is not finite"):
        low.merge()
    assert bytes_of(delta.model) == before
    low.update.load_state_dict({"7.A": mm.zeros(8, 5), "7.B": mm.zeros(3, 8)})
    low.merge()
    with pytest.raises(RuntimeError, match="merged already"):
        low.merge()


def test_no_cycle_keeps_a_model_alive() -> None:
    gc.disable()
    try:
        import weakref

        delta, (x, y) = transfer.Delta(net(), SHAPES["mixed"]()), batch()
        F.cross_entropy(delta(x), y).backward()
        alive = weakref.ref(delta.model)
        del delta
        assert alive() is None
    finally:
        gc.enable()


def test_the_same_seed_gives_the_same_update() -> None:
    made = []
    for _ in range(2):
        shape = {"*": transfer.lora(r=2, dropout=0.5, generator=mm.Generator().manual_seed(3))}
        delta = transfer.Delta(net(), shape)
        trained(delta)
        made.append(bytes_of(delta.update))
    assert made[0] == made[1]


def test_planted_errors_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An update that forgets its scale where it is merged; one that is subtracted again where it is taken apart."""
    real = transfer.updates.low_rank
    check = test_merged_gives_the_same_and_taken_apart_has_the_bytes_it_had.hypothesis.inner_test
    monkeypatch.setattr(transfer.updates, "low_rank", lambda A, B, α, p: real(A, B, 1.0, p))
    with pytest.raises(AssertionError):
        check("lora", 0)
    monkeypatch.undo()

    def subtracted(self: transfer.Delta) -> None:
        for name, d in self.differences().items():
            p = dict(self.model.named_parameters())[name]
            p.data = p.detach() - d.detach()
        self.kept = None

    monkeypatch.setattr(transfer.Delta, "unmerge", subtracted)
    with pytest.raises(AssertionError):
        check("full", 0)


@pytest.mark.oracle
@pytest.mark.parametrize("groups", [0, 1, 2])
def test_lora_is_pytorchs(groups: int) -> None:
    """Forward and backward of W x + (α/r) B A x in PyTorch; of images with a convolution of r channels, and a 1 × 1 one."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(groups)
    layer = nn.Linear(4, 6) if groups == 0 else nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=groups)
    delta = transfer.Delta(nn.Sequential(layer).double(), {"0": transfer.lora(r=2, alpha=5.0)})
    update = getattr(delta.update, "0")
    for p in update.parameters():
        p.data = mm.tensor(rng.standard_normal(p.shape))
    x = mm.tensor(rng.standard_normal((3, 4) if groups == 0 else (3, 4, 7, 7))).requires_grad_()
    X, W, b, A, B = (
        torch.tensor(t.numpy().copy(), requires_grad=True) for t in (x, layer.weight, layer.bias, update.A, update.B)
    )
    if groups == 0:
        Y = X @ W.T + b + 5.0 / 2 * (X @ A.T) @ B.T
    else:
        conv = torch.nn.functional.conv2d
        geometry = {"stride": 2, "padding": 1, "dilation": 2}
        parts = [conv(x, A, **geometry) for x in X.chunk(groups, 1)]
        low = torch.cat([conv(z, w[:, :, None, None]) for z, w in zip(parts, B.chunk(groups, 0))], 1)
        Y = conv(X, W, b, groups=groups, **geometry) + 5.0 / 2 * low
    y, G = delta(x), rng.standard_normal(Y.shape)
    np.testing.assert_allclose(y.numpy(), Y.detach().numpy(), rtol=1e-10, atol=1e-12)
    y.backward(mm.tensor(G))
    Y.backward(torch.tensor(G))
    for ours, theirs in ((x, X), (update.A, A), (update.B, B)):
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-12)
    assert layer.weight.grad is None
