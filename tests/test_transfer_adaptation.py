"""Domain adaptation: closed forms, naive definitions, and a planted shift that no adaptation survives and every method does."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim, testing
from minimtl.transfer import adaptation as A

seeds = st.integers(0, 2**32 - 1)


def samples(seed: int, N: int = 9, M: int = 7, D: int = 3) -> Any:
    """Features of two domains, correlated and of different means."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, D)) @ rng.standard_normal((D, D)) + rng.standard_normal(D) for n in (N, M)]


# Features


@given(seeds)
def test_what_is_standardised_has_mean_0_and_variance_1_whatever_its_scale(seed: int) -> None:
    x, y = samples(seed)
    z = A.standardise(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(z.std(axis=0), 1)
    np.testing.assert_allclose(A.standardise(3 * x + 1), z, atol=1e-7)
    np.testing.assert_allclose(A.standardise(x, of=y), (x - y.mean(axis=0)) / y.std(axis=0))


def test_what_is_constant_becomes_0_and_what_comes_in_says_what_goes_out() -> None:
    x = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    x[:, 1] = 0.1
    z = A.standardise(x)
    assert z.dtype == np.float32 and (z[:, 1] == 0).all()
    t = A.standardise(mm.tensor(x))
    assert isinstance(t, mm.Tensor) and t.dtype == np.float32 and (t.numpy() == z).all()
    assert isinstance(A.coral(mm.tensor(x), mm.tensor(x)), mm.Tensor)


def naive_distance(a: Any, b: Any) -> float:
    return max(abs(np.mean([v <= t for v in a]) - np.mean([v <= t for v in b])) for t in [*a, *b])


@given(seeds)
def test_distribution_functions_differ_by_their_definition_and_no_increasing_function_matters(seed: int) -> None:
    x, y = (v.round() for v in samples(seed))
    s = A.kolmogorov_smirnov(x, y)
    np.testing.assert_allclose(s, [naive_distance(x[:, d], y[:, d]) for d in range(3)])
    np.testing.assert_allclose(A.kolmogorov_smirnov(np.arctan(x), np.arctan(y)), s)
    np.testing.assert_allclose(A.kolmogorov_smirnov(y, x), s)


def test_features_that_differ_are_left_out() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 200, 5))
    y[:, [1, 3]] = y[:, [1, 3]] * 3 + 2
    assert A.select(x, y, 3).tolist() == [0, 2, 4]
    assert A.kolmogorov_smirnov(x[:, :1], x[:, :1] + 100).tolist() == [1]


@given(seeds)
def test_recoloured_features_have_mean_and_covariance_of_the_target(seed: int) -> None:
    x, y = samples(seed)
    z = A.coral(x, y, ridge=0)
    np.testing.assert_allclose(np.cov(z.T), np.cov(y.T), atol=1e-7 * np.abs(y).max() ** 2)
    np.testing.assert_allclose(z.mean(axis=0), y.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(A.coral(x, x, ridge=0.5), x, atol=1e-9)


def test_a_source_without_some_direction_stays_without_it() -> None:
    x, y = samples(0)
    x[:, 2] = x[:, 0] - x[:, 1]
    z = A.coral(x, y, ridge=0)
    assert np.isfinite(z).all() and np.linalg.matrix_rank(z - z.mean(axis=0)) == 2
    assert np.isfinite(A.coral(np.ones((4, 2)), y[:, :2], ridge=0)).all()


# Distances


@given(seeds)
def test_deep_coral_is_the_distance_of_the_covariances(seed: int) -> None:
    x, y = samples(seed)
    want = ((np.cov(x.T) - np.cov(y.T)) ** 2).sum() / (4 * 9)
    assert A.deep_coral(mm.tensor(x), mm.tensor(y)).item() == pytest.approx(want)
    assert A.deep_coral(mm.tensor(x), mm.tensor(x + 5)).item() == pytest.approx(0, abs=1e-9)  # means do not count


def naive_mmd(x: Any, y: Any, scales: Any, unbiased: bool) -> float:
    u = [*x, *y]
    s = np.mean([((a - b) ** 2).sum() for a in u for b in u])

    def k(a: Any, b: Any) -> float:
        return sum(math.exp(-((a - b) ** 2).sum() / (2 * α * s)) for α in scales)

    def within(v: Any) -> float:
        return float(np.mean([k(a, b) for i, a in enumerate(v) for j, b in enumerate(v) if i != j or not unbiased]))

    return within(x) + within(y) - 2 * float(np.mean([k(a, b) for a in x for b in y]))


@given(seeds, st.booleans())
def test_mmd_is_its_definition_and_minds_no_turn_shift_or_scale(seed: int, unbiased: bool) -> None:
    x, y = samples(seed, 5, 4)
    found = A.mmd(mm.tensor(x), mm.tensor(y), (0.5, 2.0), unbiased).item()
    assert found == pytest.approx(naive_mmd(x, y, (0.5, 2.0), unbiased), abs=1e-9)
    assert unbiased or found >= 0
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    moved = (mm.tensor(4 * v @ turn + 1) for v in (x, y))
    assert A.mmd(*moved, (0.5, 2.0), unbiased).item() == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("unbiased", [False, True])
def test_mmd_of_equal_rows_is_0_with_a_gradient_of_0(unbiased: bool) -> None:
    x = mm.ones(4, 3).requires_grad_()
    value = A.mmd(x, mm.ones(5, 3), unbiased=unbiased)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-5) and (x.grad.numpy() == 0).all()


