"""Keeping the source: penalties against definitions, PyTorch and differences; one task after the other, forgetting measured."""

import copy
import gc
import pickle
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import mtl, nn, optim, testing, transfer
from minimtl.training import History
from minimtl.transfer.behaviour import smallest

BIG = st.integers(0, 2**32 - 1)


def net() -> nn.Sequential:
    mm.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4))


def moved(model: Any, seed: int = 1, by: float = 0.3) -> Any:
    rng = np.random.default_rng(seed)
    with mm.no_grad():
        for p in model.parameters():
            p.add_(mm.tensor((by * rng.standard_normal(p.shape)).astype(p.dtype)))
    return model


def slopes(R: mm.Tensor, model: nn.Module) -> list[Any]:
    found = mm.grad(R, list(model.parameters()), allow_unused=True)
    return [np.zeros(p.shape) if g is None else g.numpy() for p, g in zip(model.parameters(), found, strict=True)]


# L2-SP and EWC


@given(BIG)
def test_l2_sp_is_nothing_at_the_start_and_is_its_sum_elsewhere(seed: int) -> None:
    model = net().double()
    start = [p.numpy().copy() for p in model.parameters()]
    whole, headless = transfer.l2_sp(model, 0.7), transfer.l2_sp(model, 0.7, beta=0.2, new="3")
    assert whole(model).item() == 0 and all((g == 0).all() for g in slopes(whole(model), model))
    moved(model, seed)
    now = [p.numpy() for p in model.parameters()]
    away = [((p - s) ** 2).sum() for p, s in zip(now, start, strict=True)]
    assert whole(model).item() == pytest.approx(0.35 * sum(away))
    assert headless(model).item() == pytest.approx(0.35 * sum(away[:2]) + 0.1 * sum((p**2).sum() for p in now[2:]))
    wanted = [0.7 * (now[i] - start[i]) for i in (0, 1)] + [0.2 * now[i] for i in (2, 3)]
    for g, w in zip(slopes(headless(model), model), wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-15)


