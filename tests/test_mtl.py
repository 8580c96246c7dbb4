"""The multi-task core: objectives as the documents print them, hard sharing, tasks and the trainer."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import mtl, nn, optim
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.batches import Epoch


def per_sample(output: mm.Tensor, y: mm.Tensor) -> mm.Tensor:
    return F.cross_entropy(output, y, reduction="none")


@st.composite
def problems(draw: st.DrawFn) -> tuple[mtl.HardSharing, dict[str, tuple[mm.Tensor, mm.Tensor]]]:
    """A network in float64 and a data set of its own size for each of one to four tasks."""
    mm.manual_seed(draw(st.integers(0, 2**32 - 1)))
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    model = mtl.HardSharing(nn.Sequential(nn.Linear(5, 4), nn.Tanh()), {k: nn.Linear(4, 3) for k in names}).double()
    sizes = {k: draw(st.integers(1, 6)) for k in names}
    return model, {k: (mm.randn(n, 5).double(), mm.randint(3, (n,))) for k, n in sizes.items()}


def parts(model: mtl.HardSharing, D: dict[str, Any]) -> tuple[Any, Any, Any]:
    """lₖ per sample, θ, φ."""
    return dict.fromkeys(D, per_sample), model.heads, model.shared


# Objectives


@given(problems())
def test_total_loss_is_the_double_sum_over_tasks_and_samples(problem: Any) -> None:
    model, D = problem
    naive = 0.0
    for k, (x, y) in D.items():
        for i in range(len(y)):
            z = np.tanh(model.shared[0].weight.numpy() @ x.numpy()[i] + model.shared[0].bias.numpy())
            logits = model.heads[k].weight.numpy() @ z + model.heads[k].bias.numpy()
            naive += math.log(sum(math.exp(v) for v in logits)) - logits[y[i].item()]
    assert mtl.total_loss(*parts(model, D), D).item() == pytest.approx(naive, rel=1e-12)


@given(problems())
def test_the_gradients_of_tasks_add_up_in_φ_and_stay_apart_in_θ(problem: Any) -> None:
    model, D = problem
    φ = list(model.shared_parameters())
    joint = mm.grad(mtl.total_loss(*parts(model, D), D), φ)
    alone = [mm.grad(mtl.total_loss(*parts(model, D), {k: D[k]}), φ) for k in D]
    for g, *gs in zip(joint, *alone, strict=True):
        np.testing.assert_allclose(g.numpy(), sum(h.numpy() for h in gs), rtol=1e-10, atol=1e-13)
    for j in D:
        for k in set(D) - {j}:
            L_j = mtl.total_loss(*parts(model, D), {j: D[j]})
            assert mm.grad(L_j, list(model.task_parameters(k)), allow_unused=True) == (None, None)


@given(problems(), st.randoms(use_true_random=False))
def test_the_gradient_of_the_weighted_loss_is_the_weighted_sum_of_gradients(problem: Any, random: Any) -> None:
    model, D = problem
    φ, α = list(model.shared_parameters()), {k: random.uniform(0, 3) for k in D}

    def L() -> dict[str, mm.Tensor]:
        return {k: F.cross_entropy(model({k: x})[k], y) for k, (x, y) in D.items()}

    joint = mm.grad(mtl.weighted_loss(L(), α), φ)
    alone = {k: mm.grad(L()[k], φ) for k in D}
    for i, g in enumerate(joint):
        expected = sum(α[k] * alone[k][i].numpy() for k in D)
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-10, atol=1e-13)


@given(problems())
def test_the_sum_over_samples_is_the_weighted_sum_of_means_at_α_equal_to_N(problem: Any) -> None:
    model, D = problem
    means = {k: F.cross_entropy(model({k: x})[k], y) for k, (x, y) in D.items()}
    weighted = mtl.weighted_loss(means, {k: len(y) for k, (_, y) in D.items()})
    assert weighted.item() == pytest.approx(mtl.total_loss(*parts(model, D), D).item(), rel=1e-12)


@given(problems(), st.integers(1, 4))
def test_the_minibatch_loss_is_unbiased(problem: Any, size: int) -> None:
    """Its mean over all batches of consecutive samples, taken around the circle, is the total loss."""
    model, D = problem
    longest = math.lcm(*(len(y) for _, y in D.values()))
    N = {k: len(y) for k, (_, y) in D.items()}
    losses = []
    for start in range(longest):
        rows = {k: [(start + i) % N[k] for i in range(min(size, N[k]))] for k in D}
        B = {k: (x[rows[k]], y[rows[k]]) for k, (x, y) in D.items()}
        losses.append(mtl.minibatch_loss(*parts(model, D), B, N).item())
    assert np.mean(losses) == pytest.approx(mtl.total_loss(*parts(model, D), D).item(), rel=1e-10)


def test_parity_is_one_for_even_digits() -> None:
    assert mtl.parity(mm.arange(10)).tolist() == [1, 0] * 5
    assert mtl.parity(mm.arange(10)).dtype == mm.int64


def test_a_sum_over_no_task_is_refused() -> None:
    with pytest.raises(ValueError, match="no task"):
        mtl.weighted_loss({}, {})


# Hard sharing


def small() -> mtl.HardSharing:
    mm.manual_seed(0)
    return mtl.HardSharing(nn.Linear(3, 4), {"a": nn.Linear(4, 2), "b": nn.Linear(4, 1)})


def test_outputs_are_the_heads_of_the_shared_features() -> None:
    model, x = small(), mm.randn(5, 3)
    z = model.shared(x)
    assert {k: v.tolist() for k, v in model(x).items()} == {k: model.heads[k](z).tolist() for k in "ab"}
    own = model({"a": x, "b": x[:2]})
    assert (own["a"].shape, own["b"].shape) == ((5, 2), (2, 1))


def test_φ_and_θ_are_told_apart_and_are_all() -> None:
    model = small()
    φ, θ = set(model.shared_parameters()), {k: set(model.task_parameters(k)) for k in "ab"}
    assert φ | θ["a"] | θ["b"] == set(model.parameters())
    assert len(φ) + len(θ["a"]) + len(θ["b"]) == 6
    with pytest.raises(KeyError, match=r"'c'.*'a', 'b'"):
        model.task_parameters("c")


def test_a_head_that_reaches_into_φ_or_into_another_head_is_refused() -> None:
    trunk = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=r"head 'a'.*'shared'"):
        mtl.HardSharing(trunk, {"a": nn.Sequential(nn.ReLU(), trunk)})
    head = nn.Linear(3, 1)
    with pytest.raises(ValueError, match=r"head 'b'.*'a'"):
        mtl.HardSharing(trunk, {"a": head, "b": head})
    with pytest.raises(ValueError, match="at least one"):
        mtl.HardSharing(trunk, {})


def test_the_trunk_runs_once_for_all_tasks() -> None:
    calls = []

    class Counted(nn.Linear):
        def forward(self, x: mm.Tensor) -> mm.Tensor:
            calls.append(x)
            return super().forward(x)

    mtl.HardSharing(Counted(3, 4), {"a": nn.Linear(4, 2), "b": nn.Linear(4, 1)})(mm.randn(5, 3))
    assert len(calls) == 1


# Tasks and trainer


def two_tasks(**options: Any) -> list[mtl.Task]:
    return [
        mtl.Task("a", nn.CrossEntropyLoss(), metrics=["accuracy"], **options),
        mtl.Task("b", nn.MSELoss(), metrics=["mse", "mae"]),
    ]


def trainer(model: mtl.HardSharing | None = None, lr: float = 0.1) -> mtl.Trainer:
    model = model or small()
    return mtl.Trainer(model, two_tasks(), optim.SGD(model.parameters(), lr=lr))


def batch(n: int = 8) -> tuple[mm.Tensor, dict[str, mm.Tensor]]:
    x = mm.randn(n, 3)
    return x, {"a": (x[:, 0] > 0).long(), "b": x[:, 1:2] * 2}


def test_a_step_goes_down_the_gradient_of_the_weighted_sum() -> None:
    model, (x, y) = small(), batch()
    tasks = [mtl.Task("a", nn.CrossEntropyLoss(), weight=0.5), mtl.Task("b", nn.MSELoss(), weight=3.0)]
    L = 0.5 * F.cross_entropy(model(x)["a"], y["a"]) + 3.0 * F.mse_loss(model(x)["b"], y["b"])
    expected = [p.numpy() - 0.1 * g.numpy() for p, g in zip(model.parameters(), mm.grad(L, [*model.parameters()]), strict=True)]
    mtl.Trainer(model, tasks, optim.SGD(model.parameters(), lr=0.1)).fit([(x, y)], verbose=False)
    for p, want in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.numpy(), want, rtol=1e-5, atol=1e-7)


def test_training_learns_and_the_history_tells() -> None:
    x, y = batch(64)
    run = trainer()
    loader = DataLoader(TensorDataset(x, y["a"], y["b"]), batch_size=16, shuffle=True)
    batches = [(x, {"a": a, "b": b}) for x, a, b in loader]
    history = run.fit(batches, epochs=30, validation=batches, verbose=False)
    assert history["epoch"] == list(range(1, 31))
    assert history["validation a accuracy"][-1] > 0.9 > history["a loss"][-1]
    assert history["b mse"][-1] < 0.1 * history["b mse"][0]
    assert history["loss"][0] == pytest.approx(history["a loss"][0] + history["b loss"][0], rel=1e-5)
    with pytest.raises(KeyError, match="'c loss'.*'a loss'"):
        history["c loss"]


def test_evaluation_weights_samples_alike_and_leaves_the_mode() -> None:
    model, (x, y) = small(), batch(10)
    run = trainer(model)
    whole = run.evaluate([(x, y)])
    pieces = [(x[i : i + 4], {k: v[i : i + 4] for k, v in y.items()}) for i in (0, 4, 8)]
    assert run.evaluate(pieces) == pytest.approx(whole, rel=1e-5)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_tasks_with_data_of_their_own_take_turns_until_the_longest_is_through() -> None:
    (x, y), (u, v) = batch(12), batch(3)
    loaders = {
        "a": DataLoader(TensorDataset(x, y["a"]), batch_size=2),
        "b": DataLoader(TensorDataset(u, v["b"]), batch_size=2),
    }
    run = trainer()
    seen = [(len(xs["a"]), len(xs["b"])) for xs, _, _ in Epoch(loaders, ["a", "b"], mtl.schedule.Joint())]
    assert seen == [(2, 2), (2, 1)] * 3
    history = run.fit(loaders, epochs=2, validation=loaders, verbose=False)
    assert set(history.names()) >= {"a loss", "b loss", "validation a accuracy", "validation b mse"}
    assert run.steps == 12


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_anything_moves(value: float) -> None:
    model, (x, y) = small(), batch()
    run = trainer(model)
    run.fit([(x, y)], verbose=False)
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    run.tasks["b"].loss = lambda output, target: (output * value).sum()
    with pytest.raises(FloatingPointError, match="task 'b' .* at step 2"):
        run.fit([(x, y)], verbose=False)
    assert all((t.numpy() == before[name]).all() for name, t in model.state_dict().items())


def test_a_gradient_that_is_not_finite_stops_before_anything_moves() -> None:
    """√ at 0 is finite, its slope is not."""
    model, (x, y) = small(), batch()
    run = trainer(model)
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    run.tasks["b"].loss = lambda output, target: (output - output).sum().sqrt()
    with pytest.raises(FloatingPointError, match=r"the gradient of 'heads\.b\.weight' is not finite at step 1"):
        run.fit([(x, y)], verbose=False)
    assert all((t.numpy() == before[name]).all() for name, t in model.state_dict().items())


@pytest.mark.parametrize(
    "rule", [{"weighting": mtl.weighting.GLS}, {"aggregation": mtl.aggregation.Mean}, {"aggregation": "PCGrad"}]
)
def test_a_class_or_a_name_is_no_rule(rule: Any) -> None:
    with pytest.raises(TypeError, match=rf"Trainer: {next(iter(rule))} must be an instance"):
        mtl.Trainer(small(), [mtl.Task(k, nn.MSELoss()) for k in "ab"], optim.SGD(small().parameters(), lr=0.1), **rule)


def test_a_weight_may_be_a_number_of_numpy() -> None:
    assert mtl.Task("a", nn.MSELoss(), weight=np.float32(0.5)).weight == 0.5
    with pytest.raises(ValueError, match="name must be a text"):
        mtl.Task(" ", nn.MSELoss())


def test_what_does_not_fit_together_is_refused() -> None:
    model, loss = small(), nn.MSELoss()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="different names"):
        mtl.Trainer(model, [mtl.Task("a", loss), mtl.Task("a", loss)], sgd)
    with pytest.raises(ValueError, match=r"tasks are \['a'\], the heads of the model \['a', 'b'\]"):
        mtl.Trainer(model, [mtl.Task("a", loss)], sgd)
    with pytest.raises(ValueError, match="all weights are 0"):
        mtl.Trainer(model, [mtl.Task("a", loss, weight=0), mtl.Task("b", loss, weight=0)], sgd)
    with pytest.raises(ValueError, match="weight must be finite"):
        mtl.Task("a", loss, weight=-1)
    with pytest.raises(ValueError, match=r"unknown metrics \['f2'\]"):
        mtl.Task("a", loss, metrics=["f2"])
    with pytest.raises(KeyError, match=r"labels for \['a'\] only"):
        trainer().fit([(mm.randn(2, 3), {"a": mm.tensor([0, 1])})], verbose=False)
    with pytest.raises(ValueError, match="task 'b': the loss must be a scalar"):
        run = trainer()
        run.tasks["b"].loss = nn.MSELoss(reduction="none")
        run.fit([batch()], verbose=False)
    with pytest.raises(ValueError, match=r"loaders are for \['a'\]"):
        trainer().fit({"a": [batch()]}, verbose=False)
    with pytest.raises(ValueError, match=r"\['b'\] have no batch"):
        trainer().fit({"a": [batch()], "b": []}, verbose=False)


def test_one_label_serves_every_task_through_its_target() -> None:
    task = mtl.Task("parity", nn.CrossEntropyLoss(), target=mtl.parity)
    assert task.labels(mm.tensor([3, 4])).tolist() == [0, 1]
    assert task.labels({"parity": mm.tensor([3, 4]), "other": mm.tensor([0, 0])}).tolist() == [0, 1]


def readme_programs() -> list[str]:
    """The Python blocks of the README that make a Trainer."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    return [
        block
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if "mtl.Trainer(" in block and "transfer." not in block
    ]


def test_the_programs_of_the_readme_run_and_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    programs = readme_programs()
    assert len(programs) == 2
    for program in programs:
        assert len(program.strip().splitlines()) <= 25
    exec(compile(programs[1], "README.md", "exec"), {})  # the first trains for ten epochs: see lesson 2
    assert capsys.readouterr().out.count("\n") >= 4
