"""aiohttp-session, on Redis; and on MongoDB by aiohttp-session-mongo, with PyMongo Async or with Motor."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp_session import get_session, session_middleware
from aiohttp_session.redis_storage import RedisStorage
from aiohttp_session_mongo import MongoStorage
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from benchmarks.servers.common import SESSION, Arguments, arguments

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def bare(request: web.Request) -> web.Response:
    return web.Response(text="0")


async def start(request: web.Request) -> web.Response:
    (await get_session(request)).update(json.loads(json.dumps(SESSION)))
    return web.Response(text="0")


async def read(request: web.Request) -> web.Response:
    session = await get_session(request)
    return web.Response(text=str(session["visits"]))


async def written(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["visits"] += 1
    return web.Response(text=str(session["visits"]))


def make_application(given: Arguments) -> web.Application:
    with_session: Any = session_middleware(make_storage(given))

    @web.middleware
    async def except_bare(request: web.Request, handler: Handler) -> web.StreamResponse:
        # A middleware is for all routes of an application, and the bare one is to go without.
        if request.path == "/bare":
            return await handler(request)
        response: web.StreamResponse = await with_session(request, handler)
        return response

    application = web.Application(middlewares=[except_bare])
    routes = {"/bare": bare, "/start": start, "/none": bare, "/read": read, "/written": written}
    application.add_routes([web.get(path, handler) for path, handler in routes.items()])
    return application


def make_storage(given: Arguments) -> Any:
    if given.store == "redis":
        return RedisStorage(Redis.from_url(given.url), max_age=1200)
    return MongoStorage(make_client(given).benchmark.aiohttp_session, max_age=1200)


def make_client(given: Arguments) -> Any:
    if given.store == "mongodb-motor":
        return AsyncIOMotorClient(given.url)
    return AsyncMongoClient(given.url)


if __name__ == "__main__":
    given = arguments()

    async def make() -> web.Application:
        return make_application(given)  # inside the loop, where the drivers belong

    web.run_app(make(), host="127.0.0.1", port=given.port, access_log=None, print=None)
