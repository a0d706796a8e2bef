"""Sessions and TempData for Tornado: async-loaded, encrypted, in memory, MongoDB, Redis or SQL.

The names an application writes. Caches with a driver stay out: ``tornado_session.caching.mongodb.MongoCache``,
``tornado_session.caching.redis.RedisCache``, ``tornado_session.caching.sql.SQLCache``.
"""

from tornado_session.application import SessionInfo, Sessions, session_settings
from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, DistributedCache
from tornado_session.caching.memory import MemoryCache
from tornado_session.cookies.options import CookieOptions
from tornado_session.errors import (
    CacheError,
    CacheTimeoutError,
    ConfigurationError,
    ProtectionError,
    ResponseStartedError,
    SerializationError,
    SessionConflictError,
    SessionError,
    SessionNotConfiguredError,
    SessionNotLoadedError,
    SessionTooLargeError,
    SessionUnavailableError,
    TempDataTooLargeError,
    UnknownKeyError,
)
from tornado_session.flash import Flash
from tornado_session.handler import SessionMixin
from tornado_session.items import ItemKey
from tornado_session.options import SessionOptions
from tornado_session.protection.key_ring import KeyRing
from tornado_session.protection.protector import Protector
from tornado_session.session import Session
from tornado_session.temp_data.contract import TempDataProvider
from tornado_session.temp_data.cookie import CookieTempDataProvider
from tornado_session.temp_data.dictionary import TempData, TempDataField
from tornado_session.temp_data.session import SessionTempDataProvider

__all__ = [
    "CacheEntry",
    "CacheEntryOptions",
    "CacheError",
    "CacheTimeoutError",
    "ConfigurationError",
    "CookieOptions",
    "CookieTempDataProvider",
    "DistributedCache",
    "Flash",
    "ItemKey",
    "KeyRing",
    "MemoryCache",
    "ProtectionError",
    "Protector",
    "ResponseStartedError",
    "SerializationError",
    "Session",
    "SessionConflictError",
    "SessionError",
    "SessionInfo",
    "SessionMixin",
    "SessionNotConfiguredError",
    "SessionNotLoadedError",
    "SessionOptions",
    "SessionTempDataProvider",
    "SessionTooLargeError",
    "SessionUnavailableError",
    "Sessions",
    "TempData",
    "TempDataField",
    "TempDataProvider",
    "TempDataTooLargeError",
    "UnknownKeyError",
    "session_settings",
]
