"""Entries in a table of a SQL database, by SQLAlchemy."""

from tornado_session.caching.sql.cache import SQLCache
from tornado_session.caching.sql.engine import create_cache_engine

__all__ = ["SQLCache", "create_cache_engine"]
