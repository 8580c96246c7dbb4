"""Products of matrices and of more general tensors. G is the gradient of the result."""

from string import ascii_letters

import numpy as np

from minimtl import kernels
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Map, Result, unbroadcast
from minimtl.ops import check


@equation("ops.matmul", r"Y = A B", shapes="A (n, m), B (m, p) → Y (n, p)")
@equation("ops.matmul.vjp.A", r"\frac{\partial L}{\partial A} = G B^\top", part="gA")
@equation("ops.matmul.vjp.B", r"\frac{\partial L}{\partial B} = A^\top G", part="gB")
@differentiable
def matmul(A: Array, B: Array) -> Result:
    """Y = A B      ∂L/∂A = G Bᵀ      ∂L/∂B = Aᵀ G      (…, n, m) @ (…, m, p) → (…, n, p)

    A vector on the left is a row, on the right a column, and its axis is gone from Y. The axes … broadcast.
    """
    if A.ndim == 0 or B.ndim == 0 or A.shape[-1] != B.shape[-2 if B.ndim > 1 else -1]:
        raise ValueError(f"matmul: shapes {A.shape} and {B.shape} do not multiply: (…, n, m) @ (…, m, p) is needed")
    check.one_dtype("matmul", A, B)
    try:
        np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    except ValueError as error:
        raise ValueError(f"matmul: the leading axes of {A.shape} and {B.shape} do not broadcast") from error
    row = A if A.ndim > 1 else A[None, :]
    column = B if B.ndim > 1 else B[:, None]
    Y = A @ B
    whole = (*np.broadcast_shapes(row.shape[:-2], column.shape[:-2]), row.shape[-2], column.shape[-1])
    a, rows, b, columns = A.shape, row.shape, B.shape, column.shape  # a map that held A for its shape would guard its numbers

    def gA(G: Array) -> Array:
        return unbroadcast(G.reshape(whole) @ column.mT, rows).reshape(a)

    def gB(G: Array) -> Array:
        return unbroadcast(row.mT @ G.reshape(whole), columns).reshape(b)

    return Y, gA, gB


@equation(
    "ops.nuclear_norm",
    r"y = \sum_{k=1}^{r} \sum_{i=1}^{n} \sum_{j=1}^{m} U_{ik} A_{ij} V_{jk}",
    symbols={"U": "nuclear_norm", "V": "nuclear_norm"},
    shapes="A (n, m), U (n, r), V (m, r) → y ()",
    conventions="the singular vectors of A; Σᵢ Σⱼ Uᵢₖ Aᵢⱼ Vⱼₖ is its k-th singular value",
)
@equation("ops.nuclear_norm.vjp", r"\frac{\partial L}{\partial A_{ij}} = G \sum_{k=1}^{r} U_{ik} V_{jk}")
@differentiable
def nuclear_norm(A: Array) -> Result:
    """y = Σₖ Σᵢ Σⱼ Uᵢₖ Aᵢⱼ Vⱼₖ      ∂L/∂Aᵢⱼ = G Σₖ Uᵢₖ Vⱼₖ      (n, m) → (): the sum of the singular values of A

    Where a singular value is 0 there is no derivative; the gradient is then that of the others, one of least length among many.
    """
    check.floating("nuclear_norm", A)
    if A.ndim != 2 or A.dtype == np.float16:
        raise ValueError(f"nuclear_norm: A must be a matrix (n, m) of float32 or float64, got {A.dtype} {A.shape}")
    if not np.isfinite(A).all():
        return np.full((), np.nan, A.dtype), lambda G: np.full_like(A, np.nan)
    U, σ, Vt = np.linalg.svd(A, full_matrices=False)
    kept = σ > σ.max(initial=0) * max(A.shape) * np.finfo(A.dtype).eps
    return σ.sum(), lambda G: G * (U[:, kept] @ Vt[kept])


