"""Mutation testing: do the tests notice when the code is changed?

A mutant is the package with one small change, a `+` for a `−`, a 2 for a 1. Tests that still pass have let it survive: either
it computes the same (it is equivalent), or the code does something that no test looks at. cosmic-ray makes the changes.
"""
