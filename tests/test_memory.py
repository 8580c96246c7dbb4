"""How long a graph lives, how deep it may be, and what training leaves behind in memory."""

import contextlib
import gc
import tracemalloc
import weakref

import pytest

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn, optim
from minimtl.backend import owner
from minimtl.graph import captured

DEEP = 100_000


@mm.differentiable
def faulty(x):
    """y = x, with a map that raises."""

    def raising(G):
        raise ArithmeticError("planted")

    return x.copy(), raising


@pytest.mark.parametrize("use", ["backward", "grad", "drop"])
def test_a_deep_chain_needs_no_recursion(use):
    x, one = mm.ones(1, requires_grad=True), mm.ones(1)
    y = x
    for _ in range(DEEP):
        y = y * one
    if use == "backward":
        y.backward()
        assert x.grad.item() == 1
    elif use == "grad":
        assert mm.grad(y, x, retain_graph=True)[0].item() == 1
    y = None


@pytest.fixture
def no_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("use", ["drop", "backward", "retain", "grad", "raise", "stale"])
def test_a_dropped_graph_is_freed_at_once(use):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3))
    x = mm.randn(2, 1, 8, 8)
    h = model(x)
    loss = F.cross_entropy(faulty(h) if use == "raise" else h, mm.tensor([0, 2]))
    watched = [weakref.ref(t) for t in (x, x.array, h, h.array, loss, loss.array)]
    try:
        if use in ("backward", "raise"):
            loss.backward()
        elif use == "retain":
            loss.backward(retain_graph=True)
        elif use == "grad":
            mm.grad(loss, list(model.parameters()))
        elif use == "stale":
            x.zero_()
            loss.backward()
    except (ArithmeticError, RuntimeError):
        assert use in ("raise", "stale")
    else:
        assert use not in ("raise", "stale")
    del x, h, loss
    assert [ref() for ref in watched] == [None] * 6


@pytest.mark.usefixtures("no_gc")
def test_an_operation_that_fails_keeps_nothing_alive():
    x = mm.ones(2, requires_grad=True)
    watched = weakref.ref(x)
    with contextlib.suppress(ValueError):
        x + mm.ones(3)
    del x
    assert watched() is None


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), mm.randn(5, 8)


def cnn():
    body = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1), nn.Flatten(), nn.Linear(36, 3)
    return nn.Sequential(*body), mm.randn(5, 1, 8, 8)


@pytest.mark.parametrize("make", [mlp, cnn])
def test_memory_does_not_grow_with_the_steps(make):
    """Without a collection: of freed tuples Python keeps up to 2,000 of a length, so `tuple(generator)` must not run each step."""
    model, x = make()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    labels = mm.randint(3, (5,))

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), labels).backward()
            optimizer.step()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = train(10)
        late = train(990)
    finally:
        tracemalloc.stop()
    assert abs(late - early) <= 64 * 1024


MOVES = {
    "add": lambda x: x + 1.0,
    "sum": lambda x: x.sum(),
    "sum along": lambda x: x.sum(dim=1),
    "mean": lambda x: x.mean(),
    "reshape": lambda x: x.reshape(-1),
    "flatten": lambda x: x.flatten(),
    "permute": lambda x: x.permute(1, 0),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "expand": lambda x: x.unsqueeze(0).expand(2, 30, 40),
    "cat": lambda x: mm.cat([x, x]),
    "stack": lambda x: mm.stack([x, x]),
    "slice": lambda x: x[2:],
    "index": lambda x: x[mm.tensor([1, 1])],
    "pad": lambda x: F.pad(x, (1, 1)),
    "cast": lambda x: x.double(),
    "max along": lambda x: x.max(dim=1).values,
    "linear's bias": lambda x: F.linear(mm.ones(1, 1), mm.ones(1200, 1), x.detach().reshape(-1).requires_grad_()),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_the_graph_holds_no_numbers_where_none_are_needed(move):
    x = mm.rand(30, 40, requires_grad=True)
    y = move(x)
    held = [owner(a) for _, carry, *_ in y.grad_fn.edges for a in captured(carry)]
    assert not any(a is x.array for a in held)
    assert sum(a.size for a in held) < x.numel()
