"""Batcher: the calls of parallel requests, sent together."""

from tornado_session.caching.batching.batcher import Batcher

__all__ = ["Batcher"]
