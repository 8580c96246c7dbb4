"""Writing in place: what a recorded graph still needs is guarded, what nobody needs is free, and no gradient is shared."""

from functools import partial

import numpy as np
import pytest

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn, optim


def step_on(p):
    p.grad = mm.ones_like(p)
    optim.SGD([p], lr=0.5).step()
    p.grad = None


def load_into(p):
    layer = nn.Linear(3, 2)
    layer.weight = p
    layer.load_state_dict({"weight": mm.zeros(2, 3)}, strict=False)


def assign_data(p):
    p.data -= 1


WRITES = {
    "fill_": lambda p: p.fill_(0),
    "copy_": lambda p: p.copy_(mm.zeros(2, 3)),
    "add_": lambda p: p.add_(1),
    "sub_": lambda p: p.sub_(1, alpha=2),
    "mul_": lambda p: p.mul_(2),
    "div_": lambda p: p.div_(2),
    "setitem": lambda p: p.__setitem__((0, slice(None)), 5.0),
    "mask": lambda p: p.__setitem__(p > -9, 5.0),
    "iadd": lambda p: p.__iadd__(1),
    "isub": lambda p: p.__isub__(1),
    "imul": lambda p: p.__imul__(2),
    "itruediv": lambda p: p.__itruediv__(2),
    "detach": lambda p: p.detach().zero_(),
    "data": lambda p: p.data.zero_(),
    "data -=": assign_data,
    "row": lambda p: p[1].zero_(),
    "slice of a view": lambda p: p.reshape(6)[2:4].zero_(),
    "transposed": lambda p: p.T.zero_(),
    "unsqueezed": lambda p: p.unsqueeze(0).mul_(0),
    "parameter of it": lambda p: nn.Parameter(p).zero_(),
    "init": lambda p: nn.init.normal_(p),
    "optimiser": step_on,
    "load_state_dict": load_into,
    "same dtype": lambda p: p.to(mm.float32).zero_(),
    "same device": lambda p: p.to("cpu").zero_(),
    "contiguous": lambda p: p.contiguous().zero_(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_what_a_map_needs_must_not_be_written_to_and_what_none_needs_may(write):
    calls = []

    @mm.differentiable
    def product(a, b):
        return a * b, lambda G: calls.append("a") or G * b, lambda G: calls.append("b") or G * a

    p, q = nn.Parameter(mm.randn(2, 3)), mm.randn(2, 3, requires_grad=True)
    q.grad = mm.ones(2, 3)
    product(product(p, q), q)
    needed = product(q, product(p, q)).sum()
    free = (p + q).sum() * q.sum()
    with mm.no_grad():
        write(p)
    with pytest.raises(RuntimeError, match=r"product needs for its gradient was modified"):
        needed.backward()
    with pytest.raises(RuntimeError, match=r"product needs for its gradient was modified"):
        mm.grad(needed, q)
    assert (calls, p.grad, q.grad.tolist()) == ([], None, mm.ones(2, 3).tolist())
    free.backward()
    assert p.grad is not None


def bn(x, w, b):
    return F.batch_norm(x, None, None, w, b, training=True)


OPERATIONS = {
    "linear": (F.linear, [(4, 3), (2, 3), (2,)]),
    "conv2d": (F.conv2d, [(2, 2, 5, 5), (3, 2, 3, 3), (3,)]),
    "conv2d padded": (lambda x, w: F.conv2d(x, w, padding=1), [(2, 2, 5, 5), (3, 2, 3, 3)]),
    "conv2d 1x1": (F.conv2d, [(2, 2, 5, 5), (3, 2, 1, 1)]),
    "conv_transpose2d": (F.conv_transpose2d, [(2, 2, 5, 5), (2, 3, 3, 3), (3,)]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), [(2, 2, 4, 4)]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), [(2, 2, 4, 4)]),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, 3), [(2, 2, 4, 4)]),
    "batch_norm": (bn, [(4, 3), (3,), (3,)]),
    "batch_norm eval": (
        lambda x, m, v, w, b: F.batch_norm(x, m.detach(), (v * v).detach(), w, b),
        [(4, 3), (3,), (3,), (3,), (3,)],
    ),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (3,), w, b), [(4, 3), (3,), (3,)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(3, 4, 2), (4,), (4,)]),
    "matmul": (mm.matmul, [(2, 3), (3, 4)]),
    "einsum": (lambda a, b: mm.einsum("ij,jk->ik", a, b), [(2, 3), (3, 4)]),
    "add": (mm.add, [(2, 3), (3,)]),
    "mul": (mm.mul, [(2, 3), (3,)]),
    "div": (mm.div, [(2, 3), (3,)]),
    "maximum": (mm.maximum, [(2, 3), (3,)]),
    "where": (lambda c, a, b: mm.where(c > 0, a, b), [(2, 3), (2, 3), (3,)]),
    "exp": (mm.exp, [(3,)]),
    "relu": (F.relu, [(3,)]),
    "gelu": (F.gelu, [(3,)]),
    "sigmoid": (F.sigmoid, [(3,)]),
    "softmax": (lambda x: F.softmax(x, 0), [(3,)]),
    "logsumexp": (lambda x: mm.logsumexp(x, 0), [(3,)]),
    "sum": (mm.sum, [(3,)]),
    "max": (mm.max, [(3,)]),
    "max along": (lambda x: mm.max(x, 1).values, [(2, 3)]),
    "norm": (mm.norm, [(3,)]),
    "var": (mm.var, [(3,)]),
    "cat": (lambda a, b: mm.cat([a, b]) * mm.cat([b, a]), [(2, 3), (2, 3)]),
    "stack": (lambda a, b: mm.stack([a, b]), [(2, 3), (2, 3)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, mm.tensor([0, 2])), [(2, 3)]),
    "mse_loss": (F.mse_loss, [(2, 3), (2, 3)]),
    "getitem": (lambda x: x[1:] * x[:-1], [(4, 3)]),
    "chain": (lambda x: F.softmax(F.relu(x.reshape(6)[1:].exp()).T * 2, 0), [(2, 3)]),
}


