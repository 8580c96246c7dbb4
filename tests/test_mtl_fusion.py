"""Models trained apart, made one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn


def net(seed: int) -> mtl.HardSharing:
    mm.manual_seed(seed)
    return mtl.HardSharing(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), {"a": nn.Linear(4, 2), "b": nn.Linear(4, 1)})


@given(st.lists(st.integers(0, 99), min_size=1, max_size=4), st.data())
def test_the_average_lies_between_the_models(seeds: list[int], data: st.DataObject) -> None:
    models = [net(seed) for seed in seeds]
    parts = data.draw(st.lists(st.integers(1, 9), min_size=len(seeds), max_size=len(seeds)))
    w = np.array(parts) / sum(parts)
    before = [m.heads["a"].weight.numpy().copy() for m in models]
    fused = mtl.average(models, w.tolist())
    np.testing.assert_allclose(fused.heads["a"].weight.numpy(), np.einsum("m,mij", w, before), rtol=1e-5, atol=1e-7)
    assert all((m.heads["a"].weight.numpy() == b).all() for m, b in zip(models, before))
    assert fused.shared[1].num_batches_tracked.item() == models[0].shared[1].num_batches_tracked.item()
    assert fused.heads["a"].weight.dtype == mm.float32


def test_an_average_of_one_model_is_that_model() -> None:
    model, x = net(0).eval(), mm.randn(5, 3)
    fused = mtl.average([model]).eval()
    assert {k: y.tolist() for k, y in fused(x).items()} == {k: y.tolist() for k, y in model(x).items()}


def test_of_linear_models_the_ensemble_is_the_average() -> None:
    mm.manual_seed(0)
    heads = [mtl.HardSharing(nn.Identity(), {"a": nn.Linear(3, 2)}) for _ in range(3)]
    x = mm.randn(5, 3)
    np.testing.assert_allclose(mtl.Ensemble(heads)(x)["a"].numpy(), mtl.average(heads)(x)["a"].numpy(), rtol=1e-5, atol=1e-6)


def test_an_ensemble_of_classifiers_averages_probabilities() -> None:
    models, x = [net(seed).eval() for seed in (1, 2)], mm.randn(5, 3)
    p = np.mean([m(x)["a"].softmax(dim=1).numpy() for m in models], axis=0)
    y = mtl.Ensemble(models, classification=["a"]).eval()(x)
    np.testing.assert_allclose(y["a"].softmax(dim=1).numpy(), p, rtol=1e-5)
    np.testing.assert_allclose(y["b"].numpy(), np.mean([m(x)["b"].numpy() for m in models], axis=0), rtol=1e-5, atol=1e-6)


def test_an_ensemble_that_is_sure_of_something_else_has_finite_logarithms() -> None:
    fixed = mtl.HardSharing(nn.Identity(), {"a": nn.Identity()})
    y = mtl.Ensemble([fixed, fixed], classification=["a"])(mm.tensor([[200.0, 0.0]]))["a"]
    np.testing.assert_allclose(y.numpy(), [[0.0, -200.0]], atol=1e-5)


def test_an_ensemble_of_models_of_different_tasks_asks_each_for_its_own() -> None:
    mm.manual_seed(0)
    a, b = (mtl.HardSharing(nn.Identity(), {k: nn.Linear(3, 2)}) for k in "ab")
    x = {"a": mm.randn(2, 3), "b": mm.randn(4, 3)}
    y = mtl.Ensemble([a, b])(x)
    assert y["a"].tolist() == a({"a": x["a"]})["a"].tolist()
    assert y["b"].tolist() == b({"b": x["b"]})["b"].tolist()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one model"):
        mtl.average([])
    with pytest.raises(ValueError, match="at least one model"):
        mtl.Ensemble([])
    with pytest.raises(ValueError, match="weights ≥ 0 that add up to 1"):
        mtl.average([net(0), net(1)], [0.5, 0.6])
    with pytest.raises(ValueError, match=r"model 1 differs from model 0 in \['bias', 'weight'\]"):
        mtl.average([nn.Linear(2, 2), nn.Linear(3, 3)])


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum in the place of the mean."""
    monkeypatch.setattr("minimtl.mtl.fusion.averaged", lambda θ, w: sum(θ))
    with pytest.raises(AssertionError):
        test_of_linear_models_the_ensemble_is_the_average()
