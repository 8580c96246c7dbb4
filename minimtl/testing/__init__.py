"""Gradients that can be trusted: the checks of this project's operations, and of a reader's own.

    from minimtl import testing
    from minimtl.testing.strategies import given_grads, spaced

    testing.gradcheck(f, x, w)                      a function of tensors, at these tensors
    testing.gradcheck_module(model, x)              a module, by its inputs and by each of its parameters
    test_swish = given_grads(swish, x=spaced())     a property test: Hypothesis draws x, and shrinks what fails
    testing.check_linear_op(A, x)                   ⟨v, A u⟩ = ⟨Aᵀ v, u⟩: of a linear operation, to the last digits
    testing.self_test()                             the check checked: it must catch planted errors, and flag nothing right

All raise `GradientError`, whose text is at most 25 lines: the worst entry with your number and the measured one, the pattern
if it is a usual mistake, and a line that replays it. They return a `Report` otherwise.

What to know:

- The gradient of Σ vᵢ yᵢ is checked for random v. With v of ones, as in `y.sum().backward()`, softmax and normalisation have the
  gradient 0, and wrong ones that keep it pass.
- Differences are measured in float64, whatever the model computes in, at two steps; how far they are apart is the tolerance.
  At a kink (relu at 0, a tie of two maxima) there is no derivative: the verdict is "inconclusive", counted, and limited.
- A check compares the derivative with the values. It cannot see that a value is wrong: test that against a definition.
- Arguments should be of ordinary size and no larger than they must: a (3, 4) shows what a (300, 400) would, a hundred times faster.

What must hold of a model's gradients beside their being right has checks of its own, for a reader's own models:

    check_own_parameters(losses, θ)                 ∂Lⱼ/∂θₖ = 0 for j ≠ k
    check_shared_parameters(losses, φ, α, total)    ∂L/∂φ = Σₖ αₖ ∂Lₖ/∂φ
    check_delta(model, loss)                        ∂L/∂θ′ = ∂L/∂θ at θ + θ′
    check_frozen(model, frozen, step)               frozen bytes are fixed, and gradients pass through

`strategies` needs Hypothesis (extra `test`), the rest NumPy alone. Lesson 3 goes through the checks of single operations.
"""

from typing import TYPE_CHECKING, Any

from minimtl.testing.check import gradcheck, gradcheck_module
from minimtl.testing.linear import check_linear_op
from minimtl.testing.planted import self_test
from minimtl.testing.properties import check_delta, check_frozen, check_own_parameters, check_shared_parameters
from minimtl.testing.report import GradientError, Report

if TYPE_CHECKING:
    from minimtl.testing import strategies


def __getattr__(name: str) -> Any:
    """`testing.strategies`, imported when it is asked for, since it needs Hypothesis."""
    if name == "strategies":
        import importlib

        return importlib.import_module("minimtl.testing.strategies")
    raise AttributeError(f"module 'minimtl.testing' has no attribute {name!r}")
