"""How many planted errors three gradient checks catch, and how many correct operations they flag.

The errors and operations are those of `testing.self_test`, the same for all: minimtl's `gradcheck`; PyTorch's `gradcheck` with
its defaults, on the same recipes as `torch.autograd.Function`s; and the check that textbooks print, a seed of ones against
central differences of every entry (step 1e-6, tolerances 1e-5).
"""

import warnings
from typing import Any

import numpy as np

from minimtl.autograd import differentiable
from minimtl.backend import Array
from minimtl.testing.planted import Checker, Recipe, SelfTest, finds_fault, self_test
from minimtl.testing.subject import of_function
from tests.bench import peers


def of_torch(recipe: Recipe, arrays: list[Array], seed: int) -> bool:
    """Whether PyTorch's gradcheck finds fault with the recipe."""
    torch = peers.torch()

    class Function(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            value, *ctx.maps = recipe(*(x.detach().numpy() for x in xs))
            return torch.from_numpy(np.array(value))

        @staticmethod
        def backward(ctx: Any, G: Any) -> Any:
            return tuple(torch.from_numpy(np.array(carry(G.numpy()))) for carry in ctx.maps)

    torch.manual_seed(seed)
    xs = [torch.tensor(a, requires_grad=True) for a in arrays]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return not torch.autograd.gradcheck(Function.apply, xs, raise_exception=False)
    except (RuntimeError, ValueError, IndexError):
        return True


def seeded_with_ones(recipe: Recipe, arrays: list[Array], seed: int) -> bool:
    """Whether `y.sum().backward()` differs from central differences of Σ y."""
    f, step = of_function(differentiable(recipe), arrays, None), 1e-6
    leaves = f.leaves()
    try:
        f.call(leaves).sum().backward()
    except RuntimeError:
        return True
    for k, x in enumerate(leaves):
        measured = np.zeros_like(x.array)
        for at in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = f.copies()
                moved[k][at] += sign * step
                ends.append(float(f.call(f.leaves(moved)).sum()))
            measured[at] = (ends[0] - ends[1]) / (2 * step)
        if x.grad is None or not np.allclose(x.grad.array, measured, rtol=1e-5, atol=1e-5):
            return True
    return False


CHECKS: dict[str, Checker] = {"minimtl": finds_fault, "PyTorch": of_torch, "ones": seeded_with_ones}


def main(trials: int, cases: int) -> None:
    """Print the share of errors that each check catches: of each kind that some check misses, and of all; and what it flags."""
    found: dict[str, SelfTest] = {name: self_test(trials, cases, checker=check) for name, check in CHECKS.items()}
    caught = {error: [test.caught[error] for test in found.values()] for error in found["minimtl"].caught}
    print(f"| planted error, {trials} trials of each | " + " | ".join(f"{name}, %" for name in found) + " |")
    print("|---" * (len(found) + 1) + "|")
    for error, counts in caught.items():
        if min(counts) < 0.99 * trials:
            print(f"| {error} | " + " | ".join(f"{100 * n / trials:.1f}" for n in counts) + " |")
    print(f"| all {len(caught)} kinds of error | " + " | ".join(f"{100 * test.share:.2f}" for test in found.values()) + " |")
    print(f"| correct operations flagged, of {cases:,} | " + " | ".join(str(test.flagged) for test in found.values()) + " |")
