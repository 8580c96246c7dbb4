# %% [markdown]
r"""
# Trusting a gradient: check it, break it, let a machine look for the counterexample

**Goal** Write an operation with a wrong derivative, find the mistake with one line, mend it; see why the check that most people
write first, of the sum of the outputs, sees nothing at a softmax; and test an operation of your own for everything at once.

**Needs** Lesson 1, and Hypothesis: `pip install -e '.[test]'`.  **Time** 15 minutes.

**The mathematics** An operation $y = f(x)$ sends a gradient $G = \partial L / \partial y$ back as
$\partial L / \partial x = J^T G$, with $J = \partial f / \partial x$. For any $G$ of y's shape and any direction $u$ of x's

$$(J^T G) \cdot u = \frac{d}{dt}\, G \cdot f(x + t u) \Big|_{t=0} \approx \frac{G \cdot f(x + h u) - G \cdot f(x - h u)}{2h}$$

On the left is what the operation says, on the right what its values do. If they agree for random $G$ and $u$, the derivative is
right: a wrong one would have to be wrong in directions that chance avoided.
"""

# %%
import argparse

import numpy as np
from hypothesis import settings

import minimtl as mm
import minimtl.nn.functional as F
from minimtl.testing import GradientError, gradcheck
from minimtl.testing.strategies import given_grads, register_profiles, spaced
from minimtl.training import say

# %% [markdown]
r"""
**An operation with a mistake** Swish is $y = x\,\sigma(x)$. Its derivative has two terms,
$\sigma(x) + x\,\sigma(x)(1 - \sigma(x))$; here the second is forgotten. A network trains with it all the same, only worse:
nothing crashes, so somebody must look.
"""


# %%
@mm.differentiable
def hasty_swish(x):
    """y = x σ(x)"""
    s = 1 / (1 + np.exp(-x))
    return x * s, lambda G: G * s


def message(check) -> str:
    """What the check says: nothing, or its error."""
    try:
        check()
    except GradientError as error:
        return str(error)
    return ""


# %% [markdown]
r"""
**One line** `gradcheck(hasty_swish, x)`. Read its message from the top: the worst entry with your number beside the measured one; the
pattern, if it is a usual mistake; and since this function works on each entry alone, a table of f′ itself. Yours is σ(x): the term that
is missing is 0 at x = 0 and grows on both sides, as x does.

**Smaller** `given_grads(hasty_swish, x=spaced())` is a whole test. Hypothesis draws tensors of many shapes and, once one fails,
makes it as small as it can: its counterexample is a single number. `spaced` draws numbers away from 0 and from each other, where
|x|, max and relu have their kinks: no difference quotient means anything across a kink.
"""

# %%
test_hasty_swish = given_grads(hasty_swish, x=spaced())

# %% [markdown]
r"""
**Mended** The product rule has two terms. The test below draws x, checks the gradient, and then goes on with the body: a gradient check
compares the derivative with the *values*, so it cannot see that a value is wrong. For that we need something that is known of
swish: $x\sigma(x) - (-x)\sigma(-x) = x$, for $\sigma(x) + \sigma(-x) = 1$.
"""


# %%
@mm.differentiable
def swish(x):
    """y = x σ(x)      ∂L/∂x = G (σ(x) + x σ(x) (1 − σ(x)))"""
    s = 1 / (1 + np.exp(-x))
    return x * s, lambda G: G * (s + x * s * (1 - s))


@given_grads(swish, x=spaced())
def test_swish(x):
    """Values: swish(x) − swish(−x) = x."""
    np.testing.assert_allclose((swish(x) - swish(-x)).numpy(), x.numpy())


@mm.differentiable
def consistent_but_wrong(x):
    """y = x σ(2x), with the right derivative of that: no gradient check can know that swish was meant."""
    s = 1 / (1 + np.exp(-2 * x))
    return x * s, lambda G: G * (s + 2 * x * s * (1 - s))


# %% [markdown]
r"""
**Why not simply `y.sum().backward()`?** Because that is $G = (1, \dots, 1)$. The outputs of a softmax add up to 1 whatever x is,
and those of a normalisation to 0: their sum has the gradient 0, and every wrong derivative that keeps a 0 a 0 passes. Half the
gradient of a softmax does; so does no gradient at all for a batch normalisation.
"""


# %%
@mm.differentiable
def half_softmax(x):
    """yᵢ = e^{xᵢ} / Σⱼ e^{xⱼ}, with half its gradient."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    return y, lambda G: y * (G - (G * y).sum(axis=1, keepdims=True)) / 2


@mm.differentiable
def deaf_batch_norm(x):
    """y = (x − μ) / √(σ² + ε) over each column, with the gradient 0."""
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5), np.zeros_like


def blindness(x: mm.Tensor) -> dict[str, float]:
    """For a cotangent of ones and for a random one: how large the true gradient is, and whether the wrong one is found."""
    numbers = {}
    rng = np.random.default_rng(0)
    rights = {"softmax": lambda x: F.softmax(x, 1), "batch norm": lambda x: F.batch_norm(x, None, None, training=True)}
    for (name, right), wrong in zip(rights.items(), (half_softmax, deaf_batch_norm), strict=True):
        for what, G in (("ones", np.ones(x.shape)), ("random", rng.normal(size=x.shape))):
            leaf = mm.tensor(x.array, requires_grad=True)
            right(leaf).backward(mm.tensor(G))
            numbers[f"{name}, {what}: largest gradient"] = leaf.grad.abs().max().item()
            numbers[f"{name}, {what}: found"] = float(bool(message(lambda f=wrong, G=G: gradcheck(f, x, cotangent=G))))
    return numbers


# %%
def main(seed: int = 0) -> dict[str, float]:
    """Show the messages and return the numbers."""
    x = mm.tensor(np.random.default_rng(seed).normal(size=(4, 5)))
    say("gradcheck(hasty_swish, x) says:\n")
    say(told := message(lambda: gradcheck(hasty_swish, x)))
    say("\nand given_grads(hasty_swish, x=spaced()), which looks for the smallest x:\n")
    say(shrunk := message(test_hasty_swish))
    test_swish()
    say(f"\n{gradcheck(swish, x)}\n{gradcheck(consistent_but_wrong, x)}")
    numbers = blindness(x)
    say("\nthe cotangent G")
    for name, value in numbers.items():
        say(f"  {name:38s} {value:.1e}" if "largest" in name else f"  {name:38s} {'yes' if value else 'no'}")
    off = np.abs((consistent_but_wrong(x) - swish(x)).numpy()).max()
    return numbers | {"lines": len(told.splitlines()), "shrunk to": float("x=tensor(0.125" in shrunk), "value off": float(off)}


# %% [markdown]
r"""
**You should see** two messages of at most 25 lines, the second for x = 0.125 alone; `swish` agreeing to about 1e-12, and so does the
function that is not swish; under a cotangent of ones gradients of 1e-16 and nothing found, under a random one gradients of about 0.1
to 1 and both mistakes found.

**Your turn**
1. Turn the sign of one map in `swish` round, or drop G from it, and read what the message calls it.
2. Write `softsign`, $y = x / (1 + |x|)$, and its test in one line. What does `gradcheck` say at x = 0 of |x|, and why not of softsign?
3. Run `print(minimtl.testing.self_test(20, 200))`: the check checked. Which error would *you* have missed?
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Checking gradients, and what a check cannot see.")
    parser.add_argument("--seed", type=int, default=0)
    register_profiles()
    settings.load_profile("lesson")
    main(parser.parse_args().seed)
