"""Operations on Tensors, each once: `differentiable` functions of arrays, and a few functions composed of them.

`minimtl`, `minimtl.nn.functional` and the methods of Tensor name these same functions.
"""

# fmt: off
from minimtl.ops import check
from minimtl.ops.arithmetic import (
    add, bitwise_and, bitwise_not, bitwise_or, clip, div, eq, ge, gt, le, logical_and, logical_not, logical_or, lt, maximum,
    minimum, mul, ne, neg, pow, remainder, sub, where,
)
from minimtl.ops.attention import scaled_dot_product_attention
from minimtl.ops.create import (
    arange, eye, from_numpy, full, full_like, linspace, ones, ones_like, rand, randint, randn, randperm, tensor, tensor_of,
    zeros, zeros_like,
)
from minimtl.ops.distance import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from minimtl.ops.elementwise import abs, cos, exp, gelu, leaky_relu, log, relu, sigmoid, sin, softplus, sqrt, tanh
from minimtl.ops.image import adaptive_avg_pool2d, avg_pool2d, conv2d, conv_transpose2d, interpolate, max_pool2d
from minimtl.ops.linalg import einsum, linear, matmul, nuclear_norm
from minimtl.ops.loss import binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, kl_div, nll_loss
from minimtl.ops.norm import batch_norm, dropout, group_norm, layer_norm
from minimtl.ops.reduce import all, any, argmax, argmin, log_softmax, logsumexp, max, mean, min, norm, softmax, std, sum, var
from minimtl.ops.shape import (
    cast, cat, clone, embedding, expand, flatten, getitem, index_select, pad, permute, reshape, split, squeeze, stack,
    to_device_of, transpose, unsqueeze,
)
