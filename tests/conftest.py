"""Hypothesis: the profile that HYPOTHESIS_PROFILE names; "ci" draws the same examples every time. One thread for each process."""

import os

for library in ("OPENBLAS", "MKL", "OMP"):  # before NumPy is loaded: each of the processes that share the tests has one thread
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from hypothesis import settings

from minimtl.testing.strategies import register_profiles

register_profiles()
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
