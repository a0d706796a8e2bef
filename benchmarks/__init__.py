"""What sessions cost: `python -m benchmarks.run` measures ours beside its peers."""