def test_unbiased_is_0_in_the_mean_where_the_domains_are_one_and_biased_is_not() -> None:
    """With a kernel that does not depend on the draw, but for a little."""
    found = {}
    for unbiased in (False, True):
        values = []
        for seed in range(60):
            x, y = np.random.default_rng(seed).standard_normal((2, 20, 2))
            values.append(A.mmd(mm.tensor(x), mm.tensor(y), unbiased=unbiased).item())
        found[unbiased] = np.mean(values) / (np.std(values) / math.sqrt(60))
    assert abs(found[True]) < 3 < 10 < found[False]


def test_the_gradients_are_those_of_the_values() -> None:
    """The bandwidth is a constant to the derivative of MMD: so with a scale so large that it does not matter."""
    x, y = (mm.tensor(v).requires_grad_() for v in samples(3, 4, 5))
    testing.gradcheck(A.deep_coral, x, y)
    s = np.mean([((a - b) ** 2).sum() for v in [np.concatenate(samples(3, 4, 5))] for a in v for b in v])

    def fixed(x: mm.Tensor, y: mm.Tensor) -> mm.Tensor:
        both = mm.cat([x, y])
        q = ((both.unsqueeze(0) - both.unsqueeze(1)) ** 2).sum(dim=2)
        K = (q * (-0.5 / s)).exp()
        return K[:4, :4].mean() + K[4:, 4:].mean() - 2 * K[:4, 4:].mean()

    ours, theirs = (mm.grad(f, [x, y]) for f in (A.mmd(x, y, [1.0]), fixed(x, y)))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12)


# A classifier of domains


@given(seeds, st.floats(0, 3))
def test_a_reversed_gradient_is_the_other_way_λ_times(seed: int, λ: float) -> None:
    rng = np.random.default_rng(seed)
    x, G = mm.tensor(rng.standard_normal(4)).requires_grad_(), rng.standard_normal(4)
    y = A.reverse(x, λ)
    assert (y.numpy() == x.numpy()).all()
    (g,) = mm.grad(y, [x], mm.tensor(G))
    np.testing.assert_array_equal(g.numpy(), -λ * G)


def test_a_reversed_gradient_is_that_of_no_function() -> None:
    with pytest.raises(testing.GradientError):
        testing.gradcheck(A.reverse, mm.tensor([1.0, 2.0], dtype="float64", requires_grad=True))


def dann(**options: Any) -> A.DANN:
    mm.manual_seed(0)
    return A.DANN(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), 10, **options).double()


def test_the_classifier_learns_and_what_lies_below_unlearns() -> None:
    x, y = (mm.tensor(v).requires_grad_() for v in samples(1))
    model = dann(low=0.5, high=0.5)
    u, v = (model.classifier(z)[:, 0].numpy() for z in (x, y))
    want = -np.log(1 / (1 + np.exp(-u))).mean() / 2 - np.log(1 - 1 / (1 + np.exp(-v))).mean() / 2
    value = model(x, y)
    assert value.item() == pytest.approx(want)
    parameters = list(model.parameters())
    own = mm.grad(value, [x, *parameters])
    plain = mm.grad(plain_loss(model, x, y), [x, *parameters])
    np.testing.assert_allclose(own[0].numpy(), -0.5 * plain[0].numpy())
    for a, b in zip(own[1:], plain[1:], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())


