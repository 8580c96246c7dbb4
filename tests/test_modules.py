"""Modules: their parts, names and states, what loading refuses, and what layers do besides their operation."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import nn, optim


class Block(nn.Module):
    """Parts of all kinds, assigned in an order of their own."""

    def __init__(self, width=3):
        super().__init__()
        self.scale = nn.Parameter(mm.ones(width))
        self.fc = nn.Linear(width, width)
        self.register_buffer("mean", mm.zeros(width))
        self.register_buffer("scratch", mm.zeros(1), persistent=False)
        self.register_buffer("nothing", None)
        self.shift = nn.Parameter(mm.zeros(width))
        self.note = mm.ones(2)  # a plain tensor is no part

    def forward(self, x):
        return self.fc(x) * self.scale + self.shift - self.mean


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.heads = nn.ModuleDict({"digit": nn.Linear(3, 10), "parity": nn.Linear(3, 2, bias=False)})

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return {name: head(x) for name, head in self.heads.items()}


OWN = ["scale", "shift", "mean", "fc.weight", "fc.bias"]
KEYS = [f"blocks.{i}.{key}" for i in (0, 1) for key in OWN] + ["heads.digit.weight", "heads.digit.bias", "heads.parity.weight"]


def bytes_of(module):
    return {name: t.array.tobytes() for name, t in module.state_dict().items()}


# Parts and names


def test_the_state_has_parameters_then_buffers_then_parts_in_the_order_of_assignment():
    net = Net()
    assert list(net.state_dict()) == KEYS
    assert [name for name, _ in net.named_parameters()] == [key for key in KEYS if "mean" not in key]
    assert [name for name, _ in Block().named_buffers()] == ["mean", "scratch"]
    assert next(net.named_parameters("model"))[0] == "model.blocks.0.scale"
    assert all(not t.requires_grad for t in net.state_dict().values())
    net.state_dict()["blocks.0.scale"].fill_(5)
    assert net.blocks[0].scale.tolist() == [5, 5, 5]


def test_what_becomes_a_part_late_stands_last_and_a_replaced_part_keeps_its_place():
    net = nn.Module()
    net.late = net.early = None
    net.first, net.second = nn.Linear(1, 1), nn.Parameter(mm.ones(1))
    net.late = nn.Linear(1, 1)
    net.first = nn.Identity()
    net.second = nn.Parameter(mm.zeros(2))
    assert [name for name, _ in net.named_modules()] == ["", "first", "late"]
    assert net.state_dict()["second"].tolist() == [0, 0]
    net.late = None
    del net.first
    assert list(net.state_dict()) == ["second"]


def test_shared_parts_are_one_parameter_under_each_of_their_names():
    net = nn.Module()
    net.a = nn.Linear(2, 2)
    net.b = nn.Sequential(net.a, nn.ReLU(), net.a)
    net.c = nn.Linear(2, 2, bias=False)
    net.c.weight = net.a.weight
    assert len(list(net.parameters())) == 2
    assert list(net.state_dict()) == ["a.weight", "a.bias", "b.0.weight", "b.0.bias", "b.2.weight", "b.2.bias", "c.weight"]
    assert [name for name, _ in net.named_modules()] == ["", "a", "b", "b.1", "c"]
    assert len(list(net.named_modules(remove_duplicate=False))) == 7
    assert len(list(net.named_parameters(remove_duplicate=False))) == 7
    assert (len(net.b), len(list(net.b)), len(list(net.b.children()))) == (3, 3, 2)
    other = copy.deepcopy(net)
    assert other.c.weight is other.a.weight is other.b[2].weight
    assert other.a.weight is not net.a.weight
    assert net.load_state_dict(other.state_dict()) == ([], [])


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale", mm.ones(3)), ("scale", 1.0), ("fc", mm.ones(3)), ("fc", "linear"), ("mean", 0.0), ("mean", np.zeros(3))],
)
def test_a_part_is_not_replaced_by_something_else(name, value):
    block = Block()
    before, old = bytes_of(block), getattr(block, name)
    with pytest.raises(TypeError, match=name):
        setattr(block, name, value)
    assert getattr(block, name) is old
    assert bytes_of(block) == before


@pytest.mark.parametrize("name", ["", "a.b", "forward", "train", 3])
def test_names_that_cannot_be_part_of_a_key_are_refused(name):
    for add in (Block().add_module, lambda name, module: nn.ModuleDict({name: module})):
        with pytest.raises(KeyError, match="cannot name a part"):
            add(name, nn.ReLU())
    with pytest.raises(KeyError, match="cannot name a part"):
        Block().register_buffer(name, mm.ones(1))


def test_a_part_does_not_take_the_name_of_something_else():
    for add in (lambda: Block().add_module("note", nn.ReLU()), lambda: Block().register_buffer("fc", mm.ones(1))):
        with pytest.raises(KeyError, match="cannot name a part"):
            add()


def test_only_modules_and_tensors_are_parts():
    with pytest.raises(TypeError, match="must be a Module, got function"):
        nn.Sequential(nn.Linear(1, 1), lambda x: x)
    with pytest.raises(TypeError, match="must be a Tensor or None, got list"):
        nn.Module().register_buffer("mean", [0.0])
    with pytest.raises(TypeError, match="needs a Tensor, got ndarray"):
        nn.Parameter(np.zeros(2))
    with pytest.raises(TypeError, match="int64"):
        nn.Parameter(mm.tensor([1]))
    with pytest.raises(TypeError, match="Module defines no forward"):
        nn.Module()(1)


def test_containers():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Linear(2, 2)
    s = nn.Sequential(a, b, c)
    assert (s[0], s[-1], list(s[1:]), len(s)) == (a, c, [b, c], 3)
    assert list(s[2:].state_dict()) == ["2.weight", "2.bias"]
    assert list(nn.ModuleList([a, c])[1:].state_dict()) == ["0.weight", "0.bias"]
    with pytest.raises(IndexError):
        s[3]
    named = nn.Sequential({"act": a, "fc": c})
    named[0] = b
    named[-1] = nn.Identity()
    assert [name for name, _ in named.named_children()] == ["act", "fc"]
    assert named[0] is b
    assert nn.ModuleList().append(a)[0] is a
    d = nn.ModuleDict({"x": a})
    d["y"] = c
    assert (list(d), list(d.keys()), list(d.values()), "y" in d, len(d)) == (["x", "y"], ["x", "y"], [a, c], True, 2)
    with pytest.raises(KeyError, match=r"no part 'z'; there are \['x', 'y'\]"):
        d["z"]


def test_repr_shows_the_tree():
    net = nn.Sequential({"conv": nn.Conv2d(1, 2, 3), "rest": nn.Sequential(nn.ReLU(), nn.Linear(2, 1))})
    assert repr(net).splitlines() == [
        "Sequential(",
        "  (conv): Conv2d(in_channels=1, out_channels=2, kernel_size=(3, 3), stride=(1, 1), padding=(0, 0), "
        "dilation=(1, 1), groups=1)",
        "  (rest): Sequential(",
        "    (0): ReLU()",
        "    (1): Linear(in_features=2, out_features=1)",
        "  )",
        ")",
    ]
    assert repr(nn.Parameter(mm.ones(1))) == "Parameter containing:\ntensor([1.], requires_grad=True)"


# Loading


faults = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["missing", "shape", "text", "none", "ragged"]))


@given(faults, st.lists(st.sampled_from(["extra", "heads.pose.weight", "blocks.2.mean"]), unique=True), st.booleans())
def test_a_state_that_does_not_fit_is_refused_with_all_its_faults_and_changes_nothing(bad, extra, strict):
    net, state = Net(), {key: t.clone() + 1 for key, t in Net().state_dict().items()}
    values = {"shape": mm.ones(7, 7), "text": "text", "none": None, "ragged": [[1.0], [1.0, 2.0]]}
    for key, fault in bad.items():
        state[key] = values.get(fault)
        if fault == "missing":
            del state[key]
    state |= dict.fromkeys(extra, mm.ones(1))
    before = bytes_of(net)
    serious = set(bad) | set(extra) if strict else {key for key, fault in bad.items() if fault != "missing"}
    if serious:
        with pytest.raises(RuntimeError, match="does not fit Net") as info:
            net.load_state_dict(state, strict)
        lines = str(info.value).splitlines()[1:]
        assert len(lines) == len(serious)
        assert all(any(key in line for line in lines) for key in serious)
        assert bytes_of(net) == before
    else:
        missing, unexpected = net.load_state_dict(state, strict)
        assert (set(missing), set(unexpected)) == (set(bad), set(extra))
        assert all(net.state_dict()[key].tolist() == state[key].tolist() for key in KEYS if key in state)


@pytest.mark.parametrize("state", [None, "scale", [("scale", 1)]])
def test_a_state_is_a_mapping(state):
    with pytest.raises(TypeError, match="mapping"):
        Block().load_state_dict(state)


def test_loading_copies_casts_and_keeps_the_parameters_themselves():
    block = Block()
    scale, state = block.scale, {"scale": np.full(3, 2.5), "fc.bias": [1, 2, 3]}
    block.load_state_dict(state, strict=False)
    state["scale"][:] = 9
    assert block.scale is scale
    assert (scale.dtype, scale.tolist(), block.fc.bias.tolist()) == (mm.float32, [2.5] * 3, [1, 2, 3])


# Everything at once


def test_train_eval_requires_grad_and_zero_grad_reach_every_part():
    net = Net()
    assert all(not m.training for m in net.eval().modules())
    assert all(m.training for m in net.train().modules())
    sum(y.sum() for y in net(mm.randn(4, 3)).values()).backward()
    grads = [p.grad for p in net.parameters()]
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.any() for p in net.parameters())
    assert any(g.any() for g in grads)
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert not any(p.requires_grad for p in net.requires_grad_(False).parameters())
    assert not net(mm.randn(4, 3))["digit"].requires_grad


def test_apply_visits_parts_in_order_before_what_holds_them():
    a, b = nn.ReLU(), nn.Tanh()
    inner = nn.Sequential(a, b)
    outer = nn.Sequential(inner, b)
    seen = []
    assert outer.apply(seen.append) is outer
    assert seen == [a, b, inner, b, outer]


def test_a_copy_is_independent_and_the_same_otherwise():
    net = Net()
    net(mm.randn(2, 3))["digit"].sum().backward()
    net.blocks[0].requires_grad_(False)
    other = copy.deepcopy(net)
    assert bytes_of(other) == bytes_of(net)
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        assert type(q) is nn.Parameter
        assert p.requires_grad == q.requires_grad
        assert (q.grad is None) == (p.grad is None)
        q.detach().fill_(7)
        assert not (p == 7).any()
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(mm.ones(1, requires_grad=True) * 2)


def test_another_dtype_leaves_the_parameters_known_to_an_optimiser():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    assert net.double()[1].running_mean.dtype == mm.float64
    assert net[1].num_batches_tracked.dtype == mm.int64
    net(mm.randn(3, 2, dtype="float64")).sum().backward()
    before = net[0].bias.tolist()
    net[0].bias.grad = mm.ones(2, dtype="float64")
    optimizer.step()
    assert net[0].bias.tolist() == [b - 1 for b in before]
    assert net.float()[0].weight.dtype == mm.float32


# Layers


def test_the_same_seed_gives_the_same_bytes_and_no_global_state_is_used():
    def make():
        mm.manual_seed(3)
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Linear(5, 6), nn.Embedding(7, 2), nn.ConvTranspose2d(2, 2, 2))

    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = bytes_of(make())
    assert first == bytes_of(make())
    assert len(set(first.values())) == len(first)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(0, 1),
        lambda: nn.Linear(2, 1.5),
        lambda: nn.Conv2d(3, 4, 0),
        lambda: nn.Conv2d(3, 4, 3, stride=0),
        lambda: nn.Conv2d(3, 4, 3, padding=-1),
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.ConvTranspose2d(4, 3, 3, groups=2),
        lambda: nn.MaxPool2d((2, 2, 2)),
        lambda: nn.AvgPool2d(2, stride=-1),
        lambda: nn.BatchNorm2d(-3),
        lambda: nn.LayerNorm(()),
        lambda: nn.LayerNorm((2, 0)),
        lambda: nn.GroupNorm(2, 3),
        lambda: nn.Dropout(1.5),
        lambda: nn.Embedding(0, 2),
        lambda: nn.MSELoss("average"),
        lambda: nn.MSELoss("batchmean"),
    ],
)
def test_layers_refuse_what_makes_no_sense(make):
    with pytest.raises((ValueError, TypeError), match=r"\w+: "):
        make()


def test_batch_norm_statistics_move_in_training_only_and_not_where_the_call_fails():
    layer = nn.BatchNorm1d(3)
    untouched = bytes_of(layer)
    with pytest.raises(ValueError, match="more than one value"):
        layer(mm.randn(1, 3))
    with pytest.raises(ValueError, match="3 channels"):
        layer(mm.randn(4, 2))
    layer.eval()(mm.randn(4, 3))
    assert bytes_of(layer) == untouched
    layer.train().requires_grad_(False)(mm.randn(0, 3))
    assert layer.num_batches_tracked.item() == 1
    assert [layer.running_mean.tolist(), layer.running_var.tolist()] == [[0] * 3, [1] * 3]
    x = mm.randn(4, 3) + 5
    layer(x)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * x.mean(0).numpy(), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * x.var(0).numpy(), rtol=1e-6)


def test_dropout_scales_what_it_keeps_and_does_nothing_in_evaluation():
    x = mm.ones(10_000)
    layer = nn.Dropout(0.3, generator=mm.Generator(1))
    y = layer(x)
    assert set(y.tolist()) == {0.0, (x / 0.7)[0].item()}
    assert abs(y.mean().item() - 1) < 0.03
    assert layer(x).tolist() != y.tolist()
    assert nn.Dropout(0.3, generator=mm.Generator(1))(x).tolist() == y.tolist()
    assert layer.eval()(x) is x
    assert not nn.Dropout(1.0)(x).any()
