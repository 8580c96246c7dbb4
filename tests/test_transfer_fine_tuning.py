"""Heads that are replaced or resized; which layers move, when, and how fast."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import mtl, nn, optim, transfer
from minimtl.training import Scheduled


class Net(nn.Module):
    """Three layers with names."""

    def __init__(self) -> None:
        self.conv1, self.conv2, self.fc = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.fc(self.conv2(self.conv1(x).relu()).relu())


def net(seed: int = 0) -> Net:
    mm.manual_seed(seed)
    return Net()


def batches(classes: int = 3) -> list[tuple[mm.Tensor, mm.Tensor]]:
    mm.manual_seed(1)
    return [(mm.randn(6, 4), mm.randint(classes, (6,))) for _ in range(2)]


def trainer(model: nn.Module, lr: float = 0.1, groups: Any = None) -> mtl.Trainer:
    task = mtl.Task("y", nn.CrossEntropyLoss(), metrics=["accuracy"])
    return mtl.Trainer(model, [task], optim.SGD(groups or model.parameters(), lr=lr, momentum=0.9))


def state(model: nn.Module) -> dict[str, bytes]:
    return {name: t.array.tobytes() for name, t in model.state_dict().items()}


def moved(model: nn.Module, before: dict[str, bytes]) -> list[str]:
    """The layers of which a parameter has changed."""
    return sorted({name.split(".")[0] for name, data in state(model).items() if data != before[name]})


# Heads


def test_a_replaced_head_is_what_is_trained_on_a_frozen_trunk() -> None:
    model = transfer.freeze(net())
    assert transfer.replace_head(model, "fc", nn.Linear(6, 2)) is model
    before = state(model)
    trainer(model).fit(batches(2), verbose=False)
    assert moved(model, before) == ["fc"] and model.training and not model.conv1.training
    two = mtl.HardSharing(net().conv1, {"a": nn.Linear(5, 2), "b": nn.Linear(5, 1)})
    transfer.replace_head(two, "heads.a", nn.Linear(5, 7))
    assert two(mm.randn(3, 4))["a"].shape == (3, 7)


@given(st.lists(st.none() | st.integers(0, 2), min_size=1, max_size=6), st.booleans())
def test_a_resized_head_keeps_the_classes_that_stay(keep: list[int | None], bias: bool) -> None:
    model, x = net(), mm.randn(4, 4)
    model.fc = nn.Linear(6, 3, bias=bias)
    before = model(x).numpy()
    after = transfer.resize_head(model, "fc", keep)(x).numpy()
    assert after.shape == (4, len(keep)) and (model.fc.bias is not None) == bias
    for i, j in enumerate(keep):
        if j is not None:
            np.testing.assert_allclose(after[:, i], before[:, j], rtol=1e-5, atol=1e-6)
    assert all(p.requires_grad for p in model.fc.parameters())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda m: transfer.replace_head(m, "fcc", nn.Linear(6, 2)), r"Net has no part 'fcc', but \['fc'"),
        (lambda m: transfer.replace_head(m, "fc", nn.Linear(7, 2)), "'fc' gets 6 features, the new head takes 7"),
        (lambda m: transfer.resize_head(m, "fc", [3]), r"classes from 0 to 2, or None for a new one, got \[3\]"),
        (lambda m: transfer.resize_head(m, "fc", []), "keep must name classes"),
        (lambda m: transfer.discriminative(m, 0.1, layers=["conv1", "fc"]), r"leave out \['conv2.weight', 'conv2.bias'\]"),
        (lambda m: transfer.discriminative(m, 0.0), "needs lr > 0 and decay ≥ 1"),
        (lambda m: transfer.GradualUnfreezing(every=0), "every must be an integer ≥ 1"),
        (lambda m: transfer.SlantedTriangularLR(optim.SGD(m.parameters(), lr=1), 1), "needs steps ≥ 2"),
    ],
)
def test_refusals_leave_the_model(wrong: Any, said: str) -> None:
    model = net()
    before = state(model)
    with pytest.raises(ValueError, match=said):
        wrong(model)
    assert state(model) == before


def test_only_a_linear_head_can_be_resized() -> None:
    with pytest.raises(TypeError, match="'1' must be a Linear, is a ReLU"):
        transfer.resize_head(nn.Sequential(nn.Linear(1, 1), nn.ReLU()), "1", [0])


# Rates


def test_every_layer_has_a_rate_of_its_own_and_moves_by_it() -> None:
    model = net()
    groups = transfer.discriminative(model, 0.1, 2.0)
    assert [group["lr"] for group in groups] == pytest.approx([0.025, 0.05, 0.1])
    assert [p for group in groups for p in group["params"]] == list(model.parameters())
    plain, before = net(), {name: p.array.copy() for name, p in net().named_parameters()}
    for one, given_ in ((model, groups), (plain, None)):
        rule = optim.SGD(given_ or one.parameters(), lr=0.1)
        (one(batches()[0][0]) ** 2).mean().backward()
        rule.step()
    for name, p in model.named_parameters():
        share = {"conv1": 0.25, "conv2": 0.5, "fc": 1.0}[name.split(".")[0]]
        step = dict(plain.named_parameters())[name].array - before[name]
        np.testing.assert_allclose(p.array - before[name], share * step, rtol=1e-3, atol=1e-7)


def test_a_parameter_of_two_layers_counts_for_the_lower_one() -> None:
    model = net()
    model.conv2 = nn.Linear(5, 5)
    model.fc = nn.Linear(5, 3)
    model.fc2 = model.conv2
    groups = transfer.discriminative(model, 1.0, layers=["conv1", "conv2", "fc", "fc2"])
    assert [len(group["params"]) for group in groups] == [2, 2, 2, 0]


def test_a_slanted_triangle_is_the_papers() -> None:
    T, cut = 40, 0.1
    run = trainer(net(), lr=2.0)
    schedule, rates = transfer.SlantedTriangularLR(run.optimizer, T, cut), []
    for t in range(T):
        rates.append(run.optimizer.param_groups[0]["lr"])
        p = t / 4 if t < 4 else 1 - (t - 4) / (4 * (1 / cut - 1))
        assert rates[-1] == pytest.approx(2.0 * (1 + p * 31) / 32)
        schedule.step()
    assert rates.index(max(rates)) == 4 and max(rates) == 2.0
    run = trainer(net(), lr=2.0)
    run.fit(batches(), 3, verbose=False, callbacks=[Scheduled(transfer.SlantedTriangularLR(run.optimizer, 6), "step")])
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(2.0 / 32)


# Which layers, when


@pytest.mark.parametrize(("every", "wanted"), [(1, [1, 2, 3, 3, 3]), (2, [1, 1, 2, 2, 3])])
def test_a_layer_more_is_trained_in_every_epoch_from_the_top(every: int, wanted: list[int]) -> None:
    model, found = net(), []

    class Watched(transfer.GradualUnfreezing):
        def before_epoch(self, run: Any, epoch: int, epochs: int) -> None:
            super().before_epoch(run, epoch, epochs)
            self.state = state(run.model)

        def after_epoch(self, run: Any, row: Any) -> bool:
            found.append(moved(run.model, self.state))
            return False

    trainer(model).fit(batches(), 5, verbose=False, callbacks=[Watched(["conv1", "conv2", "fc"], every)])
    assert found == [["conv1", "conv2", "fc"][-n:] for n in wanted]


def test_the_head_first_then_all() -> None:
    model, rates = net(), {1: 0.1, 2: 0.01}
    seen: list[list[str]] = []

    def fit(m: Net, stage: int) -> int:
        before = state(m)
        trainer(m, rates[stage]).fit(batches(), verbose=False)
        seen.append(moved(m, before))
        return stage

    assert transfer.two_stage(model, "fc", fit) == (1, 2)
    assert seen == [["fc"], ["conv1", "conv2", "fc"]]
    seen.clear()
    transfer.two_stage(net(), "fc", fit, after=lambda m: transfer.unfreeze(m, "conv2"))
    assert seen == [["fc"], ["conv2", "fc"]]


def test_the_three_schemes_are_compared_in_one_call() -> None:
    source = net(7)
    before = state(source)
    make = transfer.schemes(source, net, lambda m: transfer.replace_head(m, "fc", nn.Linear(6, 2)), through="conv1")
    full, partial, zero = (make[name]() for name in ("full", "partial", "zero"))
    assert [name for name, p in partial.named_parameters() if not p.requires_grad] == ["conv1.weight", "conv1.bias"]
    assert all(p.requires_grad for model in (full, zero) for p in model.parameters())
    assert full.conv2.weight.array.tobytes() == before["conv2.weight"] == partial.conv2.weight.array.tobytes()
    assert zero.conv1.weight.array.tobytes() != before["conv1.weight"]
    frozen = transfer.schemes(source, net, lambda m: transfer.replace_head(m, "fc", nn.Linear(6, 2)))["partial"]()
    assert [name for name, p in frozen.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]
    result = mtl.compare(
        [mtl.Task("y", nn.CrossEntropyLoss(), metrics=["accuracy"])], lambda seed: (batches(2), batches(2)), make,
        {"": dict}, lambda p: optim.SGD(p, lr=0.1), 2, range(2), verbose=False,
    )  # fmt: skip
    assert [row[0] for row in result.table().rows] == ["full", "partial", "zero"]
    assert state(source) == before
