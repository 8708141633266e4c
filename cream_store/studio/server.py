"""The process around the studio: a port of 127.0.0.1, the address to open, and an end at Ctrl-C."""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from typing import Any, Final

from waitress import wasyncore
from waitress.server import create_server

from cream_store.errors import ConfigurationError
from cream_store.store import Store
from cream_store.studio.app import create_app
from cream_store.studio.gate import Gate

HOST: Final = "127.0.0.1"
THREADS: Final = 6
"""Requests that are answered at once; each has a connection of the pool for a while."""


class Server:
    """The studio at a port of this machine, which no other machine reaches."""

    def __init__(self, store: Store, *, port: int = 0, write: bool = False) -> None:
        """Takes the port, 0 for any free one. Raises ConfigurationError when somebody else has it."""
        self._socket = _listening(port)
        self.port: int = self._socket.getsockname()[1]
        self.gate = Gate(self.port)
        self._connections: dict[int, Any] = {}
        self._stopping = False
        self._pulling = threading.Lock()  # a closed trigger's number may be another file's by now
        self._app = create_app(store, self.gate, write=write)
        self._server: Any = create_server(
            self._app, map=self._connections, sockets=[self._socket], threads=THREADS, ident=None
        )

    def run(self) -> None:
        """Answers requests until Ctrl-C, or until another thread calls `stop`; then gives the port back."""
        for template in self._app.jinja_env.list_templates(extensions=["html"]):
            self._app.jinja_env.get_template(template)  # compiled now, rather than while somebody waits for a page
        try:
            while not self._stopping:
                wasyncore.loop(timeout=1, map=self._connections, count=1)
        except KeyboardInterrupt:
            pass
        finally:
            self._server.task_dispatcher.shutdown()  # first: who answers a request pulls the trigger after it
            with self._pulling:
                wasyncore.close_all(self._connections)

    def stop(self) -> None:
        """Ends `run` in another thread. Changes nothing once it has ended."""
        self._stopping = True
        with self._pulling:
            if self._connections:  # not closed yet
                self._server.pull_trigger()  # wakes the loop up


def serve(store: Store, *, port: int, write: bool, browser: bool, say: Callable[[str], None]) -> None:
    """Runs the studio until Ctrl-C. Says where it is, and opens a browser there if there is one on a screen."""
    server = Server(store, port=port, write=write)
    say(server.gate.entrance)
    if browser and _has_screen():
        webbrowser.open(server.gate.entrance)
    server.run()


def _listening(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere this would let two programs have one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"port {port} of {HOST} can't be used: {error.strerror}; choose another --port, or none"
        ) from error
    return listening


def _has_screen() -> bool:
    """Whether a browser would open in a window: one in this terminal would keep the studio from starting."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
