"""Django's sessions in its local-memory cache, under waitress."""

from typing import Any

import django
import waitress
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.servers.common import SESSION, arguments


def answer(text: str) -> HttpResponse:
    # A length, or else the server ends the connection after each answer.
    return HttpResponse(text, headers={"Content-Length": str(len(text))})


def bare(request: HttpRequest) -> HttpResponse:
    return answer("0")


def start(request: HttpRequest) -> HttpResponse:
    request.session.update(SESSION)
    return answer("0")


def read(request: HttpRequest) -> HttpResponse:
    return answer(str(request.session["visits"]))


def written(request: HttpRequest) -> HttpResponse:
    request.session["visits"] += 1
    return answer(str(request.session["visits"]))


urlpatterns = [
    path("bare", bare),
    path("start", start),
    path("none", bare),
    path("read", read),
    path("written", written),
]


def make_application() -> Any:
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="of the benchmark only",
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        LOGGING_CONFIG=None,
        MIDDLEWARE=[],
    )
    django.setup()
    without = WSGIHandler()
    settings.MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
    with_session = WSGIHandler()

    def application(environ: Any, start_response: Any) -> Any:
        # A middleware is for all routes of an application, and the bare one is to go without.
        return (without if environ["PATH_INFO"] == "/bare" else with_session)(environ, start_response)

    return application


if __name__ == "__main__":
    waitress.serve(make_application(), host="127.0.0.1", port=arguments().port, threads=16, _quiet=True)
