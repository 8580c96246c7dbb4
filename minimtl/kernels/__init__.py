"""Kernels: pure functions of arrays that return a value and its vector-Jacobian products, `y, gx, gw, gb`.

They check nothing (the operations above do) and know neither Tensors nor graphs.
"""

from minimtl.kernels.activation import GELU, erf, sigmoid
from minimtl.kernels.conv import conv2d, conv_transpose2d
from minimtl.kernels.index import put, take
from minimtl.kernels.linear import linear

from minimtl.kernels.norm import batch_norm, batch_norm_eval, group_norm, layer_norm
from minimtl.kernels.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from minimtl.kernels.resize import upsample_nearest2d
from minimtl.kernels.softmax import cross_entropy, log_softmax, logsumexp, softmax
