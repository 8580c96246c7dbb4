"""Layers, losses, names and initial numbers beside PyTorch's."""

import copy
import math

import numpy as np
import pytest
from layers import LAYERS, LOSSES, weights

import minimtl as mm
from minimtl import nn

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

RNG = np.random.default_rng(5)


def close(ours, theirs, tolerance=1e-10):
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance, err_msg="minimtl, PyTorch"
    )


def twins(make, dtype="float64"):
    """The same module in both, with the same numbers."""
    ours, theirs = make(nn), make(torch.nn)
    ours.to(dtype)
    theirs.to(getattr(torch, dtype))
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.1 * torch.randn_like(p)  # weights of 1 and biases of 0 hide mistakes
    ours.load_state_dict({name: t.numpy() for name, t in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "Embedding"])
def test_a_layer_gives_the_same_values_gradients_and_buffers(name, training):
    make, shape = LAYERS[name]
    ours, theirs = (m.train(training) for m in twins(make))
    for _ in range(2):
        a = RNG.normal(size=shape)
        x, z = mm.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        y, v = ours(x * 1), theirs(z * 1)
        close(y, v)
        G = RNG.normal(size=y.shape)
        y.backward(mm.tensor(G))
        v.backward(torch.tensor(G))
        close(x.grad, z.grad)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, t in theirs.state_dict().items():
        close(ours.state_dict()[name], t)


def test_embedding_with_repeated_items():
    ours, theirs = twins(lambda n: n.Embedding(5, 3))
    k = np.array([[1, 4, 1], [0, 1, 4]])
    y, v = ours(mm.tensor(k)), theirs(torch.tensor(k))
    close(y, v)
    (y * y).sum().backward()
    (v * v).sum().backward()
    close(ours.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("make", "input", "target"), LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
def test_a_loss_gives_the_same_values_and_gradients(make, input, target, reduction):
    ours, theirs = make(nn, mm.tensor(weights), reduction), make(torch.nn, torch.tensor(weights), reduction)
    x, z = mm.tensor(input, requires_grad=True), torch.tensor(input, requires_grad=True)
    y, v = ours(x, mm.tensor(target)), theirs(z, torch.tensor(target))
    close(y, v)
    y.sum().backward()
    v.sum().backward()
    close(x.grad, z.grad)


# Batch-norm statistics


@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0, None])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_statistics_through_training_evaluation_and_empty_batches(momentum, dtype):
    ours, theirs = twins(lambda n: n.BatchNorm1d(3, momentum=momentum), dtype)
    for n, training in [(4, True), (7, True), (0, True), (3, False), (1, False), (0, False), (2, True), (5, False)]:
        a = (RNG.normal(size=(n, 3)) * 3 + 5).astype(dtype)
        y, v = ours.train(training)(mm.tensor(a)), theirs.train(training)(torch.tensor(a))
        close(y, v, 1e-10 if dtype == "float64" else 1e-5)
        for name, t in theirs.state_dict().items():
            close(ours.state_dict()[name], t, 1e-12 if dtype == "float64" else 1e-6)


def test_one_value_per_channel_is_refused_in_training():
    ours, theirs = twins(lambda n: n.BatchNorm2d(3), "float32")
    for layer, x in ((ours, mm.ones(1, 3, 1, 1)), (theirs, torch.ones(1, 3, 1, 1))):
        with pytest.raises(ValueError, match=r"more than (one|1) value per channel"):
            layer(x)


# Names


def nested(n):
    """Parts of all kinds, some of them shared, some replaced."""

    class Block(n.Module):
        def __init__(self, width):
            super().__init__()
            self.norm = n.BatchNorm1d(width)
            self.act = None
            self.fc = n.Linear(width, width)
            self.act = n.ReLU()

        def forward(self, x):
            return self.act(self.fc(self.norm(x)))

    model = n.Sequential(Block(4), Block(4), n.ModuleList([n.Linear(4, 2), n.Identity()]))
    model.add_module("heads", n.ModuleDict({"b": n.Linear(4, 2), "a": n.Linear(4, 3)}))
    model.tied = n.Linear(4, 4)
    model.tied.weight = model[0].fc.weight
    model.again = model[1]
    model[0].norm = n.LayerNorm(4)
    model[1].fc.bias = None
    return model


