"""The small problems behind the aggregations, for K tasks: exact up to rounding, in a bounded number of rounds."""

from collections.abc import Callable

import numpy as np

from minimtl.backend import Array

TINY = 1e-12  # beside entries of order 1
ROUNDS = 30  # times K: more exchanges than the active-set method ever makes


def nonnegative_qp(Q: Array, b: Array) -> Array:
    """arg min ½ xᵀQx − bᵀx over x ≥ 0      Q (K, K) positive semidefinite, entries of order 1, b (K,)

    By an active set, as Lawson and Hanson's: x is 0 outside the free set, on which Qx = b; what would fall become negative leaves
    it, what has the largest slope enters. At the end x ≥ 0, Qx − b ≥ 0, and of each pair one is 0. The problem must be bounded.
    """
    K, small = len(b), TINY * max(1.0, float(np.abs(b).max()))
    x, free = np.zeros(K), np.zeros(K, dtype=bool)
    slope = b.copy()  # −∂/∂x
    for _ in range(ROUNDS * K):
        slope[free] = -np.inf
        enters = int(slope.argmax())
        if slope[enters] <= small:
            break
        free[enters] = True
        z = on(free, Q, b)
        if z[enters] <= 0:  # by rounding: it would not stay
            free[enters], slope[enters] = False, -np.inf
            continue
        while (falling := free & (z <= 0)).any():
            t = np.min(x[falling] / (x[falling] - z[falling]))
            x = x + t * (z - x)
            free &= ~falling | (x > TINY * x.max())
            free[falling & (x <= x[falling].min())] = False  # one leaves in any case
            x[~free] = 0
            z = on(free, Q, b)
        x = z
        slope = b - Q @ x
    return x


def on(free: Array, Q: Array, b: Array) -> Array:
    """The x with Qx = b on the free set and 0 outside; the shortest where there are many."""
    x = np.zeros(len(b))
    rows = free.nonzero()[0]
    part = Q[rows[:, None], rows]
    try:
        x[rows] = np.linalg.solve(part, b[rows])
    except np.linalg.LinAlgError:
        x[rows] = np.linalg.lstsq(part, b[rows], rcond=None)[0]
    return x


def min_norm(G: Array) -> Array:
    """arg min wᵀGw over w ≥ 0, Σw = 1: the shortest vector among the convex combinations      G (K, K), entries of order 1

    A solution of min ½ xᵀ(G + 11ᵀ)x − 1ᵀx, x ≥ 0 is a multiple of it: both ask that Gw be the same where w > 0, and no less
    elsewhere.
    """
    least = float(np.diag(G).min())
    if least <= 0:  # one of the vectors is 0, and nothing is shorter
        zero = (np.diag(G) <= 0).astype(float)
        return zero / zero.sum()
    x = nonnegative_qp(G / least + 1.0, np.ones(len(G)))
    return x / x.sum()


def root(f: Callable[[float], float], low: float, high: float) -> float:
    """x in [low, high] with |f(x)| < 1e-13 high, where f falls: false position; the value of an end that stays twice is halved.

    low where f is not above 0 there, high where it is not below.
    """
    f_low, f_high, x, above = f(low), f(high), low, None
    if f_low <= 0:
        return low
    if f_high >= 0:
        return high
    for _ in range(100):
        x = high - f_high * (high - low) / (f_high - f_low)
        fx = f(x)
        if abs(fx) < 1e-13 * high:
            break
        if fx > 0:
            low, f_low, f_high = x, fx, f_high / 2 if above is True else f_high
        else:
            high, f_high, f_low = x, fx, f_low / 2 if above is False else f_low
        above = fx > 0
    return x


def bargain(G: Array) -> Array:
    """α with α ⊙ Gα = 1: arg min ½ αᵀGα − Σ log α      G (K, K) positive semidefinite with a diagonal above 0

    By Newton's method, damped so that α stays positive: the objective is convex, and self-concordant, so that a step of length
    1/(1 + δ) always goes down, δ being Newton's decrement, and full steps converge quadratically once δ < ¼.
    """
    α = 1 / np.sqrt(np.diag(G) * len(G))
    last = np.inf
    for _ in range(200):
        slope = G @ α - 1 / α
        scale = np.outer(α, α)  # in units of α the Hessian is α G α + 1, well conditioned
        step = np.linalg.solve(G * scale + np.eye(len(G)), -slope * α)
        δ = float(np.sqrt(max(-(slope * α) @ step, 0.0)))
        α = α * (1 + (step if δ < 0.25 else step / (1 + δ)))
        if δ < 1e-8 or last <= δ < 0.25:  # what is left is δ² of it, or rounding
            break
        last = δ
    return α
