"""Hypothesis: the profile that HYPOTHESIS_PROFILE names; "ci" draws the same examples every time."""

import os

from hypothesis import settings

from minimtl.testing.strategies import register_profiles

register_profiles()
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