def test_nested_shared_and_replaced_parts_have_the_same_names_in_the_same_order():
    ours, theirs = nested(nn), nested(torch.nn)
    for names in (
        lambda m: list(m.state_dict()),
        lambda m: [name for name, _ in m.named_parameters()],
        lambda m: [name for name, _ in m.named_parameters(remove_duplicate=False)],
        lambda m: [name for name, _ in m.named_buffers()],
        lambda m: [(name, type(part).__name__) for name, part in m.named_modules()],
        lambda m: [(name, type(part).__name__) for name, part in m.named_modules(remove_duplicate=False)],
        lambda m: [name for name, _ in m.named_children()],
        lambda m: [name for name, _ in m[1:3].state_dict().items()],
        lambda m: [name for name, _ in copy.deepcopy(m).named_parameters()],
    ):
        assert names(ours) == names(theirs)
    order = [], []
    for model, seen in zip((ours, theirs), order, strict=True):
        model.apply(lambda part, seen=seen: seen.append(type(part).__name__))
    assert order[0] == order[1]
    state = {name: t.numpy() + 1 for name, t in theirs.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict({name: torch.tensor(a) for name, a in state.items()})
    for name, t in theirs.state_dict().items():
        close(ours.state_dict()[name], t, 0)


# Initial numbers


@pytest.mark.parametrize(
    "make",
    [
        lambda n: n.Linear(40, 3000),
        lambda n: n.Conv2d(6, 1000, (3, 5), groups=2),
        lambda n: n.ConvTranspose2d(8, 1000, 3, groups=2),
        lambda n: n.Embedding(300, 40),
        lambda n: n.BatchNorm2d(7),
        lambda n: n.LayerNorm((3, 4)),
        lambda n: n.GroupNorm(2, 6),
    ],
)
def test_initial_numbers_are_of_the_same_distribution(make):
    """Means and deviations of both samples within six of their standard errors, extremes within 5 %."""
    mm.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = make(nn).state_dict(), make(torch.nn).state_dict()
    for name, t in theirs.items():
        a, b = ours[name].numpy().astype(float), t.numpy().astype(float)
        n, std = a.size, b.std()
        assert abs(a.mean() - b.mean()) <= 6 * std * math.sqrt(2 / n)
        assert abs(a.std() - std) <= 6 * std * math.sqrt(1 / n)
        if "Embedding" not in str(make(nn)):
            np.testing.assert_allclose([a.min(), a.max()], [b.min(), b.max()], rtol=0.05)


@pytest.mark.parametrize(
    "draw",
    [
        lambda init, w: init.xavier_uniform_(w, gain=2.0),
        lambda init, w: init.xavier_normal_(w),
        lambda init, w: init.kaiming_uniform_(w, nonlinearity="relu"),
        lambda init, w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
        lambda init, w: init.kaiming_normal_(w, a=0.3),
        lambda init, w: init.uniform_(w, -1, 3),
        lambda init, w: init.normal_(w, 2, 0.5),
        lambda init, w: init.constant_(w, 0.25),
        lambda init, w: init.xavier_normal_(w, gain=init.calculate_gain("tanh")),
    ],
)
def test_initialisers_draw_from_the_same_distribution(draw):
    mm.manual_seed(0)
    torch.manual_seed(0)
    a, b = draw(nn.init, mm.zeros(200, 20, 3, 5)).numpy(), draw(torch.nn.init, torch.zeros(200, 20, 3, 5)).numpy()
    assert abs(a.mean() - b.mean()) <= 6 * b.std() * math.sqrt(2 / a.size)
    assert abs(a.std() - b.std()) <= 6 * b.std() * math.sqrt(1 / a.size)
