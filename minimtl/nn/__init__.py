"""Modules: layers, containers and losses, with PyTorch's names."""

# fmt: off
from minimtl.nn import functional, init, utils
from minimtl.nn.attention import MultiheadAttention, TransformerEncoder, TransformerEncoderLayer
from minimtl.nn.containers import ModuleDict, ModuleList, Sequential
from minimtl.nn.activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from minimtl.nn.layers import (
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, Dropout, Embedding, Flatten, GroupNorm,
    Identity, LayerNorm, Linear, MaxPool2d, Upsample,
)
from minimtl.nn.losses import (
    BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, KLDivLoss, L1Loss, MSELoss, NLLLoss, SmoothL1Loss,
)
from minimtl.nn.module import Module, Parameter
