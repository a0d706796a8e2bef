"""Attack it, starve it, kill it: what was tried, as programs with a seed; the short parts of each run as tests."""