def plain_loss(model: A.DANN, x: mm.Tensor, y: mm.Tensor) -> mm.Tensor:
    """Half of either binary cross-entropy, without a reversal."""
    bce = nn.BCEWithLogitsLoss()
    u, v = model.classifier(x), model.classifier(y)
    return 0.5 * (bce(u, mm.ones(len(x), 1, dtype="float64")) + bce(v, mm.zeros(len(y), 1, dtype="float64")))


def test_λ_rises_with_the_steps_and_is_saved() -> None:
    model = dann()
    x, y = map(mm.tensor, samples(1))
    assert model.weight == 0
    λ = []
    for _ in range(10):
        model(x, y)
        λ.append(model.weight)
    assert λ == sorted(λ) and λ[4] == pytest.approx(2 / (1 + math.exp(-5)) - 1) and λ[-1] > 0.999
    with mm.no_grad():
        model(x, y)
    model.eval()(x, y)
    other = dann()
    other.load_state_dict(model.state_dict())
    assert other.weight == λ[-1]
    assert A.ramp(1000, 1000, alpha=1.0, low=0.5, high=2.5) == pytest.approx(2 * 2 / (1 + math.exp(-1)) - 2 + 0.5)


# Training


class Signs(nn.Module):
    """z (N, 1) → (−z, z): a head with nothing to be trained."""

    def forward(self, z: mm.Tensor) -> mm.Tensor:
        return mm.cat([-z, z], dim=1)


def shifted(seed: int = 0, n: int = 100) -> Any:
    """The first feature tells the class in both domains; the second, which tells it better in the source, in the target is noise."""
    rng = np.random.default_rng(seed)
    ys, yt = rng.integers(0, 2, (2, n))
    xs = np.stack([2 * ys - 1 + 0.4 * rng.standard_normal(n), 2 * ys - 1 + 0.2 * rng.standard_normal(n)], axis=1)
    xt = np.stack([2 * yt - 1 + 0.4 * rng.standard_normal(n), 4 + 8 * rng.standard_normal(n)], axis=1)
    return {
        "source": (mm.tensor(xs.astype(np.float32)), mm.tensor(ys)),
        "target": (mm.tensor(xt.astype(np.float32)), mm.tensor(yt)),
    }


def of_means(x: mm.Tensor, y: mm.Tensor) -> mm.Tensor:
    """A reader's own distance."""
    return ((x.mean(dim=0) - y.mean(dim=0)) ** 2).sum()


def reading_domains() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1))


def trained(distance: Any, weight: float, labels: int = 0, **options: Any) -> tuple[Any, dict[str, float]]:
    """A model of one linear feature, and its accuracies; the target's labels in training are all one number."""
    mm.manual_seed(0)
    parts = shifted()
    model = A.Alignment(nn.Linear(2, 1), Signs(), distance() if distance is dann_of_one else distance)
    model.trunk.weight.data, model.trunk.bias.data = mm.tensor([[1.0, 1.0]]), mm.zeros(1)
    tasks = A.tasks(nn.CrossEntropyLoss(), weight, ["accuracy"])
    trainer = mtl.Trainer(model, tasks, optim.Adam(model.parameters(), lr=0.05), **options)
    x, y = parts["target"]
    history = trainer.fit({"source": [parts["source"]] * 100, "target": [(x, 0 * y + labels)] * 100}, verbose=False)
    assert "target accuracy" not in history.rows[-1] and "target loss" in history.rows[-1]
    found = trainer.evaluate({k: [part] for k, part in parts.items()})
    return model, {k: found[f"{k} accuracy"] for k in parts}


def dann_of_one() -> A.DANN:
    mm.manual_seed(0)
    return A.DANN(reading_domains(), steps=100, high=3.0)


METHODS: dict[str, tuple[Any, float]] = {
    "deep CORAL": (A.deep_coral, 20.0),
    "MMD": (partial(A.mmd, scales=(0.25, 1.0)), 3.0),
    "unbiased MMD": (partial(A.mmd, scales=(0.25, 1.0), unbiased=True), 3.0),
    "DANN": (dann_of_one, 1.0),
    "own": (of_means, 3.0),
}


@pytest.mark.parametrize("name", METHODS)
def test_adaptation_finds_the_feature_that_both_domains_have(name: str) -> None:
    distance, weight = METHODS[name]
    model, right = trained(distance, weight)
    assert right["source"] > 0.93 and right["target"] > 0.9
    small, large = sorted(np.abs(model.trunk.weight.numpy().ravel()))
    assert small < 0.2 * large


