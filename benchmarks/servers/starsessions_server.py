"""starsessions with Starlette on uvicorn, in memory and on Redis."""

from typing import Any

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starsessions import InMemoryStore, SessionMiddleware, load_session
from starsessions.stores.redis import RedisStore

from benchmarks.servers.common import SESSION, Arguments, arguments


async def bare(request: Request) -> PlainTextResponse:
    return PlainTextResponse("0")


async def start(request: Request) -> PlainTextResponse:
    await load_session(request)
    request.session.update(SESSION)
    return PlainTextResponse("0")


async def read(request: Request) -> PlainTextResponse:
    await load_session(request)
    return PlainTextResponse(str(request.session["visits"]))


async def written(request: Request) -> PlainTextResponse:
    await load_session(request)
    request.session["visits"] += 1
    return PlainTextResponse(str(request.session["visits"]))


def make_application(given: Arguments) -> Any:
    middleware = Middleware(
        SessionMiddleware, store=make_store(given), lifetime=1200, rolling=True, cookie_https_only=False
    )
    paths = {"/start": start, "/none": bare, "/read": read, "/written": written}
    with_session = Starlette(routes=[Route(path, handler) for path, handler in paths.items()], middleware=[middleware])
    without = Starlette(routes=[Route("/bare", bare)])

    async def application(scope: Any, receive: Any, send: Any) -> None:
        # A middleware is for all routes of an application, and the bare one is to go without.
        await (without if scope.get("path") == "/bare" else with_session)(scope, receive, send)

    return application


def make_store(given: Arguments) -> Any:
    if given.store == "memory":
        return InMemoryStore()
    return RedisStore(connection=Redis.from_url(given.url))


if __name__ == "__main__":
    given = arguments()
    uvicorn.run(
        make_application(given),
        host="127.0.0.1",
        port=given.port,
        loop="asyncio",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
