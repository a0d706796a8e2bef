"""One small server per contender; each is a program of its own: ``python -m benchmarks.servers.NAME --port N ...``."""
