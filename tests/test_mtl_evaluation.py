"""Evaluation: intervals, gains over baselines, what tasks do to each other, what a model costs; and comparisons as a whole."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim, plot
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl import evaluation as E
from minimtl.mtl.compare import file_name
from minimtl.mtl.evaluation.statistics import cumulative, quantile
from minimtl.training import History

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=8)


# Statistics


@pytest.mark.parametrize(
    ("ν", "t"),  # 97.5 % points, from printed tables of Student's distribution
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423), (120, 1.9799)],
)
def test_quantiles_are_those_of_the_tables(ν: int, t: float) -> None:
    assert quantile(0.975, ν) == pytest.approx(t, abs=6e-5)
    assert cumulative(quantile(0.9, ν), ν) == pytest.approx(0.9, abs=1e-12)


def test_of_one_and_two_degrees_of_freedom_there_is_a_closed_form() -> None:
    for p in (0.6, 0.9, 0.975):
        assert quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-10)
        assert quantile(p, 2) == pytest.approx((2 * p - 1) / math.sqrt(2 * p * (1 - p)), rel=1e-10)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = [abs(i.mean) <= i.half for i in (E.interval(x) for x in rng.standard_normal((2000, 5)).tolist())]
    assert abs(np.mean(hits) - 0.95) < 6 * math.sqrt(0.95 * 0.05 / 2000)


def test_the_planted_error_of_dividing_by_n_would_be_caught() -> None:
    rng = np.random.default_rng(0)
    hits = [abs(np.mean(x)) <= 1.96 * np.std(x) / math.sqrt(5) for x in rng.standard_normal((2000, 5))]
    assert np.mean(hits) < 0.95 - 6 * math.sqrt(0.95 * 0.05 / 2000)


@given(numbers, st.floats(-10, 10))
def test_what_pairs_have_in_common_falls_out(x: list[float], shift: float) -> None:
    pair = E.paired([v + shift for v in x], x)
    assert pair.mean == pytest.approx(shift, abs=1e-9)
    assert pair.half == pytest.approx(0, abs=1e-9)


# Scores


def test_delta_m_is_the_mean_of_relative_gains() -> None:
    baseline = {"a": {"accuracy": 0.5}, "b": {"mse": 2.0, "mae": 1.0}}
    scores = {"a": {"accuracy": 0.6}, "b": {"mse": 1.0, "mae": 1.5}}
    assert E.delta_m(scores, baseline) == pytest.approx(100 * (0.2 + (0.5 - 0.5) / 2) / 2)
    assert E.delta_m(baseline, baseline) == 0


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=4), st.floats(0.01, 1))
def test_better_metrics_make_a_larger_delta_m(values: list[float], more: float) -> None:
    base = {str(i): {"accuracy": v, "mse": v} for i, v in enumerate(values)}
    better = {k: {"accuracy": by["accuracy"] + more, "mse": by["mse"] / (1 + more)} for k, by in base.items()}
    assert E.delta_m(better, base) > 0 > E.delta_m(base, better)


def test_ranks_of_methods_that_tie_are_shared() -> None:
    scores = {
        "x": {"a": {"accuracy": 0.9, "mse": 1.0}},
        "y": {"a": {"accuracy": 0.9, "mse": 2.0}},
        "z": {"a": {"accuracy": 0.8, "mse": 0.5}},
    }
    assert E.mean_rank(scores) == {"x": 1.75, "y": 2.25, "z": 2.0}


def test_forgetting_is_what_was_there_and_is_gone() -> None:
    history = History()
    for accuracy, loss in ((0.5, 2.0), (0.9, 1.0), (0.6, 1.5)):
        history.append({"validation a accuracy": accuracy, "validation a loss": loss})
    assert E.forgetting(history, "validation a accuracy") == pytest.approx(0.3)
    assert E.forgetting(history, "validation a loss") == pytest.approx(0.5)


def test_the_report_names_the_tasks_that_lose() -> None:
    rng = np.random.default_rng(0)
    alone = {k: (0.9 + 0.001 * rng.standard_normal(5)).tolist() for k in "abc"}
    joint = {"a": [v - 0.05 for v in alone["a"]], "b": [v + 0.05 for v in alone["b"]], "c": alone["c"][::-1]}
    report = E.negative_transfer(joint, alone, "accuracy")
    assert [report.verdict(k) for k in "abc"] == ["loses", "gains", "undecided"]
    assert str(report) == "Trained together, these tasks lose: a. (5 seeds, paired, 95 % intervals)"
    assert "| a    | accuracy | -0.0500 ± 0.0000 | loses" in report.table().text()
    assert E.negative_transfer(joint, alone, "mse").verdict("a") == "gains"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: E.interval([1.0]), "at least two finite values"),
        (lambda: E.interval([1.0, math.nan]), "at least two finite values"),
        (lambda: E.interval([1, 2], 1.0), "confidence must lie between 0 and 1"),
        (lambda: E.paired([1, 2], [1, 2, 3]), "values of the same seeds, got 2 and 3"),
        (lambda: E.delta_m({"a": {"mse": 1}}, {"b": {"mse": 1}}), "the same tasks and metrics"),
        (lambda: E.delta_m({"a": {"mse": 1}}, {"a": {"mse": 0}}), r"greater than 0, .*\('a', 'mse', 0\)"),
        (lambda: E.delta_m({"a": {"r2": 0.5}}, {"a": {"r2": -0.1}}), "greater than 0"),
        (lambda: E.mean_rank({"x": {"a": {"mse": 1.0}}, "y": {"a": {"mse": math.nan}}}), "a method that diverged has no rank"),
        (lambda: E.mean_rank({"x": {"a": {"mse": 1.0}}, "y": {"b": {"mse": 1.0}}}), "the same tasks and metrics"),
        (lambda: E.delta_m({"a": {"x": 1}}, {"a": {"x": 1}}), "unknown metric 'x'"),
        (lambda: E.negative_transfer({"a": [1, 2]}, {"b": [1, 2]}, "mse"), "needs the same tasks"),
        (lambda: E.mean_rank({}), "at least one method"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


# Cost


def test_arithmetic_is_that_of_the_layers() -> None:
    trunk = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(864, 84))
    model = mtl.HardSharing(trunk, {"a": nn.Linear(84, 10), "b": nn.Linear(84, 2)})
    model.shared[0].requires_grad_(False)
    cost = E.cost(model, mm.randn(3, 1, 28, 28), repeats=2)
    assert cost.multiply_adds == 24 * 24 * 6 * 25 + 864 * 84 + 84 * 12
    assert (cost.shared, cost.own) == (6 * 26 + 84 * 865, {"a": 850, "b": 170})
    assert cost.parameters == cost.shared + 1020 == cost.trained + 6 * 26
    assert not model.shared[0].weight.requires_grad
    assert cost.seconds > 0 and cost.memory > 3 * 6 * 24 * 24 * 4
    assert all(p.grad is None for p in model.parameters())


def test_arithmetic_of_transposed_convolutions_groups_and_products() -> None:
    for layer, x, macs in [
        (nn.ConvTranspose2d(2, 3, 2), mm.randn(4, 2, 5, 5), 2 * 25 * 3 * 4),
        (nn.Conv2d(4, 6, 3, groups=2), mm.randn(6, 4, 5, 5), 9 * 6 * 2 * 9),
    ]:
        assert E.cost(layer, x, repeats=1).multiply_adds == macs

    class Product(nn.Module):
        def forward(self, x: mm.Tensor) -> mm.Tensor:
            return x @ x.transpose(1, 2)

    assert E.arithmetic(Product(), mm.randn(2, 3, 5)) == 3 * 3 * 5


# Baselines and comparisons


def data(seed: int) -> tuple[Any, Any]:
    """Two related regressions."""
    x = mm.randn(96, 3)
    y = {"a": x[:, :1].detach(), "b": (x[:, :1] + x[:, 1:2]).detach()}
    rows = [slice(i, i + 16) for i in range(0, 96, 16)]
    batches = [(x[r], {k: v[r] for k, v in y.items()}) for r in rows]
    return batches[:4], batches[4:]


def tasks() -> list[mtl.Task]:
    return [mtl.Task(k, nn.MSELoss(), metrics=["mse"]) for k in "ab"]


def model(keys: str = "ab") -> mtl.HardSharing:
    return mtl.HardSharing(nn.Sequential(nn.Linear(3, 8), nn.Tanh()), {k: nn.Linear(8, 1) for k in keys})


def test_each_task_alone_takes_the_rate_that_is_best_for_it() -> None:
    alone = E.single_task(model, tasks(), data, lambda p, lr: optim.SGD(p, lr=lr), [1e-4, 0.1], epochs=5, seeds=[0, 1])
    for k in "ab":
        assert alone[k].lr == 0.1
        assert alone[k].tried[0.1] == pytest.approx(np.mean(alone[k].scores["mse"]))
        assert alone[k].tried[0.1] < alone[k].tried[1e-4]
        assert len(alone[k].scores["mse"]) == 2


def test_a_rate_at_which_a_task_diverges_is_not_chosen() -> None:
    alone = E.single_task(model, tasks(), data, lambda p, lr: optim.SGD(p, lr=lr), [1e30, 0.1], epochs=3, seeds=[0])
    assert (alone["a"].lr, math.isnan(alone["a"].tried[1e30])) == (0.1, True)
    with pytest.raises(FloatingPointError, match="task 'a' diverges at all rates"):
        E.single_task(model, tasks(), data, lambda p, lr: optim.SGD(p, lr=lr), [1e30], epochs=3, seeds=[0])


def test_measuring_the_cost_leaves_the_model_as_it_is() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {key: t.numpy().copy() for key, t in net.state_dict().items()}
    net[0].weight.grad = mm.ones(4, 3)
    E.cost(net, mm.randn(5, 3), repeats=1)
    assert all((t.numpy() == before[key]).all() for key, t in net.state_dict().items())
    assert (net[0].weight.grad.numpy() == 1).all()


def test_a_task_held_out_is_learnt_on_features_and_leaves_them_alone() -> None:
    mm.manual_seed(0)
    trunk = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8))
    before = {key: t.numpy().copy() for key, t in trunk.state_dict().items()}
    x = mm.randn(64, 3)
    loader = DataLoader(TensorDataset(x, x[:, :1].detach()), batch_size=16)
    task = mtl.Task("new", nn.MSELoss(), metrics=["r2"])
    found = E.held_out(trunk, nn.Linear(8, 1), task, loader, loader, lambda p: optim.Adam(p, lr=0.05), epochs=20)
    assert found["new r2"] > 0.9
    assert trunk.training
    assert all((t.numpy() == before[key]).all() for key, t in trunk.state_dict().items())


def compared(
    out: Path | None, seeds: Any = (0, 1), epochs: int = 2, rate: float = 0.05, weight: float = 1.0, metrics: Any = ("mse",)
) -> mtl.Comparison:
    asked = [mtl.Task(k, nn.MSELoss(), weight=weight, metrics=list(metrics)) for k in "ab"]
    return mtl.compare(
        asked, data, {"hard": model}, {"equal": dict, "PCGrad": lambda: {"aggregation": mtl.aggregation.PCGrad()}},
        lambda p: optim.SGD(p, lr=rate), epochs, seeds, out, verbose=False,
    )  # fmt: skip


def test_a_comparison_goes_on_where_it_stopped_and_repeats_itself(tmp_path: Path) -> None:
    whole = compared(None)
    compared(tmp_path, seeds=[0])
    stamps = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(stamps) == ["hard-PCGrad-0.json", "hard-equal-0.json"]
    resumed = compared(tmp_path)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in stamps} == stamps
    for variant in whole.variants:
        assert resumed.scores(*variant) == whole.scores(*variant)
    with pytest.raises(ValueError, match="made with .* 2 epochs, .*, not with .* 3 epochs"):
        compared(tmp_path, epochs=3)
    for change in ({"rate": 0.5}, {"weight": 2.0}, {"metrics": ["mae"]}):
        with pytest.raises(ValueError, match="take another folder"):
            compared(tmp_path, **change)


def test_no_two_names_share_a_file() -> None:
    names = ["c+1", "c-1", "c_1", "c 1", "c/1", "c%2D1", "α", "a.b"]
    assert len({file_name(name) for name in names}) == len(names)
    assert not any(set(file_name(name)) & set("/-\\ ") for name in names)


def test_a_comparison_tells_scores_ranks_and_gains() -> None:
    result = compared(None)
    baseline = {k: {"mse": 1.0} for k in "ab"}
    table = result.table(baseline)
    assert table.columns == ["variant", "a mse", "b mse", "Δm, %", "mean rank", "s an epoch"]
    gains = result.delta_m("hard", "equal", baseline)
    scores = result.scores("hard", "equal")
    assert gains == pytest.approx([100 * (1 - (a + b) / 2) for a, b in zip(scores["a"]["mse"], scores["b"]["mse"])])
    assert table.number("equal", "Δm, %") == pytest.approx(np.mean(gains), abs=0.006)
    assert result.curve("hard", "PCGrad", "validation a mse").shape == (2, 2)
    with pytest.raises(KeyError, match="no variant"):
        result.of("soft", "equal")
    with pytest.raises(ValueError, match="at least one sharing"):
        compared(None, seeds=[])


def test_pictures_of_a_comparison_show_every_variant_and_the_front() -> None:
    result = compared(None)
    lines = plot.comparison(result, "validation a mse").axes[0].get_lines()
    assert len(lines) == len(result.variants)
    np.testing.assert_allclose(lines[0].get_ydata(), result.curve("hard", "equal", "validation a mse").mean(axis=0))
    panel = plot.pareto(result, ("a", "mse"), ("b", "mse")).axes[0]
    assert [t.get_text() for t in panel.get_legend().get_texts()] == ["equal", "PCGrad"]
