"""Modules: layers, containers and losses, with PyTorch's names."""

# fmt: off
from minimtl.nn import functional, init, utils
from minimtl.nn.containers import ModuleDict, ModuleList, Sequential
from minimtl.nn.layers import (
    GELU, AdaptiveAvgPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, Dropout, Embedding, Flatten,
    GroupNorm, Identity, LayerNorm, LeakyReLU, Linear, LogSoftmax, MaxPool2d, ReLU, Sigmoid, Softmax, Softplus, Tanh,
    Upsample,
)
from minimtl.nn.losses import (
    BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, KLDivLoss, L1Loss, MSELoss, NLLLoss, SmoothL1Loss,
)
from minimtl.nn.module import Module, Parameter
