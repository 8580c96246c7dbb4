"""PyTorch's place for questions about the GPU."""

from minimtl.backend import cuda_is_available as is_available
