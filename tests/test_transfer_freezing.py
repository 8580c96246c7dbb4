"""What is frozen does not move by a byte, whatever comes; gradients pass through; names that fit nothing are refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import nn, optim, testing, transfer

NAMES = ("0", "1", "2", "3.0", "3.2")


def net() -> nn.Sequential:
    mm.manual_seed(0)
    inner = nn.Sequential(nn.Linear(16, 6), nn.Dropout(0.5), nn.BatchNorm1d(6))
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), inner, nn.Linear(6, 2))


def steps(model: nn.Module, rule: optim.Optimizer, n: int = 3) -> None:
    for _ in range(n):
        rule.zero_grad(set_to_none=False)
        model.train()
        (model(mm.randn(5, 1, 4, 4)) ** 2).mean().backward()
        rule.step()


def state(part: nn.Module) -> dict[str, bytes]:
    return {name: t.array.tobytes() for name, t in part.state_dict().items()}


@given(st.sets(st.sampled_from(["0", "1", "3.0", "3.2", "4"]), min_size=1, max_size=4))
def test_what_is_frozen_does_not_move_and_all_else_does(names: set[str]) -> None:
    """After momentum and decay have been running, over calls of train() and steps with gradients of 0."""
    model = net()
    rule = optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    steps(model, rule)
    model.requires_grad_()
    transfer.freeze(model, *names)
    parts = dict(model.named_modules())
    testing.check_frozen(model, [parts[name] for name in names], lambda: steps(model, rule, 1))


def test_requires_grad_alone_lets_statistics_drift() -> None:
    """The planted error of the test above, and what PyTorch does."""
    model = net()
    model[1].requires_grad_(False)
    rule = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(testing.GradientError, match="1.running_mean is frozen, and its bytes have changed"):
        testing.check_frozen(model, [model[1]], lambda: steps(model, rule, 1))


def test_a_frozen_part_is_a_fixed_function() -> None:
    model, x = net(), mm.randn(4, 1, 4, 4)
    transfer.freeze(model, through="3")
    model.train()
    first, second = (model[:4](x).numpy() for _ in range(2))
    assert (first == second).all()
    assert model.training and model[4].training


def test_all_but_the_head_and_back() -> None:
    model = transfer.freeze(net(), except_="4")
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["4.weight", "4.bias"]
    table = transfer.frozen(model, depth=2)
    assert {row[0]: row[3] for row in table.rows} == {
        **dict.fromkeys(["0", "1", "2", "3", "3.0", "3.1", "3.2"], "frozen"), "4": "training", "all": "training",
    }  # fmt: skip
    assert (table["all"]["parameters"], table["all"]["trainable"]) == ("176", "14")
    transfer.unfreeze(model, "3.2")
    model.train()
    modes = {row[0]: row[3] for row in transfer.frozen(model, depth=2).rows}
    assert (modes["3"], modes["3.0"], modes["3.2"]) == ("training", "frozen", "training")
    transfer.unfreeze(model).train()
    assert all(part.training for part in model.modules()) and all(p.requires_grad for p in model.parameters())


def test_by_pattern_of_parameters() -> None:
    """A part all of whose own parameters are frozen is frozen, statistics included; one that keeps a bias is not."""
    model = transfer.freeze(net(), "*.weight", "1.bias")
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["0.bias", "3.0.bias", "3.2.bias", "4.bias"]
    assert [name for name, part in model.named_modules() if part.frozen] == ["1"]


def test_by_depth() -> None:
    names = ["0", "1", "2", "3.0", "3.1", "3.2", "4"]
    for i, last in enumerate(names):
        model = transfer.freeze(net(), through=last)
        found = [name for name, part in model.named_modules() if part.frozen]
        assert [name for name in found if name in names] == names[: i + 1]


def test_a_whole_model_and_a_part_of_it() -> None:
    model = transfer.freeze(net())
    assert not any(p.requires_grad for p in model.parameters()) and not model.train().training
    model = net()
    transfer.freeze(model[3])
    assert [name for name, part in model.named_modules() if part.frozen] == ["3", "3.0", "3.1", "3.2"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda m: transfer.freeze(m, "layer5"), r"Sequential has no part or parameter 'layer5', but \['0', '0.bias'"),
        (lambda m: transfer.freeze(m, except_="4.wieght"), r"no part or parameter '4.wieght', but \['4.weight'"),
        (lambda m: transfer.freeze(m, through="9"), "no part or parameter '9'"),
        (lambda m: transfer.unfreeze(m, "fc"), "no part or parameter 'fc'"),
        (lambda m: transfer.frozen(m, 0), "depth must be at least 1"),
    ],
)
def test_refusals_leave_the_model(wrong: Any, said: str) -> None:
    model = net()
    before = state(model)
    with pytest.raises(ValueError, match=said):
        wrong(model)
    assert state(model) == before and all(p.requires_grad for p in model.parameters())
    assert not any(part.frozen for part in model.modules())


def test_a_parameter_that_is_frozen_under_one_name_and_spared_under_another_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match=r"\['1.weight'\] have another name, under which they are frozen"):
        transfer.freeze(model, "0")
    assert all(p.requires_grad for p in model.parameters())


def test_outputs_of_parts_are_captured_and_nothing_is_left_behind() -> None:
    model, x = net().eval(), mm.randn(2, 1, 4, 4)
    with nn.utils.capturing(model, "1", "3.0") as outer, nn.utils.capturing(model, "1") as inner:
        y = model(x)
    assert inner["1"] is outer["1"] and set(outer) == {"1", "3.0"}
    np.testing.assert_array_equal(model[1](model[0](x)).numpy(), outer["1"].numpy())
    assert y.shape == (2, 2) and not any("forward" in vars(part) for part in model.modules())
    with pytest.raises(ValueError, match=r"capturing: Sequential has no parts \['9'\]"), nn.utils.capturing(model, "9"):
        pass
