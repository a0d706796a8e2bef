"""``python -m demos.tour``: options, processes, and where the sessions are kept."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from contextlib import suppress

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.options import define, options, parse_command_line
from tornado.process import fork_processes

from demos.tour import stores
from demos.tour.app import make_app


def main() -> None:
    define("cache", default="memory", help=f"where sessions are kept: {', '.join(stores.STORES)}")
    define("address", default="127.0.0.1", help="where to listen")
    define("port", default=8888, help="port to listen on")
    define("processes", default=1, help="how many processes to fork")
    define("mongodb_uri", default=os.environ.get("MONGODB_URI", ""), help="your own MongoDB; else one is started")
    define("redis_url", default=os.environ.get("REDIS_URL", ""), help="your own Redis; else one is started")
    define("sqlite_file", default="", help="where to keep the SQLite file; else it is temporary")
    parse_command_line()
    check_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    sockets = bind()
    url = {"mongodb": options.mongodb_uri, "redis": options.redis_url, "sqlite": options.sqlite_file}
    with suppress(KeyboardInterrupt), stores.serve(options.cache, url.get(options.cache, "")) as ready:
        print(f"The tour: http://{options.address}:{options.port}/ (sessions in {options.cache})", flush=True)
        run(sockets, ready, secrets.token_urlsafe(32))


def check_options() -> None:
    if options.cache not in stores.STORES:
        sys.exit(f"--cache is one of {', '.join(stores.STORES)}, not {options.cache}.")
    if options.cache == "memory" and options.processes != 1:
        sys.exit("--cache=memory belongs to one process: with --processes take mongodb, redis or sqlite.")
    if options.processes < 1:
        sys.exit("--processes is at least 1.")


def bind() -> list[socket.socket]:
    try:
        return bind_sockets(options.port, options.address)
    except OSError as error:
        sys.exit(f"Cannot listen on {options.address}:{options.port}: {error.strerror}. Choose another with --port.")


def run(sockets: list[socket.socket], url: str, cookie_secret: str) -> None:
    if options.processes == 1:
        asyncio.run(serve(sockets, url, cookie_secret))
        return
    # The parent keeps one end of a pipe. However it ends, its children read the end of it.
    parent_lives, parent_end = os.pipe()
    fork_processes(options.processes)
    os.close(parent_end)
    try:
        asyncio.run(serve(sockets, url, cookie_secret, parent_lives))
    finally:
        # What the parent has opened is the parent's to close.
        os._exit(0)


async def serve(sockets: list[socket.socket], url: str, cookie_secret: str, parent_lives: int | None = None) -> None:
    HTTPServer(make_app(stores.open_cache(options.cache, url), cookie_secret)).add_sockets(sockets)
    end = asyncio.Event()
    if parent_lives is not None:
        asyncio.get_running_loop().add_reader(parent_lives, end.set)
    await end.wait()


if __name__ == "__main__":
    main()