@pytest.mark.parametrize(("f", "shapes"), OPERATIONS.values(), ids=OPERATIONS.keys())
def test_a_write_is_either_refused_or_does_not_change_any_gradient(f, shapes):
    """For each argument, and the value, written to between an operation and its backward."""
    mm.manual_seed(1)
    start = [mm.randn(*shape).array for shape in shapes]

    def run(written):
        tensors = [mm.tensor(a, requires_grad=True) for a in start]
        y = f(*tensors)
        loss = (y * mm.arange(y.numel()).reshape(*y.shape)).sum()
        if written is not None:
            ([*tensors, y][written]).detach().copy_(77.0)
        loss.backward()
        return [t.grad.array.tobytes() if t.grad is not None else None for t in tensors]

    expected = run(None)
    for written in range(len(shapes) + 1):
        try:
            assert run(written) == expected
        except RuntimeError as error:
            assert "modified in place" in str(error)


@pytest.mark.parametrize(
    ("f", "allowed"),
    [
        (lambda x, w, b: F.linear(x, w, b), {"b"}),
        (lambda x, w, b: F.linear(x.detach(), w, b), {"w", "b"}),
        (lambda x, w, b: F.linear(x, w.detach(), b), {"x", "b"}),
        (lambda x, w, b: x + b, {"x", "w", "b"}),
        (lambda x, w, b: x * w, {"b"}),
        (lambda x, w, b: (x - b).sum() * 2, {"x", "w", "b"}),
        (lambda x, w, b: x @ w, {"b"}),
        (lambda x, w, b: x.detach() @ w, {"w", "b"}),
        (lambda x, w, b: x @ b.detach(), {"x", "w"}),
    ],
)
def test_no_more_is_guarded_than_needed(f, allowed):
    for name in "xwb":
        tensors = {"x": mm.randn(3, 3), "w": mm.randn(3, 3), "b": mm.randn(3)}
        for t in tensors.values():
            t.requires_grad_()
        y = f(**tensors).sum()
        tensors[name].detach().zero_()
        if name in allowed:
            y.backward()
        else:
            with pytest.raises(RuntimeError, match="modified in place"):
                y.backward()


@pytest.mark.parametrize("index", [lambda i: i, lambda i: (slice(None), i), lambda i: (i, i)])
def test_indices_are_guarded_too(index):
    x, i = mm.randn(3, 3, requires_grad=True), mm.tensor([1, 2])
    y = x[index(i)].sum()
    i.zero_()
    with pytest.raises(RuntimeError, match="getitem needs"):
        y.backward()
    values, k = x.max(dim=1)
    k.zero_()
    with pytest.raises(RuntimeError, match="modified"):
        values.sum().backward()


@pytest.mark.parametrize(
    "map_of",
    [
        lambda x: lambda G: 2 * G * x,
        lambda x: lambda G, x=x: 2 * G * x,
        lambda x: partial(lambda x, G: 2 * G * x, x),
        lambda x: partial(lambda G, x: 2 * G * x, x=x),
        lambda x: (lambda inner: lambda G: inner(G))(lambda G: 2 * G * x),
        lambda x: (lambda parts: lambda G: 2 * G * parts[0][0])([(x, 1)]),
    ],
    ids=["closure", "default", "partial", "partial by name", "function", "list"],
)
def test_a_map_is_guarded_however_it_holds_its_arrays(map_of):
    @mm.differentiable
    def square(x):
        return x * x, map_of(x)

    x = mm.tensor([1.0, 2.0], requires_grad=True)
    y = square(x).sum()
    x.detach().zero_()
    with pytest.raises(RuntimeError, match="square needs"):
        y.backward()


