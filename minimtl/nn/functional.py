"""The functions behind the layers, under PyTorch's name for this collection: `import minimtl.nn.functional as F`."""

# fmt: off
from minimtl.ops import (
    adaptive_avg_pool2d, avg_pool2d, batch_norm, binary_cross_entropy, binary_cross_entropy_with_logits, conv2d,
    conv_transpose2d, cross_entropy, dropout, embedding, gelu, group_norm, huber_loss, interpolate, kl_div, l1_loss,
    layer_norm, leaky_relu, linear, log_softmax, max_pool2d, mse_loss, nll_loss, pad, relu, scaled_dot_product_attention,
    sigmoid, smooth_l1_loss, softmax, softplus, tanh,
)