def test_without_the_distance_it_does_not() -> None:
    """λ = 0, the planted error of the test above."""
    _, right = trained(A.mmd, 0.0)
    assert right["source"] == 1 and right["target"] < 0.75


def test_labels_of_the_target_move_nothing() -> None:
    one, other = (trained(of_means, 1.0, labels)[0] for labels in (0, 1))
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_an_aggregation_mixes_the_two_gradients_of_the_trunk() -> None:
    _, right = trained(dann_of_one, 1.0, aggregation=mtl.aggregation.Sum())
    assert right["target"] > 0.9


def test_what_the_model_gives_when() -> None:
    mm.manual_seed(0)
    model = A.Alignment(nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)), nn.Linear(4, 3), A.deep_coral)
    x = {"source": mm.randn(5, 2), "target": mm.randn(6, 2)}
    outputs = model(x)
    assert outputs["source"].shape == (5, 3) and isinstance(outputs["target"], A.model.Aligned)
    assert model.trunk[1].num_batches_tracked.item() == 1  # both domains as one batch
    assert set(model({"source": x["source"]})) == {"source"}
    assert model(x["source"]).shape == (5, 3)
    with pytest.raises(ValueError, match="needs a batch of the source"):
        model({"target": x["target"]})
    model.eval()
    assert model({"target": x["target"]})["target"].shape == (6, 3)
    z = model.features({"source": x["source"], "target": mm.randn(4, 2)})
    np.testing.assert_allclose(z["source"].numpy(), model.trunk(x["source"]).numpy(), rtol=1e-5)
    assert [set(model.task_parameters(k)) for k in ("source", "target")] == [set(model.head.parameters()), set()]


# Statistics


def normalised(seed: int = 0) -> nn.Sequential:
    """Two batch normalisations, and dropout."""
    mm.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(27, 4), nn.BatchNorm1d(4)
    ).double()
    model(mm.randn(20, 1, 4, 4).double())
    return model


def naive_statistics(model: nn.Sequential, x: mm.Tensor) -> list[Any]:
    """Layer by layer, of all data at once."""
    found = []
    for part in model:
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            a = np.moveaxis(x.numpy(), 1, 0).reshape(x.shape[1], -1)
            μ, σ2 = a.mean(axis=1), a.var(axis=1, ddof=1)
            found += [μ, σ2]
            shape = (1, -1) + (1,) * (x.ndim - 2)
            scale, bias = part.weight.numpy().reshape(shape), part.bias.numpy().reshape(shape)
            x = mm.tensor((x.numpy() - μ.reshape(shape)) / np.sqrt(σ2.reshape(shape) + part.eps) * scale + bias)
        elif not isinstance(part, nn.Dropout):
            x = part(x)
    return found


@given(seeds, st.integers(2, 15))
def test_adabn_is_its_definition_however_the_data_is_cut(seed: int, size: int) -> None:
    model = normalised()
    x = mm.tensor(np.random.default_rng(seed).standard_normal((15, 1, 4, 4)) * 3 + 1)
    want = naive_statistics(model, x)
    batches = [(part, None) for part in x.split(size)]
    adapted = A.adabn(model, batches)
    found = [v.numpy() for i in (1, 6) for v in (adapted[i].running_mean, adapted[i].running_var)]
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_adabn_changes_statistics_of_a_copy_and_nothing_else() -> None:
    model = normalised()
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    adapted = A.adabn(model, [mm.randn(9, 1, 4, 4).double()])
    assert all((v.numpy() == before[k]).all() for k, v in model.state_dict().items())
    changed = {k for k, v in adapted.state_dict().items() if not (v.numpy() == before[k]).all()}
    assert changed == {f"{i}.running_{s}" for i in (1, 6) for s in ("mean", "var")}
    assert adapted.training and all("forward" not in vars(m) for m in adapted.modules())


def test_what_is_frozen_keeps_its_statistics() -> None:
    model = mm.transfer.freeze(normalised(), "1")
    adapted = A.adabn(model, [mm.randn(9, 1, 4, 4).double()])
    assert (adapted[1].running_mean.numpy() == model[1].running_mean.numpy()).all()
    assert not (adapted[6].running_mean.numpy() == model[6].running_mean.numpy()).all()
    with pytest.raises(ValueError, match="no batch normalisation with statistics that is not frozen"):
        A.adabn(mm.transfer.freeze(model), [mm.randn(9, 1, 4, 4).double()])


