"""Gradients that can be trusted: checks for this engine's operations, and for a reader's own."""

from minimtl.testing.gradcheck import gradcheck, gradcheck_module
from minimtl.testing.linear import check_linear_op
from minimtl.testing.planted import self_test
from minimtl.testing.properties import check_delta, check_frozen, check_own_parameters, check_shared_parameters
from minimtl.testing.report import GradientError, Report
