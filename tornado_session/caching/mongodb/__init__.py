"""MongoCache: sessions in MongoDB, through PyMongo's AsyncMongoClient or Motor."""

from tornado_session.caching.mongodb.cache import MongoCache

__all__ = ["MongoCache"]
