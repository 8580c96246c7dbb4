"""The checks of all equations, a file for each part of the house, in reading order."""

# isort: off
from minimtl.equations.checks import documents
from minimtl.equations.checks import sharing, learning, weighting, aggregation, relatedness, evaluation
from minimtl.equations.checks import fine_tuning, updates, adaptation, selection, small_models
from minimtl.equations.checks import layers, activations, reductions, losses, normalisation
from minimtl.equations.checks import optimisers, schedules, initialisers, data, augmentation
