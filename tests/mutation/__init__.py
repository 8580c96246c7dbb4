"""Mutation testing: do the tests notice when the code is changed?

A mutant is the package with one small change, a `+` for a `−`, a 2 for a 1. Tests that still pass have let it survive: either
it computes the same (it is equivalent), or the code does something that no test looks at. cosmic-ray makes the changes.
"""


def pytest_configure() -> None:
    """The tests of mutants run with `-p tests.mutation`: a failure need not be made small and explained, it is one."""
    from hypothesis import Phase, settings

    settings.register_profile("hasty", settings.default, phases=set(Phase) - {Phase.shrink, Phase.explain})
    settings.load_profile("hasty")
