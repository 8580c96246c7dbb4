"""Benchmarks and studies: programs, not tests. Speed is reported as ratios to PyTorch, measured in the same run."""
