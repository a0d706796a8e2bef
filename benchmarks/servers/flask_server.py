"""Flask-Session on MongoDB, under waitress; sessions that were only read are not written again."""

from typing import Any

import waitress
from flask import Flask, session
from flask_session import Session
from pymongo import MongoClient

from benchmarks.servers.common import SESSION, Arguments, arguments


def bare() -> str:
    return "0"


def start() -> str:
    session.update(SESSION)
    return "0"


def read() -> str:
    return str(session["visits"])


def written() -> str:
    session["visits"] += 1
    return str(session["visits"])


def make_application(given: Arguments) -> Any:
    without, with_session = Flask("without"), Flask("with_session")
    without.add_url_rule("/bare", view_func=bare)
    with_session.config.update(
        SESSION_TYPE="mongodb",
        SESSION_MONGODB=MongoClient(given.url),
        SESSION_MONGODB_DB="benchmark",
        SESSION_MONGODB_COLLECT="flask_session",
        # On by default, and then every request that reads a session writes it too. This is what the peer can do best.
        SESSION_REFRESH_EACH_REQUEST=False,
    )
    Session(with_session)
    for path, view in {"/start": start, "/none": bare, "/read": read, "/written": written}.items():
        with_session.add_url_rule(path, path, view)

    def application(environ: Any, start_response: Any) -> Any:
        return (without if environ["PATH_INFO"] == "/bare" else with_session)(environ, start_response)

    return application


if __name__ == "__main__":
    given = arguments()
    waitress.serve(make_application(given), host="127.0.0.1", port=given.port, threads=16, _quiet=True)
