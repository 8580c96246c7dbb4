"""Schedules: which tasks take part in which step, and labels that are missing."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim
from minimtl.data import DataLoader, TensorDataset
from minimtl.mtl.batches import Epoch
from minimtl.mtl.schedule import Joint, RoundRobin, Sampled, Schedule, Sequential

SIZES = {"a": 100, "b": 10, "c": 1}


def first(schedule: Schedule, n: int, epoch: int = 1, epochs: int = 1) -> list[str]:
    """The tasks of the first n steps, where there is one a step."""
    return ["".join(now) for now in itertools.islice(schedule.steps(SIZES, epoch, epochs), n)]


def loaders(sizes: dict[str, int], batch_size: int = 2) -> dict[str, DataLoader]:
    """A loader of regression data for each task."""
    return {
        k: DataLoader(TensorDataset(mm.randn(n, 3), mm.randn(n, 1)), batch_size=batch_size, shuffle=True)
        for k, n in sizes.items()
    }


def test_the_order_of_tasks() -> None:
    assert first(Joint(), 2) == ["abc", "abc"]
    assert first(RoundRobin(), 5) == ["a", "b", "c", "a", "b"]
    assert [first(Sequential(), 1, e, 6)[0] for e in range(1, 7)] == list("aabbcc")
    assert [first(Sequential(["c", "a", "b"]), 1, e, 3)[0] for e in (1, 2, 3)] == list("cab")


@given(st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_tasks_are_drawn_in_proportion_to_a_power_of_their_size(a: float, seed: int) -> None:
    n = 4000
    counts = Counter(first(Sampled(a, generator=mm.Generator(seed)), n))
    total = sum(N**a for N in SIZES.values())
    for k, N in SIZES.items():
        p = N**a / total
        assert abs(counts[k] / n - p) < 6 * math.sqrt(p * (1 - p) / n) + 1e-12


def test_temperature_and_annealing_are_powers() -> None:
    assert Sampled.temperature(4).exponent == 0.25
    schedule = Sampled.annealed(mm.Generator(0))
    early, late = (Counter(first(schedule, 4000, e, 10))["c"] for e in (1, 10))
    for count, p in ((early, 1 / 111), (late, 1 / (100**0.2 + 10**0.2 + 1))):
        assert abs(count / 4000 - p) < 6 * math.sqrt(p / 4000)


def test_an_epoch_is_as_long_as_the_schedule_says() -> None:
    sizes = {"a": 12, "b": 3}
    for schedule, steps in ((Joint(), 6), (RoundRobin(), 8), (Sampled(), 8), (Sequential(), 6)):
        epoch = Epoch(loaders(sizes), ["a", "b"], schedule, 1, 2)
        assert len(list(epoch)) == len(epoch) == steps
    assert len(Epoch(loaders(sizes), ["a", "b"], Sequential(), 2, 2)) == 2


def test_every_sample_comes_once_in_a_round() -> None:
    own = {"a": DataLoader(TensorDataset(mm.arange(5), mm.arange(5)), batch_size=2, shuffle=True)}
    seen = [x["a"].tolist() for x, _, _ in itertools.chain(*(Epoch(own, ["a"], RoundRobin()) for _ in range(2)))]
    for once in (seen[:3], seen[3:]):
        assert sorted(itertools.chain(*once)) == [0, 1, 2, 3, 4]


def test_the_samples_of_a_plain_list_of_batches_are_counted() -> None:
    own = {k: [(mm.randn(n, 3), mm.randn(n, 1))] * 3 for k, n in (("a", 5), ("b", 1))}
    seen: list[dict[str, int]] = []

    class Told(RoundRobin):
        def steps(self, samples: Any, *place: int) -> Any:
            seen.append(dict(samples))
            return super().steps(samples, *place)

    list(Epoch(own, ["a", "b"], Told()))
    assert seen == [{"a": 15, "b": 3}]


def test_of_one_loader_each_batch_serves_the_tasks_of_its_step() -> None:
    batches = [(mm.randn(2, 3), {"a": mm.randn(2, 1), "b": mm.randn(2, 1)}) for _ in range(4)]
    assert [now for _, _, now in Epoch(batches, ["a", "b"], RoundRobin())] == [["a"], ["b"], ["a"], ["b"]]


def model() -> mtl.HardSharing:
    mm.manual_seed(0)
    return mtl.HardSharing(nn.Linear(3, 4), {"a": nn.Linear(4, 1), "b": nn.Linear(4, 1)})


def trainer(net: mtl.HardSharing, missing: float | None = None, **options: Any) -> mtl.Trainer:
    tasks = [mtl.Task(k, nn.MSELoss(), metrics=["mse"], missing=missing) for k in "ab"]
    return mtl.Trainer(net, tasks, optim.SGD(net.parameters(), lr=0.01), **options)


@pytest.mark.parametrize(
    "schedule", [Joint(), RoundRobin(), Sampled(), Sampled.annealed(), Sequential()], ids=lambda s: type(s).__name__
)
def test_every_schedule_trains_and_moves_only_the_heads_of_its_tasks(schedule: Schedule) -> None:
    net = model()
    before = {k: net.heads[k].weight.numpy().copy() for k in "ab"}
    history = trainer(net, schedule=schedule).fit(loaders({"a": 20, "b": 4}), epochs=2, verbose=False)
    trained = {k for k in "ab" if (net.heads[k].weight.numpy() != before[k]).any()}
    assert trained == {k for k in "ab" if f"{k} loss" in history.names()}
    if isinstance(schedule, Sequential):
        assert [math.isnan(v) for v in history["b loss"]] == [True, False]
        assert history.table().count("\n") >= 3


def test_the_step_of_one_task_leaves_the_other_head_alone() -> None:
    net = model()
    before = net.heads["b"].weight.numpy().copy()
    own = loaders({"a": 20, "b": 4})
    trainer(net, schedule=Sequential()).fit(own, epochs=2, verbose=False)
    assert (net.heads["b"].weight.numpy() != before).any()
    net = model()
    run = trainer(net)
    x, y = next(iter(own["a"]))
    run.step({"a": x}, {"a": y}, mtl.trainer.Means(), ["a"])
    assert (net.heads["b"].weight.numpy() == before).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Sampled(2), r"exponents must lie in \[0, 1\]"),
        (lambda: Sampled.temperature(0.5), "temperature must be at least 1"),
        (lambda: first(Sequential(), 1, 1, 4), "a multiple of as many epochs"),
        (lambda: first(Sequential(["a", "b"]), 1, 1, 2), "needs an order of"),
        (lambda: Epoch({"a": [1]}, ["a", "b"], Joint()), r"loaders are for \['a'\]"),
        (lambda: Epoch({"a": [([1], [1])], "b": []}, ["a", "b"], Joint()), r"\['b'\] have no batch"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


# Missing labels


def test_a_missing_label_counts_for_nothing() -> None:
    """Losses, metrics and gradients are those of the samples that have one, for NaN and for a number."""
    for missing in (math.nan, -100.0):
        net, x = model(), mm.randn(6, 3)
        y = {k: mm.randn(6, 1) for k in "ab"}
        holes = y["a"].numpy().copy()
        holes[[1, 4]] = missing
        run = trainer(net, missing=missing)
        history = run.fit([(x, {"a": mm.tensor(holes), "b": y["b"]})], verbose=False)
        fresh, rows = model(), [0, 2, 3, 5]
        L = nn.functional.mse_loss(fresh({"a": x[rows]})["a"], y["a"][rows])
        L = L + nn.functional.mse_loss(fresh({"b": x})["b"], y["b"])
        for p, q, g in zip(net.parameters(), fresh.parameters(), mm.grad(L, [*fresh.parameters()])):
            np.testing.assert_allclose(p.numpy(), q.numpy() - 0.01 * g.numpy(), rtol=1e-5, atol=1e-6)
        assert history["a mse"] == pytest.approx(history["a loss"], rel=1e-6)


def test_a_task_without_any_label_takes_no_part() -> None:
    net, x, nothing = model(), mm.randn(4, 3), mm.full((4, 1), math.nan)
    run, before = trainer(net, missing=math.nan), net.heads["a"].weight.numpy().copy()
    history = run.fit([(x, {"a": nothing, "b": mm.randn(4, 1)})], verbose=False)
    assert (net.heads["a"].weight.numpy() == before).all()
    assert "a loss" not in history.names()
    with pytest.raises(ValueError, match="no batch with a label"):
        run.fit([(x, {"a": nothing, "b": nothing})], verbose=False)


def test_a_sample_counts_by_its_labels_in_the_means() -> None:
    """Two batches, of which the second has one label of task a: it counts a quarter of the first, which has four."""
    net, run = model(), trainer(model(), missing=math.nan)
    x, y = mm.randn(8, 3), mm.randn(8, 1)
    holes = y.numpy().copy()
    holes[5:] = math.nan
    batches = [(x[i : i + 4], {"a": mm.tensor(holes[i : i + 4]), "b": y[i : i + 4]}) for i in (0, 4)]
    wanted = nn.functional.mse_loss(net({"a": x[:5]})["a"], y[:5]).item()
    assert run.evaluate(batches)["a loss"] == pytest.approx(wanted, rel=1e-5)