@differentiable
def linear(input: Array, weight: Array, bias: Array | None = None) -> Result:
    """y = x wᵀ + b      (…, I), (O, I), (O) → (…, O): see `kernels.linear`."""
    if weight.ndim != 2 or input.shape[-1:] != weight.shape[1:]:
        raise ValueError(f"linear: weight must be (O, I) and input (…, I), got {weight.shape} and {input.shape}")
    check.one_dtype("linear", input, weight, bias)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias must have shape {weight.shape[:1]}, got {bias.shape}")
    return kernels.linear(input, weight, bias)


@differentiable
def _einsum(operands: list[Array], inputs: list[str], output: str, sizes: dict[str, int]) -> Result:
    """einsum with every subscript written out; the gradient of an operand is an einsum of G and the other operands.

    An index of an operand that stands nowhere else was summed alone: its gradient is repeated along it. An index that
    stands twice in an operand reads a diagonal: its gradient goes back to the diagonal.
    """

    def carry(k: int) -> Map:
        own = "".join(dict.fromkeys(inputs[k]))
        shape = [operands[k].shape[inputs[k].index(i)] for i in own]
        others = [(s, x) for j, (s, x) in enumerate(zip(inputs, operands, strict=True)) if j != k]
        elsewhere = set(output).union(*(s for s, _ in others))
        shared = "".join(i for i in own if i in elsewhere)

        def gx(G: Array) -> Array:
            g = np.einsum(f"{','.join([output, *(s for s, _ in others)])}->{shared}", G, *(x for _, x in others), optimize=True)
            found = dict(zip(shared, g.shape, strict=True))  # 1 where all others were repeated along the index
            g = np.broadcast_to(g.reshape([found.get(i, 1) for i in own]), [sizes[i] for i in own])
            g = unbroadcast(g, tuple(shape))
            if own == inputs[k]:
                return g
            gx = np.zeros_like(operands[k])
            np.einsum(f"{inputs[k]}->{own}", gx)[...] = g  # a view of the diagonal
            return gx

        return gx

    y = np.einsum(f"{','.join(inputs)}->{output}", *operands, optimize=True)
    return y, *(carry(k) for k in range(len(operands)))


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Σ, over the indices that do not stand on the right, of the products of entries, as in `einsum("bij,bjk->bik", A, B)`.

    `...` stands for leading axes, which broadcast. Without `->` the output has the indices that occur once, in the order of
    the alphabet.
    """
    if not isinstance(equation, str):
        raise TypeError(f"einsum: equation must be a string, got {type(equation).__name__}")
    for k, x in enumerate(operands):
        check.tensor("einsum", f"operand {k}", x)
    check.one_dtype("einsum", *operands)
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ValueError(f"einsum: {equation!r} names {len(inputs)} operands, got {len(operands)}")
    if not arrow:
        letters = left.replace("...", "")
        output = "..." + "".join(sorted(i for i in set(letters) - {","} if letters.count(i) == 1))
    spare = "".join(i for i in ascii_letters if i not in equation)
    widths = [x.ndim - len(s) + 3 if "..." in s else 0 for s, x in zip(inputs, operands, strict=True)]
    most = max(widths)
    inputs = [s.replace("...", spare[most - w : most]) for s, w in zip(inputs, widths, strict=True)]
    output = output.replace("...", spare[:most])
    sizes: dict[str, int] = {}
    for s, x in zip(inputs, operands, strict=True):
        if len(s) != x.ndim or not (s + "a").isalpha():
            raise ValueError(f"einsum: {equation!r} does not fit an operand of shape {x.shape}")
        for i, n in zip(s, x.shape, strict=True):
            known = x.shape[s.index(i)] if s.count(i) > 1 else sizes.get(i, 1)
            if known != n and (s.count(i) > 1 or 1 not in (known, n)):
                raise ValueError(f"einsum: index {i!r} of {equation!r} is {known} long in one place, {n} in another")
            sizes[i] = n if sizes.get(i, 1) == 1 else sizes[i]
    if not set(output) <= set(sizes) or len(set(output)) != len(output):
        raise ValueError(f"einsum: the output of {equation!r} may name each index of the operands once")
    return _einsum(list(operands), inputs, output, sizes)