@given(BIG, st.floats(0, 10))
def test_ewc_with_a_fisher_of_1_is_l2_sp(seed: int, λ: float) -> None:
    model = net().double()
    ones = {name: mm.ones_like(p) for name, p in model.named_parameters()}
    pair = transfer.ewc(model, ones, λ), transfer.l2_sp(model, λ)
    moved(model, seed)
    assert pair[0](model).item() == pytest.approx(pair[1](model).item(), rel=1e-12)
    for a, b in zip(slopes(pair[0](model), model), slopes(pair[1](model), model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_under_sgd_l2_sp_is_a_decay_towards_the_start() -> None:
    """And what is frozen stays."""
    model, (x, y) = net(), (mm.randn(5, 1, 3, 3), mm.randn(5, 4))
    transfer.freeze(model, "0")
    start = {name: p.numpy().copy() for name, p in model.named_parameters()}
    penalty = transfer.l2_sp(model, 0.5)
    moved(model[3])
    before = {name: p.numpy().copy() for name, p in model.named_parameters()}
    plain = copy.deepcopy(model)
    for one, penalties in ((plain, []), (model, [penalty])):
        rule = optim.SGD(one.parameters(), lr=0.1)
        mtl.Trainer(one, [mtl.Task("a", nn.MSELoss())], rule, penalties=penalties).fit([(x, y)], verbose=False)
    for name, p in model.named_parameters():
        pull = 0.1 * 0.5 * (before[name] - start[name]) if name.startswith("3") else 0
        np.testing.assert_allclose(p.numpy(), dict(plain.named_parameters())[name].numpy() - pull, rtol=1e-5, atol=1e-6)
    assert (model[0].weight.numpy() == start["0.weight"]).all()


@pytest.mark.parametrize("labels", ["model", "data"])
def test_fisher_is_of_single_samples(labels: str) -> None:
    """A naive loop; the square of the batch's mean gradient, which is often taken for it, is another thing."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).double().train()
    rng = np.random.default_rng(0)
    x, y = mm.tensor(rng.standard_normal((7, 3))), mm.tensor(rng.integers(0, 3, 7))
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    found = transfer.fisher(model, [(x[:4], y[:4]), (x[4:], y[4:])], labels=labels)
    assert model.training and all((t.numpy() == before[name]).all() for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    model.eval()
    wanted = [np.zeros(p.shape) for p in model.parameters()]
    for n in range(7):
        p = model(x[n : n + 1]).softmax(1).numpy()[0]
        for c in range(3):
            share = p[c] if labels == "model" else float(c == y[n].item())
            g = slopes(-model(x[n : n + 1]).log_softmax(1)[0, c], model)
            wanted = [w + share * gᵢ**2 / 7 for w, gᵢ in zip(wanted, g, strict=True)]
    for name, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(found[name].numpy(), w, rtol=1e-9, atol=1e-15)
    batch = slopes(F.cross_entropy(model(x), y), model)
    assert not np.allclose(batch[0] ** 2, wanted[0], rtol=0.1)


def test_the_true_fisher_is_the_curvature_of_a_linear_model() -> None:
    """Of logits that are linear in θ the Hessian of the loss is the Fisher information, whatever the labels; by differences."""
    model, rng = nn.Linear(3, 4).double(), np.random.default_rng(0)
    x, y = mm.tensor(rng.standard_normal((6, 3))), mm.tensor(rng.integers(0, 4, 6))
    found = transfer.fisher(model, [(x, y)])
    for name, p in model.named_parameters():
        for i in np.ndindex(p.shape):
            ends = []
            for h in (1e-5, -1e-5):
                a = p.numpy().copy()
                a[i] += h
                at = {**dict(model.named_parameters()), name: mm.tensor(a, requires_grad=True)}
                (g,) = mm.grad(F.cross_entropy(nn.utils.functional_call(model, at, x), y), at[name])
                ends.append(g.numpy()[i])
            assert found[name].numpy()[i] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


def test_fisher_of_a_task() -> None:
    model = mtl.HardSharing(nn.Linear(3, 4), {"a": nn.Linear(4, 2), "b": nn.Linear(4, 1)})
    x, y = mm.randn(5, 3), {"a": mm.tensor([0, 1, 1, 0, 1]), "b": mm.randn(5, 1)}
    one = transfer.fisher(model, [(x, y)], task="a")
    assert not one["heads.b.weight"].numpy().any() and one["shared.weight"].numpy().any()
    other = transfer.fisher(model, [({"a": x}, {"a": y["a"]})], task="a")
    assert all((one[name].numpy() == other[name].numpy()).all() for name in one)
    regression = transfer.fisher(model, [(x, y)], task="b", loss=lambda ŷ, y: 0.5 * ((ŷ - y) ** 2).sum(), labels="data")
    assert regression["heads.b.bias"].numpy().item() == pytest.approx(
        ((model(x)["b"].numpy() - y["b"].numpy()) ** 2).mean(), rel=1e-5
    )
    transfer.freeze(model, "shared")
    assert set(transfer.fisher(model, [(x, y)], task="a")) == {f"heads.{k}.{w}" for k in "ab" for w in ("weight", "bias")}


# Penalties on features


def watched() -> tuple[transfer.Watched, mm.Tensor]:
    rng = np.random.default_rng(0)
    return transfer.Watched(net().double(), "0", "3"), mm.tensor(rng.standard_normal((5, 1, 3, 3)))


def of_parameters(penalty: Any, model: Any, x: mm.Tensor) -> None:
    """The penalty's derivative by the parameters. (What the source gives for x is a constant: by x there is another.)"""
    names = [name for name, _ in model.named_parameters()]

    def f(*θ: mm.Tensor) -> mm.Tensor:
        nn.utils.functional_call(model, dict(zip(names, θ, strict=True)), x)
        return penalty(model)

    testing.gradcheck(f, *[p.detach() for p in model.parameters()])


def test_feature_maps_are_deltas_sum_and_have_its_derivative() -> None:
    model, x = watched()
    w = mm.tensor([0.2, 3.0, 0.0])
    then = copy.deepcopy(model.model)
    both, one = transfer.feature_maps(model, 0.5), transfer.feature_maps(model, 0.5, "0", attention={"0": w})
    model(x)
    assert both(model).item() == 0 and all((g == 0).all() for g in slopes(one(model), model))
    moved(model)
    model(x)
    d0, d3 = ((model.model[:n](x).numpy() - then[:n](x).numpy()) ** 2 for n in (1, 4))
    assert both(model).item() == pytest.approx(0.5 * 0.5 * (d0.sum() + d3.sum()) / 5)
    assert one(model).item() == pytest.approx(0.25 * sum(w.numpy()[j] * d0[:, j].sum() for j in range(3)) / 5)
    of_parameters(one, model, x)


def test_lwf_is_the_old_models_soft_targets_and_has_their_derivative() -> None:
    model, x = watched()
    then = copy.deepcopy(model.model)
    penalty = transfer.lwf(model, 2.0, "3", temperature=3.0)
    model(x)
    assert penalty(model).item() == pytest.approx(0, abs=1e-12)
    moved(model)
    model(x)
    p, q = (np.exp(m(x).numpy() / 3) / np.exp(m(x).numpy() / 3).sum(1, keepdims=True) for m in (model.model, then))
    assert penalty(model).item() == pytest.approx(2 * 9 / 5 * (q * np.log(q / p)).sum())
    of_parameters(penalty, model, x)


@given(BIG, st.sampled_from([(4, 3), (3, 5), (4, 4), (1, 3)]), st.integers(1, 3))
def test_bss_is_of_the_smallest_singular_values(seed: int, shape: tuple[int, int], k: int) -> None:
    A, k = np.random.default_rng(seed).standard_normal(shape), min(k, *shape)
    σ = np.linalg.svd(A, compute_uv=False)
    assert smallest(mm.tensor(A), k).item() == pytest.approx((σ[-k:] ** 2).sum())
    r = min(shape)
    if k == r or σ[r - k - 1] - σ[r - k] > 1e-3:  # a tie has no derivative
        testing.gradcheck(smallest, mm.tensor(A), k)


def test_bss_where_a_singular_value_is_0_and_where_two_are_equal() -> None:
    """σ² has a derivative at 0, where σ has none. At a tie with the next there is none: the gradient is of one of the choices."""
    A = np.random.default_rng(0).standard_normal((4, 3))
    A[:, 2] = A[:, 0] - A[:, 1]
    testing.gradcheck(smallest, mm.tensor(A), 1)
    x = mm.tensor(np.eye(3), requires_grad=True)
    smallest(x, 1).backward()
    g = x.grad.numpy()
    assert np.linalg.matrix_rank(g) == 1 and np.trace(g) == pytest.approx(2)


def test_bss_of_a_part() -> None:
    model, x = watched()
    penalty = transfer.bss(0.5, "0", k=2)
    model(x)
    z = model.model[0](x).numpy().reshape(5, -1)
    assert penalty(model).item() == pytest.approx(0.5 * (np.linalg.svd(z, compute_uv=False)[-2:] ** 2).sum())
    of_parameters(penalty, model, x)


def test_attention_says_which_channel_matters() -> None:
    model, x = net().eval(), mm.randn(6, 1, 3, 3)
    w = np.zeros((4, 12), "float32")
    w[:, 4:8] = np.random.default_rng(0).standard_normal((4, 4))  # of channel 1 alone
    model[3].weight.data = mm.tensor(w)
    y = model(x).detach()
    α = transfer.channel_attention(model, "0", F.mse_loss, [(x, y)])
    assert α.numpy().argmax() == 1 and α.numpy().sum() == pytest.approx(1) and α.numpy()[0] == α.numpy()[2]
    lost = F.mse_loss(model[3].bias.reshape(1, 4) + 0 * y, y).item()  # tanh(0) = 0: nothing of x is left
    assert α.numpy()[1] == pytest.approx(np.exp(lost) / (2 + np.exp(lost)), rel=1e-5)


@pytest.mark.parametrize("aggregation", [None, mtl.aggregation.PCGrad()])
def test_in_training_penalties_share_the_graph_of_the_losses(aggregation: Any) -> None:
    """The step is that of the sum, by hand; and where the weight is 0 that without, to the last bit."""
    mm.manual_seed(0)
    x, y = mm.randn(6, 1, 3, 3), {"a": mm.randn(6, 2), "b": mm.randn(6, 1)}
    start = mtl.HardSharing(net(), {"a": nn.Linear(4, 2), "b": nn.Linear(4, 1)})
    ends = {}
    for how in ("plain", "zero", "all"):
        model = transfer.Watched(copy.deepcopy(start), "shared.0", "shared")
        λ = 1.0 if how == "all" else 0.0
        penalties = [transfer.feature_maps(model, λ), transfer.bss(λ, "shared.0")]
        moved(model)
        rule = optim.SGD(model.parameters(), lr=0.1)
        before = [p.numpy().copy() for p in model.parameters()]
        tasks = [mtl.Task(k, nn.MSELoss()) for k in "ab"]
        given = [] if how == "plain" else penalties
        mtl.Trainer(model, tasks, rule, aggregation=aggregation, penalties=given).fit([(x, y)], verbose=False)
        ends[how] = [p.numpy() for p in model.parameters()]
        if how == "all":
            at = transfer.Watched(copy.deepcopy(start), "shared.0", "shared")
            moved(at)
            at.train()(x)
            pull = slopes(penalties[0](at) + penalties[1](at), at)
    for a, b, c, g, p in zip(ends["plain"], ends["zero"], ends["all"], pull, before, strict=True):
        assert (a == b).all()
        np.testing.assert_allclose(c, a - 0.1 * g, rtol=1e-4, atol=1e-5)
        assert not np.array_equal(a, p)


def test_a_watched_model_is_the_model_and_leaves_nothing_behind() -> None:
    model = transfer.Watched(mtl.HardSharing(net(), {"a": nn.Linear(4, 2)}), "shared.0")
    x = mm.randn(2, 1, 3, 3)
    assert list(model.shared_parameters()) == list(model.model.shared_parameters())
    assert list(model.task_parameters("a")) == list(model.model.heads["a"].parameters())
    assert not hasattr(transfer.Watched(net(), "0"), "shared_parameters")
    model(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.seen is None and (twin(x)["a"].numpy() == model(x)["a"].numpy()).all()
    assert not any("forward" in vars(part) for part in model.modules())
    model.eval()(x)
    assert model.seen is None
    gc.disable()
    try:
        model.train()(x)["a"].sum().backward()
        alive = weakref.ref(model.seen.outputs["shared.0"][0])
        model(x)
        assert alive() is None
        alive = weakref.ref(model)
        del model
        assert alive() is None
    finally:
        gc.enable()


# One task after the other


def sequence(how: str, λ: float, seed: int = 0) -> tuple[float, float, Any]:
    """Learn "old", then "new", another function of the same x: how much of the first is forgotten, how good the second is."""
    mm.manual_seed(seed)
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((256, 8)).astype("float32")
    x, y = mm.tensor(a), {k: mm.tensor((a[:, i] * a[:, i + 1] > 0).astype("int64")) for k, i in (("old", 0), ("new", 2))}
    trunk = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
    model = transfer.Watched(mtl.HardSharing(trunk, {k: nn.Linear(16, 2) for k in y}), "heads.old")
    tasks = [mtl.Task(k, nn.CrossEntropyLoss(), metrics=["accuracy"], missing=-100) for k in y]
    test, none = [(x[128:], {k: labels[128:] for k, labels in y.items()})], mm.full((64,), -100, dtype="int64")
    loaders = {k: [(x[i : i + 64], {**dict.fromkeys(y, none), k: y[k][i : i + 64]}) for i in (0, 64)] for k in y}
    history, penalties = History(), list[Any]()
    for k, loader in loaders.items():
        given: Any = loader
        if k == "new" and how in ("ewc", "lwf"):
            F = transfer.fisher(model, [(x[:128], {"old": y["old"][:128]})], task="old")
            penalties = [transfer.ewc(model, F, λ) if how == "ewc" else transfer.lwf(model, λ, "heads.old")]
        if k == "new" and how == "replay":
            buffer = transfer.Reservoir(int(λ), mm.Generator(seed))
            for xs, ys in loaders["old"]:
                buffer.add(xs, {"old": ys["old"]})
            given = transfer.Replay(loader, buffer, n=32)
        trainer = mtl.Trainer(model, tasks, optim.Adam(model.parameters(), lr=0.05), penalties=penalties)
        for row in trainer.fit(given, epochs=25, validation=test, verbose=False).rows:
            history.append(row)
    state = {name: t.numpy().tobytes() for name, t in model.state_dict().items()}
    return mtl.evaluation.forgetting(history, "validation old accuracy"), history["validation new accuracy"][-1], state


SEEDS = (0, 1)


@pytest.fixture(scope="module")
def plain() -> list[tuple[float, float, Any]]:
    return [sequence("plain", 0, seed) for seed in SEEDS]


@pytest.mark.parametrize(("how", "λ"), [("ewc", 5.0), ("lwf", 1.0), ("replay", 128)])
def test_the_old_task_is_forgotten_less(how: str, λ: float, plain: Any) -> None:
    """For every seed, by half of it on the mean; and the new task is learnt all the same."""
    found = [sequence(how, λ, seed) for seed in SEEDS]
    assert min(f for f, _, _ in plain) > 0.1
    assert all(kept < lost for (kept, _, _), (lost, _, _) in zip(found, plain, strict=True))
    assert np.mean([f for f, _, _ in found]) < np.mean([f for f, _, _ in plain]) / 2
    assert np.mean([new for _, new, _ in found]) > 0.58


@pytest.mark.parametrize("how", ["ewc", "lwf", "replay"])
def test_where_nothing_is_kept_it_is_plain_fine_tuning_to_the_last_bit(how: str, plain: Any) -> None:
    """The planted error of the test above: λ = 0, or an empty buffer."""
    assert sequence(how, 0) == plain[0]


# Replay


def test_a_reservoir_keeps_all_alike() -> None:
    """m/t each: how often each of 20 samples is in 600 reservoirs of 5 lies within 4.5 standard deviations of the mean."""
    counts, rng = Counter[int](), mm.Generator(0)
    for _ in range(600):
        buffer = transfer.Reservoir(5, rng)
        for start in (0, 8, 16):
            labels = mm.arange(start, min(start + 8, 20))
            buffer.add(labels.reshape(-1, 1).float(), labels)
        x, y = buffer.draw(5)
        assert len(buffer) == 5 and len(set(y.tolist())) == 5 and x.numpy()[:, 0].tolist() == y.tolist()
        counts.update(y.tolist())
    assert max(abs(counts[i] - 150) for i in range(20)) < 4.5 * (600 * 0.25 * 0.75) ** 0.5


@given(st.integers(0, 12), st.integers(1, 8), BIG)
def test_replay_puts_samples_of_the_buffer_behind_each_batch(m: int, n: int, seed: int) -> None:
    buffer = transfer.Reservoir(m, mm.Generator(seed))
    buffer.add(-mm.ones(7, 2), {"old": mm.arange(7)})
    buffer.add(-mm.ones(3, 2), {"older": mm.ones(3, 1)})
    loader = [(mm.ones(4, 2), {"new": mm.zeros(4)}), (mm.ones(1, 2), {"new": mm.zeros(1)})]
    replay = transfer.Replay(loader, buffer, n)
    assert len(replay) == 2 and len(buffer) == min(m, 10)
    for (x, y), (plain, labels) in zip(replay, loader, strict=True):
        if m == 0:
            assert x is plain and y is labels
            continue
        k = len(plain.array)
        assert x.shape == (k + min(n, len(buffer)), 2) and x.dtype == plain.dtype
        assert (x.numpy()[:k] == 1).all() and (x.numpy()[k:] == -1).all()
        assert (y["new"].numpy()[:k] == 0).all() and np.isnan(y["new"].numpy()[k:]).all()
        told = [np.zeros(len(x.array) - k, bool)] * 2
        if "old" in y:
            assert (y["old"].numpy()[:k] == -100).all() and y["old"].dtype == np.int64
            told[0] = y["old"].numpy()[k:] != -100
        if "older" in y:
            assert np.isnan(y["older"].numpy()[:k]).all()
            told[1] = y["older"].numpy()[k:, 0] == 1
        assert (told[0] ^ told[1]).all()  # each sample of the buffer has the label of its task


def test_the_same_seed_gives_the_same_bytes_and_samples_are_copies() -> None:
    x, y = mm.randn(30, 3), mm.arange(30)
    drawn = []
    for _ in range(2):
        buffer = transfer.Reservoir(6, mm.Generator(4))
        buffer.add(x, y)
        drawn.append([t.numpy().tobytes() for _ in range(3) for t in buffer.draw(4)])
    assert drawn[0] == drawn[1]
    kept = [s.numpy().copy() for s, _ in buffer.samples]
    x.mul_(0)
    assert all((s.numpy() == k).all() and s.array.base is None for (s, _), k in zip(buffer.samples, kept, strict=True))


# Refusals


def test_refusals() -> None:
    model, x = watched()
    other = nn.Sequential(nn.Linear(2, 2))
    F1 = {"0.weight": mm.ones(3, 1, 2, 2)}
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: transfer.l2_sp(model, -1), ValueError, "alpha and beta must be finite"),
        (lambda: transfer.l2_sp(net(), 1, new="fc"), ValueError, "no part or parameter 'fc'"),
        (lambda: transfer.l2_sp(net(), 1)(other), ValueError, r"l2_sp: the penalty is of another model.*'3.bias'"),
        (lambda: transfer.ewc(net(), {"x": mm.ones(1)}, 1), ValueError, r"ewc: fisher must be .* got also \['x'\]"),
        (lambda: transfer.ewc(net(), {"0.weight": -F1["0.weight"]}, 1), ValueError, "finite and not negative"),
        (lambda: transfer.ewc(net(), F1, -1), ValueError, "weight must be finite and not negative"),
        (lambda: transfer.ewc(net(), F1, 1)(other), ValueError, "ewc: the penalty is of another model"),
        (lambda: transfer.fisher(model, [], labels="true"), ValueError, "'model' or 'data', got 'true'"),
        (lambda: transfer.fisher(model, []), ValueError, "the loader gave no sample"),
        (lambda: transfer.fisher(transfer.freeze(net()), []), ValueError, "no parameter requires a gradient"),
        (
            lambda: transfer.fisher(net()[:1], [(x.float(), mm.arange(5))]),
            ValueError,
            r"needs logits \(N, C\), got \(1, 3, 2, 2\)",
        ),
        (lambda: transfer.Watched(net()), ValueError, "needs the name of a part"),
        (lambda: transfer.Watched(net(), "9"), ValueError, r"Watched: Sequential has no parts \['9'\]"),
        (lambda: transfer.bss(1.0)(net()), TypeError, r"needs a model in transfer.Watched\(model, …\), got Sequential"),
        (lambda: transfer.bss(1.0, "2")(model), ValueError, r"\['2'\] are not watched, but \['0', '3'\]"),
        (lambda: transfer.bss(1.0)(model), RuntimeError, "nothing was seen"),
        (lambda: transfer.bss(1.0, k=0), ValueError, "k must be an integer"),
        (lambda: smallest(mm.ones(2, 3), 3), ValueError, "N and D at least 3"),
        (lambda: transfer.lwf(model, 1.0, temperature=0), ValueError, "temperature must be greater than 0"),
        (lambda: transfer.lwf(model, 1.0, "9"), ValueError, "Sequential has no parts"),
        (lambda: transfer.feature_maps(model, 1.0, "0", attention={"3": mm.ones(4)}), ValueError, "attention must be"),
        (lambda: transfer.channel_attention(model.model, "0", F.mse_loss, []), ValueError, "at least one batch"),
        (lambda: transfer.Reservoir(-1), ValueError, "capacity must be"),
        (lambda: transfer.Reservoir(1).draw(1), ValueError, "no sample to draw"),
        (lambda: transfer.Reservoir(1).add(mm.ones(2, 1), mm.ones(3)), ValueError, "a label for each"),
        (lambda: transfer.Replay([], transfer.Reservoir(1), 0), ValueError, "n must be an integer"),
    ]
    for call, kind, said in cases:
        with pytest.raises(kind, match=said):
            call()
    model(x)
    for penalty, said in (
        (transfer.lwf(model, 1.0, "0"), r"lwf: needs logits \(N, C\), C > 1, which \['0'\] do not give"),
        (transfer.feature_maps(model, 1.0, "0", attention={"0": mm.ones(2)}), r"'0' must give \(N, C, …\).* attention \(2,\)"),
    ):
        with pytest.raises(ValueError, match=said):
            penalty(model)
    buffer = transfer.Reservoir(2)
    buffer.add(mm.ones(2, 1), mm.ones(2))
    with pytest.raises(TypeError, match=r"either one label everywhere or \{task: label\}"):
        list(transfer.Replay([(mm.ones(1, 1), {"a": mm.ones(1)})], buffer, 1))
    shared = transfer.Watched(mtl.HardSharing(nn.Linear(2, 2), {k: nn.Linear(2, 2) for k in "ab"}), "heads.a")
    penalty = transfer.lwf(shared, 1.0)
    shared({"b": mm.ones(1, 2)})
    with pytest.raises(RuntimeError, match=r"\['heads.a'\] took no part in this batch"):
        penalty(shared)


def test_planted_errors_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derivative of σ instead of σ²; a start that is no copy, and moves with the model."""
    real = smallest

    @mm.differentiable
    def wrong(A: Any, k: int) -> Any:
        U, σ, Vt = np.linalg.svd(A, full_matrices=False)
        return (σ[-k:] ** 2).sum(), lambda G: 2 * G * U[:, -k:] @ Vt[-k:]

    monkeypatch.setitem(globals(), "smallest", wrong)
    with pytest.raises(testing.GradientError):
        test_bss_is_of_the_smallest_singular_values.hypothesis.inner_test(0, (4, 3), 1)
    monkeypatch.setitem(globals(), "smallest", real)
    monkeypatch.setattr(mm.Tensor, "clone", lambda self: self)
    with pytest.raises(AssertionError):
        test_l2_sp_is_nothing_at_the_start_and_is_its_sum_elsewhere.hypothesis.inner_test(0)


@pytest.mark.oracle
def test_l2_sp_and_ewc_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    model, rng = net(), np.random.default_rng(0)
    F1 = {name: mm.tensor(rng.random(p.shape).astype("float32")) for name, p in model.named_parameters()}
    pair = transfer.l2_sp(model, 0.3, 0.7, new="3"), transfer.ewc(model, F1, 2.0)
    start = {name: torch.tensor(p.numpy().copy()) for name, p in model.named_parameters()}
    moved(model)
    θ = {name: torch.tensor(p.numpy().copy(), requires_grad=True) for name, p in model.named_parameters()}
    sp = sum((0.15 * (θ[n] - start[n]) ** 2).sum() if n[0] == "0" else (0.35 * θ[n] ** 2).sum() for n in θ)
    ewc = sum((torch.tensor(F1[n].numpy().copy()) * (θ[n] - start[n]) ** 2).sum() for n in θ)
    for ours, theirs in zip(pair, (sp, ewc), strict=True):
        assert ours(model).item() == pytest.approx(theirs.item(), rel=1e-5)
        wanted = torch.autograd.grad(theirs, list(θ.values()))
        for g, w in zip(slopes(ours(model), model), wanted, strict=True):
            np.testing.assert_allclose(g, w.numpy(), rtol=1e-5, atol=1e-6)
