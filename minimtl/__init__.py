"""minimtl: multi-task and transfer learning from scratch, on a small autograd engine written in NumPy.

    import minimtl as mm
    from minimtl import mtl, nn, optim
    import minimtl.nn.functional as F

Names, argument order and defaults are PyTorch's wherever it has the thing.
"""

from minimtl import cuda, ops
from minimtl.autograd import Tensor, differentiable, enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled
from minimtl.backend import device
from minimtl.dtypes import bool_ as bool
from minimtl.dtypes import float16, float32, float64, int8, int16, int32, int64, uint8
from minimtl.io import load, save
from minimtl.ops import *
from minimtl.ops import clip as clamp
from minimtl.random import Generator, manual_seed
from minimtl import nn, optim
