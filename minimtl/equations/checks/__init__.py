"""The checks of all equations, a file for each part of the house."""

from minimtl.equations.checks import activations, data, initialisers, optimisers, schedules
