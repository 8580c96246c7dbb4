"""What tasks share: φ and θₖ told apart in every model, formulas against naive ones, any trunk; and penalties across tasks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim, testing
from minimtl.mtl.sharing.experts import mixture
from minimtl.mtl.sharing.soft import stitched

# Models of any number of tasks, on vectors of 6 numbers and on images of 2 × 8 × 8


def vector_stages() -> list[nn.Module]:
    return [nn.Sequential(nn.Linear(6, 5), nn.Tanh()), nn.Sequential(nn.Linear(5, 4), nn.Tanh())]


def image_stages() -> list[nn.Module]:
    return [
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.AvgPool2d(2)),  # → (N, 3, 3, 3)
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten()),  # → (N, 4)
    ]


KINDS = {"vectors": (vector_stages, (6,), [5, 4]), "images": (image_stages, (2, 8, 8), [3, 4])}


def heads(K: int) -> dict[str, nn.Module]:
    return {k: nn.Linear(4, 2) for k in "abc"[:K]}


def ple(stages: Callable[[], list[nn.Module]], K: int, sizes: tuple[int, ...]) -> mtl.Sharing:
    first = int(np.prod(sizes))
    second = 5 if len(sizes) == 1 else 27
    return mtl.PLE([lambda: stages()[0], lambda: stages()[1]], [first, second], heads(K))


MODELS: dict[str, Callable[[Any, int, Any, Any], mtl.Sharing]] = {
    "HardSharing": lambda stages, K, sizes, widths: mtl.HardSharing(nn.Sequential(*stages()), heads(K)),
    "SoftSharing": lambda stages, K, sizes, widths: mtl.SoftSharing({k: nn.Sequential(*stages()) for k in heads(K)}, heads(K)),
    "CrossStitch": lambda stages, K, sizes, widths: mtl.CrossStitch(stages, heads(K)),
    "MMoE": lambda stages, K, sizes, widths: mtl.MMoE(
        lambda: nn.Sequential(*stages()), int(np.prod(sizes)), heads(K), experts=3
    ),
    "CGC": lambda stages, K, sizes, widths: mtl.CGC(lambda: nn.Sequential(*stages()), int(np.prod(sizes)), heads(K)),
    "PLE": lambda stages, K, sizes, widths: ple(stages, K, sizes),
    "MTAN": lambda stages, K, sizes, widths: mtl.MTAN(stages(), heads(K), widths),
}
every = pytest.mark.parametrize("name", MODELS)
kinds = pytest.mark.parametrize("kind", KINDS)


def made(name: str, kind: str, K: int = 3, seed: int = 0) -> tuple[mtl.Sharing, mm.Tensor]:
    """A model and a batch of four."""
    stages, sizes, widths = KINDS[kind]
    mm.manual_seed(seed)
    return MODELS[name](stages, K, sizes, widths), mm.randn(4, *sizes)


def losses(model: mtl.Sharing, x: mm.Tensor) -> dict[str, mm.Tensor]:
    return {k: (y**2).sum() for k, y in model(x).items()}


@every
@kinds
@pytest.mark.parametrize("K", [1, 2, 3])
def test_φ_and_θ_are_told_apart_and_are_all(name: str, kind: str, K: int) -> None:
    model, x = made(name, kind, K)
    assert {k: y.shape for k, y in model(x).items()} == dict.fromkeys("abc"[:K], (4, 2))
    φ, θ = list(model.shared_parameters()), {k: list(model.task_parameters(k)) for k in model.heads}
    everything = φ + [p for own in θ.values() for p in own]
    assert len(set(everything)) == len(everything) == len(list(model.parameters()))
    assert set(everything) == set(model.parameters())


@every
@kinds
def test_no_loss_reaches_another_tasks_parameters_and_each_reaches_all_of_its_own(name: str, kind: str) -> None:
    model, x = made(name, kind)
    model.double()
    θ = {k: list(model.task_parameters(k)) for k in model.heads}
    testing.check_own_parameters(lambda: losses(model, x.double()), θ)
    for k in θ:
        mm.grad(losses(model, x.double())[k], θ[k])  # an error where one of them is not reached


@every
@kinds
def test_φ_is_reached_by_more_than_one_task(name: str, kind: str) -> None:
    model, x = made(name, kind)
    φ = list(model.shared_parameters())
    gradients = [mm.grad(L, φ, retain_graph=True, allow_unused=True) for L in losses(model, x).values()] if φ else []
    for reached in zip(*gradients):
        assert sum(g is not None for g in reached) >= 2


@every
@kinds
def test_inputs_of_its_own_give_a_task_what_common_ones_would(name: str, kind: str) -> None:
    model, x = made(name, kind)
    model.eval()
    common, own = model(x), model({"b": x, "a": x[:2]})
    assert list(own) == ["b", "a"]
    np.testing.assert_allclose(own["b"].numpy(), common["b"].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(own["a"].numpy(), common["a"].numpy()[:2], rtol=1e-5, atol=1e-6)


@every
@kinds
def test_types_seeds_and_saved_states(name: str, kind: str) -> None:
    model, x = made(name, kind)
    assert {y.dtype for y in model(x).values()} == {np.dtype("float32")}
    twin, _ = made(name, kind)
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(model.parameters(), twin.parameters()))
    other, _ = made(name, kind, seed=1)
    other.load_state_dict(model.state_dict())
    model.eval(), other.eval()
    assert all((model(x)[k].numpy() == other(x)[k].numpy()).all() for k in "abc")


@every
def test_every_sharing_trains_with_a_weighting_and_an_aggregation(name: str) -> None:
    model, x = made(name, "vectors", 2)
    y = {k: x[:, i : i + 2].detach() for i, k in enumerate("ab")}
    tasks = [mtl.Task(k, nn.MSELoss()) for k in "ab"]
    options: dict[str, Any] = {} if name == "SoftSharing" else {"aggregation": mtl.aggregation.UPGrad()}
    trainer = mtl.Trainer(model, tasks, optim.Adam(model.parameters(), lr=0.01), weighting=mtl.weighting.GLS(), **options)
    history = trainer.fit([(x, y)] * 10, epochs=3, verbose=False)
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(("name", "runs"), [("HardSharing", 1), ("MTAN", 1), ("MMoE", 3), ("CGC", 5), ("CrossStitch", 3)])
def test_what_is_shared_runs_once(name: str, runs: int) -> None:
    calls = []

    class Counted(nn.Linear):
        def forward(self, x: mm.Tensor) -> mm.Tensor:
            calls.append(x)
            return super().forward(x)

    MODELS[name](lambda: [Counted(6, 4)], 3, (6,), [4])(mm.randn(2, 6))
    assert len(calls) == runs


# Formulas


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_stitches_mix_features(T: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((T, T)), rng.standard_normal((T, 3, 2))
    for t, y in enumerate(stitched(mm.tensor(A), [mm.tensor(v) for v in x])):
        np.testing.assert_allclose(y.numpy(), sum(A[t, s] * x[s] for s in range(T)), rtol=1e-9, atol=1e-12)


def test_a_column_keeps_nine_tenths_of_its_own_at_first() -> None:
    A = made("CrossStitch", "vectors")[0].stitches.numpy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(A, np.full((2, 3, 3), 0.05) + np.eye(3) * 0.85, rtol=1e-6)


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_a_mixture_takes_shares_of_experts(E: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, o = rng.standard_normal((3, E)), rng.standard_normal((E, 3, 2, 2))
    found = mixture(mm.tensor(a), [mm.tensor(e) for e in o]).numpy()
    for n in range(3):
        g = np.exp(a[n]) / np.exp(a[n]).sum()
        np.testing.assert_allclose(found[n], sum(g[i] * o[i, n] for i in range(E)), rtol=1e-9, atol=1e-12)


def test_a_mixture_of_one_expert_is_the_expert_and_hard_sharing() -> None:
    mm.manual_seed(0)
    model = mtl.MMoE(lambda: nn.Linear(6, 4), 6, heads(2), experts=1)
    x = mm.randn(3, 6)
    hard = mtl.HardSharing(model.levels[0].shared[0], dict(model.heads.items()))  # type: ignore[attr-defined]
    assert all((model(x)[k].numpy() == hard(x)[k].numpy()).all() for k in "ab")


def test_masks_lie_between_nothing_and_all() -> None:
    mm.manual_seed(0)
    model = mtl.MTAN([nn.Linear(6, 4)], {"a": nn.Identity()}, [4])
    x = mm.randn(9, 6)
    ratio = model(x)["a"].numpy() / model.stages[0](x).numpy()  # type: ignore[operator]
    assert (ratio > 0).all() and (ratio < 1).all()


# Penalties


def owned(rng: Any, K: int = 3) -> dict[str, list[mm.Tensor]]:
    return {k: [mm.tensor(rng.standard_normal(s)) for s in ((2, 2), (3,))] for k in "abcd"[:K]}


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_penalties_across_tasks_are_their_naive_sums(K: int, seed: int) -> None:
    θ = owned(np.random.default_rng(seed), K)
    Θ = np.array([np.concatenate([p.numpy().ravel() for p in own]) for own in θ.values()])
    pairs = sum(((Θ[j] - Θ[k]) ** 2).sum() for j in range(K) for k in range(j))
    assert mtl.l2_distance(θ).item() == pytest.approx(pairs / (2 * K), abs=1e-9)
    assert mtl.group_lasso(θ).item() == pytest.approx(sum(np.linalg.norm(Θ[:, i]) for i in range(7)))
    assert mtl.trace_norm(θ).item() == pytest.approx(np.linalg.svd(Θ, compute_uv=False).sum())
    flat = [p for own in θ.values() for p in own]
    assert mtl.l1(flat).item() == pytest.approx(np.abs(Θ).sum())
    assert mtl.l2(flat).item() == pytest.approx((Θ**2).sum() / 2)


@pytest.mark.parametrize("R", [mtl.l2_distance, mtl.group_lasso, mtl.trace_norm])
def test_gradients_of_penalties(R: Any) -> None:
    θ = owned(np.random.default_rng(0))
    arrays = [p for own in θ.values() for p in own]
    testing.gradcheck(lambda *ps: R({k: ps[2 * i : 2 * i + 2] for i, k in enumerate("abc")}), *arrays)


def test_under_sgd_the_l2_penalty_is_weight_decay() -> None:
    x, y = mm.randn(4, 6), {k: mm.randn(4, 2) for k in "ab"}
    ends = []
    for decay, penalties in ((0.1, []), (0.0, [mtl.Penalty(mtl.l2, 0.1)])):
        model, _ = made("HardSharing", "vectors", 2)
        rule = optim.SGD(model.parameters(), lr=0.1, weight_decay=decay)
        mtl.Trainer(model, [mtl.Task(k, nn.MSELoss()) for k in "ab"], rule, penalties=penalties).fit([(x, y)], verbose=False)
        ends.append([p.numpy() for p in model.parameters()])
    for a, b in zip(*ends):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_what_a_penalty_is_on() -> None:
    model, _ = made("HardSharing", "vectors", 2)
    φ, θ = list(model.shared_parameters()), {k: list(model.task_parameters(k)) for k in "ab"}
    assert mtl.Penalty(mtl.l2, 1, on="shared").parameters(model) == φ
    assert mtl.Penalty(mtl.l2, 1, on="tasks").parameters(model) == θ["a"] + θ["b"]
    assert mtl.Penalty(mtl.l2, 1, on="all").parameters(model) == list(model.parameters())
    assert mtl.Penalty(mtl.l2_distance, 1, on="across").parameters(model) == θ
    assert mtl.Penalty(mtl.l2, 2.0)(model).item() == pytest.approx(2 * mtl.l2(model.parameters()).item())


def test_a_penalty_on_their_distance_draws_networks_together() -> None:
    gaps = []
    for λ in (0.0, 10.0):
        model, x = made("SoftSharing", "vectors", 2)
        y = {"a": x[:, :2].detach(), "b": -x[:, :2].detach()}
        penalty = mtl.Penalty(mtl.l2_distance, λ, on=mtl.SoftSharing.corresponding)
        rule = optim.SGD(model.parameters(), lr=0.05)
        mtl.Trainer(model, [mtl.Task(k, nn.MSELoss()) for k in "ab"], rule, penalties=[penalty]).fit(
            [(x, y)] * 30, verbose=False
        )
        gaps.append(mtl.l2_distance(model.corresponding()).item())  # type: ignore[attr-defined]
    assert gaps[1] < 0.1 * gaps[0]


# Refusals


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: mtl.CrossStitch(vector_stages, {}), "CrossStitch: heads must be"),
        (lambda: mtl.CrossStitch(list, heads(2)), "at least one, got 0"),
        (lambda: mtl.SoftSharing({"a": nn.Linear(2, 2)}, heads(2)), r"a network for each of \['a', 'b'\], got \['a'\]"),
        (lambda: mtl.PLE([], [], heads(2)), "PLE: needs in_features for each of 0 levels"),
        (lambda: mtl.CGC(lambda: nn.Linear(6, 4), 6, heads(2), shared=0), "CGC: needs at least one shared expert"),
        (lambda: mtl.MMoE(lambda: nn.Linear(6, 4), 6, heads(2), experts=0), "MMoE: needs at least one shared expert"),
        (
            lambda: mtl.MMoE(lambda: nn.Linear(6, 4), 5, heads(2))(mm.ones(2, 6)),
            "level 0 gets 6 numbers a sample, in_features says 5",
        ),
        (lambda: mtl.MTAN(vector_stages(), heads(2), [5, 5])(mm.ones(2, 6)), r"stage 1 gives \(2, 4\), must give \(N, 5\)"),
        (lambda: mtl.CrossStitch(partial(list, vector_stages()), heads(2)), "the same module twice"),
        (lambda: mtl.Penalty(lambda θ: θ[0], 1)(nn.Linear(2, 2)), "R must give a scalar"),
        (lambda: mtl.MTAN(vector_stages(), heads(2), [5]), "the width of each of 2 stages"),
        (lambda: mtl.Penalty(mtl.l2, -1), "weight must be finite and not negative"),
        (lambda: mtl.Penalty(mtl.l2, 1, on="φ"), "on must be 'shared'"),
        (lambda: mtl.l2_distance({"a": [mm.ones(2)], "b": [mm.ones(3)]}), r"the same shapes.*'a': \[\(2,\)\], 'b': \[\(3,\)\]"),
        (lambda: mtl.l1([]), "no parameter to be penalised"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_a_head_that_reaches_into_an_expert_is_refused() -> None:
    expert = nn.Linear(6, 4)
    with pytest.raises(ValueError, match=r"MMoE: head 'a' has a parameter .* of 'shared'"):
        mtl.MMoE(lambda: expert, 6, {"a": expert, "b": nn.Linear(4, 1)}, experts=1)
    with pytest.raises(TypeError, match="a function that makes modules, anew each time, got Linear"):
        mtl.MMoE(expert, 6, heads(2))
    with pytest.raises(TypeError, match="R must be a function"):
        mtl.Penalty(nn.MSELoss, 1)
    with pytest.raises(TypeError, match="needs a model that tells φ from θₖ"):
        mtl.Penalty(mtl.l2, 1, on="shared")(nn.Linear(2, 2))
    network = nn.Linear(6, 4)
    with pytest.raises(ValueError, match=r"SoftSharing: head 'b' has a parameter"):
        mtl.SoftSharing({"a": network, "b": network}, heads(2))


@pytest.mark.parametrize("own", [0, 1, 2])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_of_levels_of_experts_exactly_what_one_loss_reaches_is_its_tasks(depth: int, own: int) -> None:
    mm.manual_seed(0)
    model = mtl.PLE([lambda: nn.Linear(4, 4)] * depth, [4] * depth, heads(2), shared=1, own=own)
    x, φ = mm.randn(3, 4), set(model.shared_parameters())
    p = list(model.parameters())
    gradients = [mm.grad(L, p, retain_graph=True, allow_unused=True) for L in losses(model, x).values()]
    for q, *reached in zip(p, *gradients):
        assert (q in φ) == (sum(g is not None for g in reached) > 1)


def test_a_head_tied_to_its_own_network_counts_once() -> None:
    network = nn.Linear(6, 4)
    model = mtl.SoftSharing({"a": network, "b": nn.Linear(6, 4)}, {"a": network, "b": nn.Linear(4, 2)})
    assert len(list(model.task_parameters("a"))) == 2


def test_a_planted_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gates of the last level forgotten among what is a task's own."""
    monkeypatch.setattr(mtl.PLE, "own_parts", lambda self, task: (self.levels[-1].own[task],))
    with pytest.raises(AssertionError):
        test_φ_is_reached_by_more_than_one_task("CGC", "vectors")
