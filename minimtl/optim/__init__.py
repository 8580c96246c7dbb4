"""Optimisers and learning-rate schedules, with PyTorch's names and formulas."""

from minimtl.optim import lr_scheduler
from minimtl.optim.optimizer import Optimizer
from minimtl.optim.optimizers import SGD, Adam, AdamW, RMSprop
