"""Health and measures over HTTP: ``/health`` and ``/metrics``, for monitoring and load balancers.

The server runs in a thread of its own, so that it answers when the exchange does not: then its
health is not good.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from gateway.errors import GatewayError

AskHealth = Callable[[], tuple[bool, dict[str, Any]]]
"""Returns whether the exchange serves, and what else is known, as JSON-able entries."""


class Endpoint:
    """An HTTP server for ``/health`` (200 or 503) and ``/metrics`` (Prometheus text).

    Parameters
    ----------
    host, port
        Where it listens; port 0 is a free one.
    registry
        The measures.
    ask_health
        Called in the server's thread.

    Raises
    ------
    GatewayError
        On entering, when it cannot listen there.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, ask_health: AskHealth
    ) -> None:
        self._address = (host, port)
        self._metrics = make_wsgi_app(registry)
        self._ask_health = ask_health
        self._server: WSGIServer | None = None

    @property
    def url(self) -> str:
        """Its address, while it listens."""
        return f"http://{self._address[0]}:{self._address[1]}"

    def __enter__(self) -> Self:
        """Listen."""
        host, port = self._address
        try:
            server = make_server(host, port, self._answer, _Server, _QuietHandler)
        except (OSError, OverflowError) as error:
            raise GatewayError(
                f"health and metrics cannot listen on {host}:{port}: {error}"
            ) from None
        self._server = server
        self._address = (host, server.server_port)
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            found: Iterable[bytes] = self._metrics(environ, start_response)
            return found
        if path != "/health":
            return _reply(start_response, HTTPStatus.NOT_FOUND, {"error": "no such page"})
        serves, entries = self._ask_health()
        status = HTTPStatus.OK if serves else HTTPStatus.SERVICE_UNAVAILABLE
        return _reply(start_response, status, entries)


def _reply(start_response: Any, status: HTTPStatus, content: dict[str, Any]) -> list[bytes]:
    body = json.dumps(content).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    """Leaves requests out of the log."""

    timeout = 10.0  # a client that sends nothing keeps no thread for longer

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""
