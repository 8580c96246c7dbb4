"""Multi-task learning: φ shared by all tasks, θₖ of task k, and Σₖ αₖ Lₖ(θₖ, φ)."""

from minimtl.mtl import aggregation, evaluation, relatedness, schedule, weighting
from minimtl.mtl.compare import Comparison, compare
from minimtl.mtl.distillation import Distillation, Taught, distilled
from minimtl.mtl.fusion import Ensemble, average
from minimtl.mtl.gradients import backward, jacobian
from minimtl.mtl.imbalance import FocalLoss, balanced, class_weights
from minimtl.mtl.objective import minibatch_loss, parity, regularised_loss, task_loss, total_loss, weighted_loss
from minimtl.mtl.penalty import Penalty, group_lasso, l1, l2, l2_distance, trace_norm
from minimtl.mtl.sharing import CGC, MTAN, PLE, CrossStitch, HardSharing, MMoE, Sharing, SoftSharing
from minimtl.mtl.task import Task
from minimtl.mtl.trainer import Trainer
from minimtl.mtl.trunks import SharedEmbedding, SharedEncoder
