"""Every operation of the table beside PyTorch's, in float64: values and gradients to 1e-10; and the types that operands meet in."""

import itertools
import operator
import warnings

import numpy as np
import pytest
from draws import Draw
from hypothesis import given
from hypothesis import strategies as st
from operations import LAYOUTS, OPERATIONS, cotangents, outputs_of, pulled_back, tensors

import minimtl as mm

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
pytestmark = pytest.mark.oracle


def close(ours, theirs, what):
    """Each number to 1e-10, but for what cancels to nearly 0: it keeps the rounding of its terms, here up to 1e-13."""
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), what
    scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=1.0) if theirs.dtype.kind == "f" else 0.0
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13 * scale, err_msg=what)


def compare(row, call, rng, layout, repeats):
    """Values, gradients and which outputs have any are PyTorch's."""
    arrays = row.leaves(call)
    leaves = tensors([layout(a) for a in arrays])
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    if repeats and (pair := row.repeated(call)):
        i, j = pair
        leaves[i], theirs[i] = leaves[j], theirs[j]
    ours = row(call, leaves)
    queue = iter(theirs)
    args, kwargs = row.filled(call, lambda a: next(queue), torch.tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice on the mean of kl_div, and on too few degrees of freedom
        wanted = outputs_of(row.of_torch(torch)(*args, **kwargs))
    for y, w in zip(ours, wanted, strict=True):
        close(y.array, w.detach().numpy(), "value")
        assert y.requires_grad == w.requires_grad
    vs = cotangents(ours, rng)
    ends = [(w, torch.tensor(v)) for w, v in zip(wanted, vs, strict=True) if v is not None]
    if ends:
        torch.autograd.backward([w for w, _ in ends], [v for _, v in ends])
    for k, (g, t) in enumerate(zip(pulled_back(ours, leaves, vs), theirs, strict=True)):
        close(g, np.zeros_like(g) if t.grad is None else t.grad.numpy(), f"gradient {k}")


@pytest.mark.parametrize("points", ["smooth", "tied"])
@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.torch], ids=repr)
def test_agrees(row, points):
    @st.composite
    def calls(draw):
        d = Draw(draw, points == "tied")
        return d, row.draws(d)

    @given(calls(), st.sampled_from([np.asarray, *LAYOUTS]), st.booleans())
    def check(drawn, layout, repeats):
        d, call = drawn
        compare(row, call, d.rng, layout, repeats)

    check()


NUMBERS = {
    **{f"{dtype}[2]": np.array([1, 2], dtype) for dtype in ("uint8", "int8", "int32", "int64", "float32", "float64", "bool")},
    **{dtype: np.array(2, dtype) for dtype in ("uint8", "int64", "float32", "float64", "bool")},
    "2": 2,
    "2.5": 2.5,
    "True": True,
}
SYMBOLS = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.mod, operator.pow, operator.and_, operator.or_,
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
]  # fmt: skip


def outcome(of, a, b, make):
    """The result as an array, or that there is none."""
    try:
        y = of(*(make(x) if isinstance(x, np.ndarray) else x for x in (a, b)))
    except (TypeError, RuntimeError, NotImplementedError):
        return None
    return np.asarray(y)


@pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda f: f.__name__)
def test_operands_meet_in_the_same_type(symbol):
    """All pairs of types, of shapes () and (2,), and Python numbers."""
    for (p, a), (q, b) in itertools.product(NUMBERS.items(), NUMBERS.items()):
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            ours, theirs = outcome(symbol, a, b, mm.Tensor), outcome(symbol, a, b, torch.tensor)
            if ours is None:
                assert theirs is None or symbol is operator.pow  # PyTorch has t ** True for a boolean t, and no other
            elif theirs is not None:
                close(ours, theirs, f"{p} {symbol.__name__} {q}")


@pytest.mark.parametrize("name", ["maximum", "minimum", "where", "cat", "stack"])
def test_tensors_meet_in_the_same_type(name):
    given_ = {label: a for label, a in NUMBERS.items() if isinstance(a, np.ndarray) and (name != "cat" or a.ndim)}
    for (p, a), (q, b) in itertools.product(given_.items(), given_.items()):
        if name in ("cat", "stack"):
            if a.shape == b.shape:
                ours, theirs = (getattr(m, name)([make(a), make(b)]) for m, make in ((mm, mm.Tensor), (torch, torch.tensor)))
                close(ours.array, theirs.numpy(), f"{p}, {q}")
            continue
        condition = [np.array([True, False])] if name == "where" else []
        ours = getattr(mm, name)(*map(mm.Tensor, [*condition, a, b]))
        theirs = getattr(torch, name)(*map(torch.tensor, [*condition, a, b]))
        close(ours.array, theirs.numpy(), f"{p}, {q}")