def test_a_shift_of_scale_and_place_is_undone_by_adabn() -> None:
    """Inputs of the target are those of the source, each feature scaled and moved."""
    mm.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((400, 2)), rng.integers(0, 2, 400)
    x = (x + 3 * y[:, None]).astype(np.float32)
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    task = mtl.Task("y", nn.CrossEntropyLoss(), metrics=["accuracy"])
    trainer = mtl.Trainer(model, [task], optim.Adam(model.parameters(), lr=0.05))
    trainer.fit([(mm.tensor(x), mm.tensor(y))] * 60, verbose=False)
    moved = mm.tensor(x * np.float32([0.1, 0.2]) + np.float32([9, 7]))

    def accuracy(model: nn.Module) -> float:
        return float((model.eval()(moved).argmax(dim=1).numpy() == y).mean())

    assert accuracy(model) < 0.7
    assert accuracy(A.adabn(model, [moved])) > 0.95


def test_a_shift_is_undone_by_coral_for_a_head_on_features_that_are_there() -> None:
    """The target is the source, stretched along its own axes, and moved."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    x = rng.standard_normal((300, 2)) * [0.5, 1.0] + np.outer(2 * y - 1, [1.0, 0.0])
    target = x * [3.0, 0.5] + [8.0, -2.0]

    def accuracy(train: Any) -> float:
        """Of a least-squares head, on the target."""
        head = np.linalg.lstsq(np.c_[train, np.ones(300)], 2 * y - 1, rcond=None)[0]
        return float(((np.c_[target, np.ones(300)] @ head > 0) == y).mean())

    assert accuracy(x) < 0.7
    assert accuracy(A.coral(x, target, ridge=0)) > 0.95


# Refusals


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: A.deep_coral(mm.ones(3, 2), mm.ones(3, 4)), r"got \(3, 2\) and \(3, 4\)"),
        (lambda: A.mmd(mm.ones(1, 2), mm.ones(3, 2)), "N and M > 1"),
        (lambda: A.mmd(mm.ones(3, 2), mm.ones(3, 2), []), "positive numbers, at least one"),
        (lambda: A.mmd(mm.ones(3, 2), mm.ones(3, 2), [0.0]), "positive numbers, at least one"),
        (lambda: A.coral(np.ones((3, 2)), np.ones((3, 3))), "of one width"),
        (lambda: A.coral(np.ones((3, 2)), np.ones((3, 2)), ridge=-1), "ridge must be finite and not negative"),
        (lambda: A.standardise(np.full((3, 2), np.nan)), "finite features"),
        (lambda: A.select(np.ones((3, 2)), np.ones((3, 2)), 3), "from 1 to 2"),
        (lambda: A.DANN(nn.Linear(2, 1), 0), "steps must be an integer ≥ 1"),
        (lambda: A.DANN(nn.Linear(2, 1), 5, high=-1), "not negative"),
        (lambda: A.DANN(nn.Linear(2, 2), 5)(mm.ones(3, 2), mm.ones(3, 2)), "one logit a sample"),
        (lambda: A.adabn(nn.Linear(2, 1), [mm.ones(3, 2)]), "no batch normalisation"),
        (lambda: A.adabn(nn.BatchNorm1d(2), []), "no batch"),
        (lambda: A.adabn(nn.BatchNorm1d(2), [mm.ones(1, 2)]), "two values a channel"),
    ],
)
def test_what_cannot_be_adapted_is_refused(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_a_class_is_no_distance_and_one_layer_called_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a function of two samples"):
        A.Alignment(nn.Linear(2, 2), nn.Linear(2, 2), A.DANN)
    norm = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match="more than once in a pass"):
        A.adabn(nn.Sequential(norm, nn.Linear(2, 2), norm), [mm.randn(4, 2)])


# Planted errors


def test_planted_errors_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Covariances divided by N, and kernels of which one is left out."""
    with monkeypatch.context() as patch:
        patch.setattr("minimtl.transfer.adaptation.distances.covariance", lambda x: (x - x.mean(dim=0)).T @ x / len(x))
        with pytest.raises(AssertionError):
            test_deep_coral_is_the_distance_of_the_covariances.hypothesis.inner_test(0)
    with monkeypatch.context() as patch:
        patch.setattr(
            "minimtl.transfer.adaptation.normalisation.statistics",
            lambda parts: next(zip(*[(p.mean(axis=1), p.var(axis=1)) for p in parts], strict=True)) * 2,
        )
        with pytest.raises((AssertionError, ValueError)):
            test_adabn_is_its_definition_however_the_data_is_cut.hypothesis.inner_test(0, 4)
