"""What operations refuse: every message begins with the operation's name and says what came and what is needed."""

import re

import numpy as np
import pytest

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import ops

NAN = float("nan")
x, d, v, k = mm.ones(2, 3), mm.ones(2, 3, dtype="float64"), mm.ones(3), mm.tensor([0, 1])  # k: integers
s, b, u = mm.tensor(1.0), mm.tensor([True, False]), mm.tensor([1, 2], dtype="uint8")
images, filters, back = mm.ones(1, 2, 4, 4), mm.ones(3, 2, 3, 3), mm.ones(2, 3, 3, 3)

REFUSED = {
    "add": [
        (lambda: mm.add(x, [1, 2, 3]), TypeError, "b must be a Tensor, got list"),
        (lambda: mm.add([1, 2, 3], x), TypeError, "a must be a Tensor, got list"),
        (lambda: x + "a", TypeError, "b must be a Tensor, got str"),
        (lambda: x + None, TypeError, "b must be a Tensor, got NoneType"),
        (lambda: x + 1j, TypeError, "b must be a Tensor, got complex"),
        (lambda: x + mm.ones(2), ValueError, r"shapes \(2, 3\) and \(2,\) do not broadcast"),
        (lambda: u + 300, OverflowError, "300 .* uint8"),
        (lambda: mm.add(x), TypeError, "b"),
        (lambda: mm.add(x, x, beta=2), TypeError, "beta"),
    ],
    "sub": [(lambda: b - b, TypeError, "needs numbers, got booleans")],
    "neg": [(lambda: -b, TypeError, "needs numbers, got booleans")],
    "pow": [
        (lambda: k**-1, ValueError, "integers have no negative powers, got -1"),
        (lambda: k ** mm.tensor([1, -2]), ValueError, "integers have no negative powers, got -2"),
    ],
    "remainder": [(lambda: k % 0, ZeroDivisionError, "integer division by zero"), (lambda: b % b, TypeError, "needs numbers")],
    "bitwise_and": [(lambda: x & x, TypeError, "needs integers or booleans, got float32")],
    "bitwise_not": [(lambda: ~x, TypeError, "needs integers or booleans, got float32")],
    "lt": [(lambda: x < "a", TypeError, "b must be a Tensor, got str")],
    "where": [
        (lambda: mm.where(x, x, x), TypeError, "condition must be a boolean tensor, got float32"),
        (lambda: mm.where(x > 0, x, "a"), TypeError, "b must be a Tensor, got str"),
        (lambda: mm.where(b, x, x), ValueError, "do not broadcast"),
    ],
    "clip": [
        (lambda: mm.clip(x), ValueError, "needs min, max or both"),
        (lambda: mm.clip(x, "a"), TypeError, "min must be a number, got 'a'"),
        (lambda: mm.clip(x, 0, x), TypeError, "max must be a number"),
    ],
    "exp": [(lambda: mm.exp(1.0), TypeError, "x must be a Tensor, got float")],
    "relu": [(lambda: F.relu([1.0]), TypeError, "x must be a Tensor, got list")],
    "leaky_relu": [(lambda: F.leaky_relu(x, "a"), TypeError, "negative_slope must be a number, got 'a'")],
    "softplus": [(lambda: F.softplus(x, beta=None), TypeError, "beta must be a number, got None")],
    "gelu": [(lambda: F.gelu(x, "exact"), ValueError, r"approximate must be one of \('none', 'tanh'\), got 'exact'")],
    # Reductions
    "sum": [
        (lambda: mm.sum([1.0]), TypeError, "x must be a Tensor, got list"),
        (lambda: x.sum(2), IndexError, "dim 2 is out of range for a tensor of 2 axes"),
        (lambda: x.sum(1.5), TypeError, "dim must be an integer, got 1.5"),
        (lambda: x.sum(True), TypeError, "dim must be an integer, got True"),
        (lambda: x.sum("a"), TypeError, "dim must be an integer, got 'a'"),
        (lambda: x.sum((0, -2)), ValueError, r"dim \(0, -2\) names an axis twice"),
        (lambda: s.sum(1), IndexError, "out of range for a tensor of 0 axes"),
    ],
    "mean": [(lambda: k.mean(), TypeError, "needs floating-point numbers, got int64")],
    "var": [(lambda: x.var(correction="a"), TypeError, "correction must be a number, got 'a'")],
    "max": [
        (lambda: mm.max([1.0]), TypeError, "x must be a Tensor, got list"),
        (lambda: mm.ones(0).max(), ValueError, r"the reduced axes of a tensor of shape \(0,\) are empty"),
        (lambda: mm.ones(2, 0).max(1), ValueError, "are empty"),
        (lambda: x.max((0, 1)), TypeError, r"dim must be an integer, got \(0, 1\)"),
    ],
    "min": [(lambda: mm.ones(0).min(), ValueError, "are empty")],
    "argmax": [(lambda: mm.ones(0).argmax(), ValueError, "are empty")],
    "norm": [
        (lambda: k.norm(), TypeError, "needs floating-point numbers, got int64"),
        (lambda: x.norm("fro"), TypeError, "p must be a number, got 'fro'"),
        (lambda: mm.ones(0).norm(float("inf")), ValueError, "are empty"),
        (lambda: mm.ones(0).norm(-1), ValueError, "are empty"),
    ],
    "softmax": [
        (lambda: F.softmax(k, 0), TypeError, "needs floating-point numbers, got int64"),
        (lambda: F.softmax(x, 2), IndexError, "dim 2 is out of range"),
        (lambda: F.softmax(x, None), TypeError, "dim must be an integer, got None"),
    ],
    # Shapes
    "reshape": [
        (lambda: x.reshape(4, 2), ValueError, r"6 entries of shape \(2, 3\) do not fill the shape \(4, 2\)"),
        (lambda: x.reshape(-1, -1), ValueError, "do not fill"),
        (lambda: x.reshape(-2, 3), ValueError, "do not fill"),
        (lambda: x.reshape(2.0, 3), TypeError, r"sizes must be integers, got \(2.0, 3\)"),
        (lambda: mm.reshape(x, 6), TypeError, "sizes must be a tuple of integers, got 6"),
        (lambda: mm.ones(0, 3).reshape(-1, 0), ValueError, "do not fill"),
    ],
    "flatten": [(lambda: x.flatten(1, 0), ValueError, "start_dim 1 lies behind end_dim 0")],
    "permute": [
        (lambda: x.permute(0), ValueError, "2 axes needs each once"),
        (lambda: x.permute(0, 0), ValueError, "names an axis twice"),
        (lambda: mm.permute(x, 1), TypeError, "must be a tuple"),
    ],
    "transpose": [(lambda: x.transpose(0, 2), IndexError, "dim 2 is out of range")],
    "squeeze": [(lambda: x.squeeze(2), IndexError, "dim 2 is out of range")],
    "unsqueeze": [
        (lambda: x.unsqueeze(3), IndexError, "dim 3 is out of range for a result of 3 axes"),
        (lambda: x.unsqueeze("a"), TypeError, "dim must be an integer, got 'a'"),
    ],
    "expand": [
        (lambda: x.expand(4, 3), ValueError, r"shape \(2, 3\) does not expand to \(4, 3\)"),
        (lambda: x.expand(-1, 2, 3), ValueError, "does not expand"),
    ],
    "cat": [
        (lambda: mm.cat([]), TypeError, "needs a list of one or more tensors, got an empty one"),
        (lambda: mm.cat(x), TypeError, "needs a list of one or more tensors"),
        (lambda: mm.cat([x, [1.0]]), TypeError, "item 1 must be a Tensor, got list"),
        (lambda: mm.cat([x, v]), ValueError, r"tensor 1 of shape \(3,\) does not continue \(2, 3\) along dim 0"),
        (lambda: mm.cat([x, x], 2), IndexError, "dim 2 is out of range"),
    ],
    "stack": [
        (lambda: mm.stack([x, v]), ValueError, r"one shape, got \[\(2, 3\), \(3,\)\]"),
        (lambda: mm.stack([x], 3), IndexError, "dim 3 is out of range for a result of 3 axes"),
    ],
    "split": [
        (lambda: x.split(0), ValueError, "positive, got 0"),
        (lambda: x.split(2.5), TypeError, "2.5"),
        (lambda: x.split([1, 2]), ValueError, r"\[?\(?1, 2\)?\]? must add up to 2, the length of dim 0"),
        (lambda: s.split(1), ValueError, "0-d"),
        (lambda: mm.split([1], 1), TypeError, "x must be a Tensor, got list"),
    ],
    "pad": [
        (lambda: F.pad(x, 1), TypeError, "must be a tuple of integers, got 1"),
        (lambda: F.pad(x, (1,)), ValueError, r"two widths for each of up to 2 axes, got \(1,\)"),
        (lambda: F.pad(x, (0,) * 6), ValueError, "two widths for each of up to 2 axes"),
        (lambda: F.pad(x, (-5, 10)), ValueError, r"\(-5, 10\) cuts more than there is of \(2, 3\)"),
        (lambda: F.pad(x, (1, 1), mode="reflect"), ValueError, "mode must be 'constant', got 'reflect'"),
        (lambda: F.pad(x, (1, 1), value="a"), TypeError, "value must be a number, got 'a'"),
    ],
    # Indices
    "index": [
        (lambda: x[2], IndexError, r"2 is out of bounds .* \(tensor of shape \(2, 3\)\)"),
        (lambda: x[0, 0, 0], IndexError, r"too many .* \(tensor of shape \(2, 3\)\)"),
        (lambda: x[1.5], IndexError, r"only integers.*\(2, 3\)"),
        (lambda: x[::0], IndexError, r"step cannot be zero.*\(2, 3\)"),
        (lambda: x["a":], IndexError, r"must be integers.*\(2, 3\)"),
        (lambda: x[mm.tensor([0.0])], IndexError, r"integer.*\(2, 3\)"),
        (lambda: x[mm.tensor([True])], IndexError, r"size of axis is 2 .* is 1.*\(2, 3\)"),
        (lambda: x[k, mm.tensor([0, 1, 2])], IndexError, r"\(2,\) \(3,\).*\(2, 3\)"),
    ],
    "index_select": [
        (lambda: mm.index_select(x, 0, mm.tensor([2])), IndexError, "index must lie in 0 … 1, got 2 … 2"),
        (lambda: mm.index_select(x, 0, mm.tensor([-1])), IndexError, "index must lie in 0 … 1, got -1 … -1"),
        (lambda: mm.index_select(x, 0, v), TypeError, "index must be integers, got float32"),
        (lambda: mm.index_select(x, 0, [0]), TypeError, "index must be a Tensor, got list"),
        (lambda: mm.index_select(s, 0, k), ValueError, "needs a tensor with axes"),
    ],
    "embedding": [
        (lambda: F.embedding(mm.tensor([2]), x), IndexError, "input must lie in 0 … 1, got 2 … 2"),
        (lambda: F.embedding(mm.tensor([-1]), x), IndexError, "got -1 … -1"),
        (lambda: F.embedding(x, x), TypeError, "input must be integers, got float32"),
        (lambda: F.embedding([0], x), TypeError, "input must be a Tensor, got list"),
        (lambda: F.embedding(k, v), ValueError, r"weight must be a matrix \(items, features\), got \(3,\)"),
    ],
    # Products
    "matmul": [
        (lambda: x @ x, ValueError, r"shapes \(2, 3\) and \(2, 3\) do not multiply"),
        (lambda: x @ 2, TypeError, "B must be a Tensor, got int"),
        (lambda: x @ s, ValueError, "do not multiply"),
        (lambda: x @ d.T, TypeError, "one dtype, got float32 and float64"),
        (lambda: mm.ones(2, 3, 4) @ mm.ones(3, 4, 5), ValueError, "leading axes .* do not broadcast"),
    ],
    "linear": [
        (lambda: F.linear(x, x.T), ValueError, r"weight must be \(O, I\) and input \(…, I\), got \(3, 2\) and \(2, 3\)"),
        (lambda: F.linear(x, s), ValueError, "weight must be"),
        (lambda: F.linear(x, x, v), ValueError, r"bias must have shape \(2,\), got \(3,\)"),
        (lambda: F.linear(x, x, [1.0, 2.0]), TypeError, "bias must be a Tensor, got list"),
        (lambda: F.linear(x, d), TypeError, "one dtype, got float32 and float64"),
        (lambda: F.linear(u, mm.ones(1, 2)), TypeError, "one dtype, got uint8 and float32"),
    ],
    "nuclear_norm": [
        (
            lambda: ops.nuclear_norm(mm.ones(3)),
            ValueError,
            r"A must be a matrix \(n, m\) of float32 or float64, got float32 \(3,\)",
        ),
        (lambda: ops.nuclear_norm(mm.ones(2, 2).long()), TypeError, "floating-point"),
    ],
    "einsum": [
        (lambda: mm.einsum(x), TypeError, "equation must be a string, got Tensor"),
        (lambda: mm.einsum("ij", [1.0]), TypeError, "operand 0 must be a Tensor, got list"),
        (lambda: mm.einsum("ij,jk", x), ValueError, "'ij,jk' names 2 operands, got 1"),
        (lambda: mm.einsum("ij,jk", x, x), ValueError, "index 'j' .* is 3 long in one place, 2 in another"),
        (lambda: mm.einsum("ii", x), ValueError, "index 'i' .* long"),
        (lambda: mm.einsum("ii", mm.ones(3, 1)), ValueError, "index 'i' .* long"),
        (lambda: mm.einsum("ijk->i", x), ValueError, r"does not fit an operand of shape \(2, 3\)"),
        (lambda: mm.einsum("ij->ii", x), ValueError, "output .* each index of the operands once"),
        (lambda: mm.einsum("ij,ij", x, d), TypeError, "one dtype"),
    ],
    # Losses
    "mse_loss": [
        (lambda: F.mse_loss(x, v), ValueError, r"input \(2, 3\) and target \(3,\) must have the same shape"),
        (lambda: F.mse_loss([1.0], x), TypeError, "input must be a Tensor, got list"),
        (lambda: F.mse_loss(x, 1.0), TypeError, "target must be a Tensor, got float"),
        (lambda: F.mse_loss(k, k), TypeError, "needs floating-point numbers, got int64"),
        (lambda: F.mse_loss(x, x * NAN), ValueError, "the target holds NaN"),
        (lambda: F.mse_loss(x, x, reduction="avg"), ValueError, "reduction must be 'mean', 'sum' or 'none', got 'avg'"),
    ],
    "l1_loss": [(lambda: F.l1_loss(x, x * NAN), ValueError, "the target holds NaN")],
    "huber_loss": [
        (lambda: F.huber_loss(x, x, delta=0), ValueError, "delta must be positive, got 0"),
        (lambda: F.huber_loss(x, x, delta="a"), TypeError, "delta must be a number, got 'a'"),
    ],
    "smooth_l1_loss": [
        (lambda: F.smooth_l1_loss(x, x, beta=-1), ValueError, "beta must not be negative, got -1"),
        (lambda: F.smooth_l1_loss(x, x, "avg"), ValueError, "reduction must be"),
    ],
    "kl_div": [
        (lambda: F.kl_div(x, v), ValueError, "must have the same shape"),
        (lambda: F.kl_div(x, x, "avg"), ValueError, "reduction must be"),
    ],
    "binary_cross_entropy": [
        (lambda: F.binary_cross_entropy(2 * x, x), ValueError, r"input must lie in \[0, 1\], got 2.0 … 2.0"),
        (lambda: F.binary_cross_entropy(x * NAN, x), ValueError, r"input must lie in \[0, 1\]"),
        (lambda: F.binary_cross_entropy(x, -x), ValueError, r"target must lie in \[0, 1\]"),
        (lambda: F.binary_cross_entropy(x, d), TypeError, "one dtype, got float32 and float64"),
        (lambda: F.binary_cross_entropy(x, x.long()), TypeError, "one dtype"),
        (lambda: F.binary_cross_entropy(x, x, mm.ones(4)), ValueError, r"weight \(4,\) does not broadcast to .* \(2, 3\)"),
        (lambda: F.binary_cross_entropy(x, x, mm.ones(5, 2, 3)), ValueError, "does not broadcast"),
        (lambda: F.binary_cross_entropy(x, x, [1.0]), TypeError, "weight must be a Tensor, got list"),
    ],
    "binary_cross_entropy_with_logits": [
        (lambda: F.binary_cross_entropy_with_logits(x, v), ValueError, "must have the same shape"),
        (
            lambda: F.binary_cross_entropy_with_logits(x, x, pos_weight=mm.ones(4)),
            ValueError,
            "pos_weight .* does not broadcast",
        ),
        (lambda: F.binary_cross_entropy_with_logits(x, x, pos_weight=2), TypeError, "pos_weight must be a Tensor, got int"),
    ],
    "scaled_dot_product_attention": [
        (lambda: F.scaled_dot_product_attention(x, x, [1]), TypeError, "value must be a Tensor, got list"),
        (lambda: F.scaled_dot_product_attention(k, k, k), TypeError, "needs floating-point numbers, got int64"),
        (lambda: F.scaled_dot_product_attention(x, d, x), TypeError, "of one dtype, got float32 and float64"),
        (lambda: F.scaled_dot_product_attention(v, x, x), ValueError, r"needs query \(…, A, E\).* got \(3,\), \(2, 3\)"),
        (lambda: F.scaled_dot_product_attention(x, mm.ones(2, 4), x), ValueError, r"needs query \(…, A, E\)"),
        (lambda: F.scaled_dot_product_attention(x, x, mm.ones(3, 3)), ValueError, r"value \(…, B, D\)"),
        (lambda: F.scaled_dot_product_attention(x, x, x, mm.ones(2, 5)), ValueError, r"\(2, 5\) does not .* \(…, 2, 2\)"),
        (
            lambda: F.scaled_dot_product_attention(x, x, x, mm.ones(2, 2).long()),
            TypeError,
            "of booleans or of float32, got int64",
        ),
        (lambda: F.scaled_dot_product_attention(x, x, x, mm.ones(2, 2), is_causal=True), ValueError, "excludes attn_mask"),
        (
            lambda: F.scaled_dot_product_attention(mm.ones(2, 1, 3), mm.ones(3, 1, 3), mm.ones(3, 1, 3)),
            ValueError,
            r"leading axes \(2,\) and \(3,\) and \(3,\) do not broadcast",
        ),
    ],
    "cross_entropy": [
        (lambda: F.cross_entropy(x, mm.tensor([0, 3])), IndexError, "labels must lie in 0 … 2, got 0 … 3"),
        (lambda: F.cross_entropy(x, mm.tensor([0, -1])), IndexError, "labels must lie in 0 … 2, got -1 … 0"),
        (lambda: F.cross_entropy(x, b), TypeError, "labels must be integers, got bool"),
        (
            lambda: F.cross_entropy(x, mm.tensor([0.0, 1.0])),
            ValueError,
            r"labels must be integers.*float32.*\(2, 3\), got \(2,\)",
        ),
        (lambda: F.cross_entropy(x, [0, 1]), TypeError, "target must be a Tensor, got list"),
        (lambda: F.cross_entropy(x, np.array([0, 1])), TypeError, "target must be a Tensor, got ndarray"),
        (lambda: F.cross_entropy(x, mm.tensor([0])), ValueError, r"input \(2, 3\) wants labels of shape \(2,\), got \(1,\)"),
        (lambda: F.cross_entropy(v, mm.tensor([1])), ValueError, r"wants labels of shape \(\), got \(1,\)"),
        (lambda: F.cross_entropy(mm.ones(1, 3), mm.tensor(1)), ValueError, r"wants labels of shape \(1,\), got \(\)"),
        (lambda: F.cross_entropy(x, x * NAN), ValueError, "the target holds NaN"),
        (lambda: F.cross_entropy([1.0], k), TypeError, "input must be a Tensor, got list"),
        (lambda: F.cross_entropy(s, k), ValueError, r"input must be \(N, C, …\) or \(C\) .*, got \(\)"),
        (lambda: F.cross_entropy(mm.ones(2, 0), k), ValueError, "one class or more"),
        (lambda: F.cross_entropy(k.reshape(1, 2), k), TypeError, "needs floating-point numbers, got int64"),
        (lambda: F.cross_entropy(x, k, weight=mm.ones(2)), ValueError, r"weight must have shape \(3,\), got \(2,\)"),
        (lambda: F.cross_entropy(x, k, weight=[1.0] * 3), TypeError, "weight must be a Tensor, got list"),
        (lambda: F.cross_entropy(x, k, weight=mm.ones(3, requires_grad=True)), ValueError, "no derivative .* weight"),
        (lambda: F.cross_entropy(x, k, weight=mm.ones(3, dtype="float64")), TypeError, "one dtype"),
        (lambda: F.cross_entropy(x, k, label_smoothing=2), ValueError, r"label_smoothing must lie in \[0, 1\], got 2"),
        (lambda: F.cross_entropy(x, k, ignore_index=0.5), TypeError, "ignore_index must be an integer, got 0.5"),
        (lambda: F.cross_entropy(x, k, reduction="avg"), ValueError, "reduction must be"),
    ],
    "nll_loss": [
        (lambda: F.nll_loss(x, mm.tensor([0, 3])), IndexError, "labels must lie in 0 … 2"),
        (lambda: F.nll_loss(x, mm.ones(2)), TypeError, "labels must be integers, got float32"),
        (lambda: F.nll_loss(x, x), ValueError, "wants labels of shape"),
    ],
    # Images
    "conv2d": [
        (lambda: F.conv2d(x, filters), ValueError, r"input must be images \(N, C, H, W\), got \(2, 3\)"),
        (lambda: F.conv2d(mm.ones(1, 1, 4, 4), filters), ValueError, r"\(3, 2, 3, 3\) wants 2 input channels, .* has 1"),
        (lambda: F.conv2d(images, x), ValueError, r"weight must be \(F, C/groups, KH, KW\), got \(2, 3\)"),
        (lambda: F.conv2d(images, filters, mm.ones(2)), ValueError, r"bias must have shape \(3,\), got \(2,\)"),
        (lambda: F.conv2d(images, filters, [1.0] * 3), TypeError, "bias must be a Tensor, got list"),
        (lambda: F.conv2d(images, filters, stride=0), ValueError, "stride must be one integer or two, each ≥ 1, got 0"),
        (lambda: F.conv2d(images, filters, stride=1.5), ValueError, "stride must be .* got 1.5"),
        (lambda: F.conv2d(images, filters, stride=(1, 2, 3)), ValueError, "stride must be"),
        (lambda: F.conv2d(images, filters, padding=-1), ValueError, "padding must be one integer or two, each ≥ 0, got -1"),
        (lambda: F.conv2d(images, filters, padding=None), ValueError, "padding must be .* got None"),
        (lambda: F.conv2d(images, filters, padding="full"), ValueError, "padding must be .* got 'full'"),
        (lambda: F.conv2d(images, filters, padding="same", stride=2), ValueError, "'same' with stride 1"),
        (lambda: F.conv2d(images, filters[:, :, :2], padding="same"), ValueError, "'same' with .* odd kernels"),
        (lambda: F.conv2d(images, filters[..., :2], padding="same"), ValueError, "'same' with .* odd kernels"),
        (lambda: F.conv2d(images, filters, dilation=0), ValueError, "dilation must be"),
        (lambda: F.conv2d(images, filters, dilation=2), ValueError, r"window of \(5, 5\) is larger than the image \(4, 4\)"),
        (lambda: F.conv2d(images, filters, groups=3), ValueError, "groups must divide 2 input and 3 output channels, got 3"),
        (lambda: F.conv2d(images, mm.ones(3, 2, 0, 3)), ValueError, "empty kernel"),
        (lambda: F.conv2d(images.to("uint8"), filters), TypeError, "one dtype, got uint8 and float32"),
        (lambda: F.conv2d([1.0], filters), TypeError, "input must be a Tensor, got list"),
        (lambda: F.conv2d(images), TypeError, "weight"),
    ],
    "conv_transpose2d": [
        (lambda: F.conv_transpose2d(images, filters), ValueError, "wants 3 input channels, .* has 2"),
        (lambda: F.conv_transpose2d(images, back, padding=5), ValueError, r"would have the size \(-4, -4\)"),
        (lambda: F.conv_transpose2d(images, back, output_padding=1), ValueError, r"output_padding \(1, 1\) must be smaller"),
        (lambda: F.conv_transpose2d(images, back, output_padding=2), ValueError, r"output_padding \(2, 2\) must be smaller"),
        (lambda: F.conv_transpose2d(images, back, groups="a"), ValueError, "groups must divide .* got 'a'"),
        (lambda: F.conv_transpose2d(images[:, :, :0], back), ValueError, r"images of size \(0, 4\) have no pixels"),
        (lambda: F.conv_transpose2d(images, back.double()), TypeError, "one dtype"),
        (lambda: F.conv_transpose2d(images, back[0]), ValueError, "weight must be"),
        (lambda: F.conv_transpose2d(images, back[:, :, :0]), ValueError, "a kernel that is not empty"),
    ],
    "max_pool2d": [
        (lambda: F.max_pool2d(images, 0), ValueError, "kernel_size must be one integer or two, each ≥ 1, got 0"),
        (lambda: F.max_pool2d(images, 2.5), ValueError, "kernel_size must be .* got 2.5"),
        (lambda: F.max_pool2d(images, 5), ValueError, r"window of \(5, 5\) is larger than the image \(4, 4\)"),
        (lambda: F.max_pool2d(images, 2, stride=0), ValueError, "stride must be"),
        (lambda: F.max_pool2d(images, 2, padding=2), ValueError, r"padding \(2, 2\) must be at most half of the kernel"),
        (lambda: F.max_pool2d(images.long(), 2), TypeError, "needs floating-point numbers, got int64"),
        (lambda: F.max_pool2d(x, 2), ValueError, "input must be images"),
    ],
    "avg_pool2d": [(lambda: F.avg_pool2d(images, 5), ValueError, "is larger than the image")],
    "adaptive_avg_pool2d": [
        (lambda: F.adaptive_avg_pool2d(images, 0), ValueError, "output_size must be one integer or two, each ≥ 1, got 0"),
        (lambda: F.adaptive_avg_pool2d(images[:, :, :0], 1), ValueError, r"images of size \(0, 4\) have no pixels"),
    ],
    "interpolate": [
        (lambda: F.interpolate(images), ValueError, "needs either size or scale_factor"),
        (lambda: F.interpolate(images, 0), ValueError, "size must be .* got 0"),
        (lambda: F.interpolate(images, scale_factor=-1), ValueError, "scale_factor must be one positive number or two, got -1"),
        (lambda: F.interpolate(images, scale_factor=NAN), ValueError, "scale_factor must be"),
        (lambda: F.interpolate(images, 2, mode="bilinear"), ValueError, "mode must be 'nearest', got 'bilinear'"),
        (lambda: F.interpolate([1.0], 2), TypeError, "input must be a Tensor, got list"),
    ],
    # Normalisation
    "batch_norm": [
        (lambda: F.batch_norm(v, None, None, training=True), ValueError, r"input must be \(N, C, …\), got \(3,\)"),
        (lambda: F.batch_norm(x, None, None), ValueError, "evaluation needs running_mean and running_var"),
        (lambda: F.batch_norm(x[:1], None, None, training=True), ValueError, r"more than one value per channel.*\(1, 3\)"),
        (lambda: F.batch_norm(x, mm.ones(2), v), ValueError, r"running_mean must have shape \(3,\), got \(2,\)"),
        (lambda: F.batch_norm(x, v, v, weight=[1.0] * 3), TypeError, "weight must be a Tensor, got list"),
        (lambda: F.batch_norm(x.long(), v, v), TypeError, "needs floating-point numbers, got int64"),
    ],
    "layer_norm": [
        (lambda: F.layer_norm(x, (2,)), ValueError, r"the last axes of the input \(2, 3\) must be \(2,\)"),
        (lambda: F.layer_norm(x, 3), TypeError, "must be a tuple of integers, got 3"),
        (lambda: F.layer_norm(x, (3,), mm.ones(2)), ValueError, r"weight must have shape \(3,\), got \(2,\)"),
        (lambda: F.layer_norm(x.long(), (3,)), TypeError, "needs floating-point numbers"),
    ],
    "group_norm": [
        (lambda: F.group_norm(x, 2), ValueError, r"num_groups 2 must divide the channels of the input \(2, 3\)"),
        (lambda: F.group_norm(x, 0), ValueError, "num_groups 0 must divide"),
    ],
    "dropout": [
        (lambda: F.dropout(x, 1.5), ValueError, r"p must lie in \[0, 1\], got 1.5"),
        (lambda: F.dropout(x, NAN), ValueError, r"p must lie in \[0, 1\], got nan"),
        (lambda: F.dropout(k), TypeError, "needs floating-point numbers, got int64"),
        (lambda: F.dropout([1.0]), TypeError, "input must be a Tensor, got list"),
    ],
    # New tensors
    "tensor": [
        (lambda: mm.tensor("a"), TypeError, "needs numbers, got str"),
        (lambda: mm.tensor([[1, 2], [3]]), ValueError, "rows of the data differ in length"),
        (lambda: mm.tensor(1j), TypeError, "needs numbers, got complex"),
    ],
    "dtype": [
        (lambda: x.to("float128"), TypeError, "'float128' is none of float32, float64"),
        (lambda: x.to(None), TypeError, "None is none of"),
        (lambda: mm.zeros(2, dtype=complex), TypeError, "complex.* is none of"),
    ],
    "zeros": [
        (lambda: mm.zeros(-1), ValueError, r"sizes must not be negative, got \(-1,\)"),
        (lambda: mm.zeros(1.5), TypeError, r"sizes must be integers, got \(1.5,\)"),
    ],
    "full": [
        (lambda: mm.full(3, 1.0), TypeError, "got 3"),
        (lambda: mm.full((2,), "a"), TypeError, "fill_value must be a number"),
    ],
    "eye": [(lambda: mm.eye(-1), ValueError, "must not be negative")],
    "arange": [
        (lambda: mm.arange(0, 3, 0), ValueError, "step must not be 0"),
        (lambda: mm.arange("a"), TypeError, "end must be a number, got 'a'"),
    ],
    "linspace": [(lambda: mm.linspace(0, 1, -2), ValueError, "must not be negative")],
    "rand": [(lambda: mm.rand(2, dtype="int64"), TypeError, "dtype must be a floating-point one, got int64")],
    "randint": [(lambda: mm.randint(5, 3, (2,)), ValueError, "needs low < high and a size, got 5, 3")],
    "randperm": [(lambda: mm.randperm(-1), ValueError, "must not be negative")],
    "from_numpy": [(lambda: mm.from_numpy([1]), TypeError, "needs an array, got list")],
    "zeros_like": [(lambda: mm.zeros_like([1]), TypeError, "input must be a Tensor, got list")],
    "manual_seed": [(lambda: mm.manual_seed(-1), ValueError, "integer ≥ 0, got -1")],
}

CASES = [pytest.param(name, *case, id=f"{name}-{i}") for name, cases in REFUSED.items() for i, case in enumerate(cases)]


@pytest.mark.parametrize(("name", "call", "error", "message"), CASES)
def test_refuses_and_says_why(name, call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert re.match(rf"{name}(:|\(\)) .*{message}", str(caught.value)), str(caught.value)


def test_most_operations_are_among_them():
    """Those that are not differ from one that is by nothing but their formula."""
    alike = {
        "mul",
        "div",
        "maximum",
        "minimum",
        "eq",
        "ne",
        "le",
        "gt",
        "ge",
        "logical_and",
        "logical_or",
        "logical_not",
        "bitwise_or",
    }
    alike |= {"log", "sqrt", "abs", "sin", "cos", "tanh", "sigmoid", "std", "argmin", "any", "all", "logsumexp", "log_softmax"}
    alike |= {"getitem", "clone", "cast", "to_device_of", "tensor_of", "ones", "ones_like", "full_like", "randn"}
    public = {name for name, f in vars(ops).items() if callable(f) and not name.startswith("_")}
    assert public - set(REFUSED) == alike