def test_training_forgets_the_old_numbers():
    """The usual loop writes to parameters after backward, and the next graph is made of the new numbers."""
    model, x = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), mm.randn(5, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    first, second = model(x).sum(), (model(x) * 2).sum()  # two passes move batch statistics between them
    (first + second).backward()
    optimizer.step()
    model(x).sum().backward()


# In place


@pytest.mark.parametrize("write", [lambda x: x.add_(1), lambda x: x.zero_(), lambda x: x.__setitem__(0, 1.0)])
def test_writing_to_what_requires_a_gradient_is_refused(write):
    x = mm.ones(3, requires_grad=True)
    for t in (x, x * 1, x[1:]):
        with pytest.raises(RuntimeError, match="requires a gradient"):
            write(t)
    assert x.tolist() == [1, 1, 1]


def test_writing_what_requires_a_gradient_is_refused():
    x, y = mm.ones(3), mm.ones(3, requires_grad=True)
    for write in (lambda: x.copy_(y), lambda: x.add_(y * 2), lambda: x.__setitem__(slice(1), y[0])):
        with pytest.raises(RuntimeError, match="requires? a gradient"):
            write()
    assert x.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (lambda x: x.add_(mm.ones(4)), ValueError),
        (lambda x: x.copy_(mm.ones(2, 3)), ValueError),
        (lambda x: x.add_(0.5), TypeError),
        (lambda x: x.div_(2), TypeError),
        (lambda x: x.__setitem__(7, 1), IndexError),
        (lambda x: x.__setitem__(slice(2), mm.ones(3)), ValueError),
    ],
)
def test_numbers_that_do_not_fit_are_refused(write, error):
    x = mm.tensor([1, 2, 3])
    with pytest.raises(error):
        write(x)
    assert x.tolist() == [1, 2, 3]


def test_augmented_assignment_writes_unless_it_is_recorded():
    x = y = mm.ones(2)
    y += 1
    y -= mm.tensor([0.5, 0.5])
    y *= 4
    y /= 2
    assert y is x
    assert x.tolist() == [3, 3]
    p = total = mm.ones(2, requires_grad=True)
    total = total + 0
    total += p
    total *= p
    total.sum().backward()
    assert (p.tolist(), p.grad.tolist()) == ([1, 1], [4, 4])
    with mm.no_grad():
        q = p
        q -= 0.5 * p.grad
    assert q is p
    assert p.tolist() == [-1, -1]


# Gradients belong to one parameter


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: a + b,
        lambda a, b: (a + b) + (b + a),
        lambda a, b: a.reshape(4) + b.reshape(4),
        lambda a, b: mm.cat([a, b]),
        lambda a, b: mm.stack([a, b]),
        lambda a, b: (a.T + b.T).reshape(2, 2),
        lambda a, b: a.sum() + b.sum(),
        lambda a, b: a.mean(0) + b.mean(1),
        lambda a, b: a.expand(3, 2, 2) + b,
        lambda a, b: mm.where(a > 0, a, b),
    ],
)
@pytest.mark.parametrize("by", ["backward", "backward with a gradient", "grad"])
def test_zeroing_one_gradient_changes_no_other(f, by):
    a, b = mm.randn(2, 2, requires_grad=True), mm.randn(2, 2, requires_grad=True)
    y = f(a, b)
    v = mm.ones_like(y)
    if by == "backward":
        y.sum().backward()
    elif by == "backward with a gradient":
        y.backward(v)
    else:
        a.grad, b.grad = mm.grad(y, [a, b], v)
    before = b.grad.array.copy()
    a.grad.zero_()
    a.grad.add_(5)
    assert b.grad.array.tobytes() == before.tobytes()
    assert v.tolist() == mm.ones_like(y).tolist()


@pytest.mark.parametrize("f", [mm.sum, lambda x: x.expand(1, 1).sum(0), lambda x: mm.einsum("i->", x)])
def test_the_gradient_of_one_number_may_be_written_to(f):
    """The map of a sum repeats the gradient, which NumPy makes read-only even where it is repeated once."""
    x = mm.ones(1, requires_grad=True)
    f(x).backward()
    assert x.grad.zero_().tolist() == [0]


@pytest.mark.parametrize(
    "f", [lambda x: x.expand(2, 3), lambda x: x.expand(2, 3)[0], lambda x: x.expand(3), lambda x: x.expand(1, 3)]
)
def test_an_expanded_tensor_is_read_only(f):
    x = mm.ones(3)
    with pytest.raises(RuntimeError, match=r"in-place.*clone"):
        f(x).zero_()
    assert x.tolist() == [1, 1, 1]


@pytest.mark.parametrize("f", [lambda x: x[::2, None], lambda x: x[None]])
def test_a_new_axis_does_not_make_it_read_only(f):
    x = mm.ones(4)
    f(x)[...] = 5
    assert 5 in x.tolist()


def test_one_entry_is_a_view_as_a_row_is():
    x, y = mm.ones(3), mm.ones(2, 2)
    x[0].zero_()
    y[1, 0].zero_()
    assert (x.tolist(), y.tolist()) == ([0, 1, 1], [[1, 1], [0, 1]])


def test_the_array_of_a_tensor_is_shown_read_only():
    x = mm.ones(2)
    for shown in (x.numpy(), np.asarray(x), x.detach().numpy()):
        with pytest.raises(ValueError, match="read-only"):
            shown[0] = 5
    x.zero_()
    assert x.numpy().tolist() == [0, 0]
