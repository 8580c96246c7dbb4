"""minimtl: multi-task and transfer learning from scratch, on a small autograd engine written in NumPy.

    import minimtl as mm
    from minimtl import mtl, nn, optim
    import minimtl.nn.functional as F

Names, argument order and defaults are PyTorch's wherever it has the thing.
"""

from minimtl import cuda, ops
from minimtl.autograd import Tensor, differentiable, grad
from minimtl.backend import device
from minimtl.dtypes import bool_ as bool
from minimtl.dtypes import float16, float32, float64, int8, int16, int32, int64, uint8
from minimtl.dtypes import float32 as float, float64 as double, int64 as long
from minimtl.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minimtl.io import load, save
from minimtl.ops.arithmetic import (
    add, bitwise_and, bitwise_not, bitwise_or, clip, div, eq, ge, gt, le, logical_and, logical_not, logical_or, lt, maximum,
    minimum, mul, ne, neg, pow, remainder, sub, where,
)  # fmt: skip
from minimtl.ops.arithmetic import clip as clamp
from minimtl.ops.create import (
    arange, eye, from_numpy, full, full_like, linspace, ones, ones_like, rand, randint, randn, randperm, tensor, zeros,
    zeros_like,
)  # fmt: skip
from minimtl.ops.elementwise import abs, cos, exp, log, relu, sigmoid, sin, sqrt, tanh
from minimtl.ops.linalg import einsum, matmul, nuclear_norm
from minimtl.ops.reduce import (
    all, any, argmax, argmin, log_softmax, logsumexp, max, mean, min, norm, softmax, std, sum, var,
)  # fmt: skip
from minimtl.ops.shape import (
    cat, clone, flatten, index_select, permute, reshape, split, squeeze, stack, transpose, unsqueeze,
)  # fmt: skip
from minimtl.random import Generator, manual_seed
from minimtl import data, models, mtl, nn, optim, transfer
