"""Every operation of the table beside PyTorch's, in float64: values and gradients to 1e-10, at smooth points and at kinks and ties."""

import warnings

import numpy as np
import pytest
from draws import Draw
from hypothesis import given
from hypothesis import strategies as st
from operations import OPERATIONS, cotangents, outputs_of, pulled_back, tensors

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
pytestmark = pytest.mark.oracle

ROWS = [row for row in OPERATIONS if row.torch]


def close(ours, theirs, what):
    """Equal to 1e-10, of each number or of the largest: what cancels to nearly 0 keeps the rounding of the terms."""
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, PyTorch's {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: {ours.dtype}, PyTorch's {theirs.dtype}"
    scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=1.0) if theirs.dtype.kind == "f" else 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14 * scale, err_msg=what)


def compare(row, call, rng):
    leaves, theirs = tensors(row.leaves(call)), []

    def leaf(a):
        theirs.append(torch.tensor(a, requires_grad=True))
        return theirs[-1]

    args, kwargs = row.filled(call, leaf, torch.tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch's advice on "mean" and on too few degrees of freedom
        wanted = outputs_of(row.of_torch(torch)(*args, **kwargs))
    ours = row(call, leaves)
    assert len(ours) == len(wanted)
    for y, w in zip(ours, wanted, strict=True):
        close(y.array, w.detach().numpy(), "value")
        assert y.requires_grad == w.requires_grad
    vs = cotangents(ours, rng)
    ends = [(w, torch.tensor(v)) for w, v in zip(wanted, vs, strict=True) if v is not None]
    if ends:
        torch.autograd.backward(*map(list, zip(*ends, strict=True)))
    for k, (g, t) in enumerate(zip(pulled_back(ours, leaves, vs), theirs, strict=True)):
        close(g, np.zeros_like(g) if t.grad is None else t.grad.numpy(), f"gradient {k}")


@pytest.mark.parametrize("points", ["smooth", "tied"])
@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_agrees(row, points):
    @st.composite
    def calls(draw):
        d = Draw(draw, points == "tied")
        return d, row.draws(d)

    @given(calls())
    def check(drawn):
        d, call = drawn
        compare(row, call, d.rng)

    check()
