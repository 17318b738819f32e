"""Prefect's server behind `own_pages`: `python -m service.guarded_server`, in place of `prefect server start`.

The same application, started the same way (prefect/cli/_server_utils.py, 3.8), and the same settings; beside the door,
it can end together with the process that started it, whatever becomes of that.
"""

import argparse
import os
import signal
import socket
import sys
import threading

from service.own_pages import HOSTS_VARIABLE, App, OwnPagesOnly

HOST = "127.0.0.1"
DEFAULT_PORT = 4200
"""Prefect's own default."""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m service.guarded_server", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default=HOST, help="Address to listen on.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--socket", type=int, help="File descriptor of a socket that is bound already.")
    parser.add_argument("--temporary", action="store_true", help="No page, and the end when standard input ends.")
    asked = parser.parse_args()
    if asked.temporary:
        threading.Thread(target=_end_with_input, daemon=True).start()
    _serve(asked)


def guarded_app(*, is_temporary: bool) -> App:
    """Prefect's application behind the door."""
    from prefect.server.api.server import create_app

    hosts = os.environ.get(HOSTS_VARIABLE, "").split(",")
    return OwnPagesOnly(create_app(final=True, ephemeral=is_temporary), hosts)


def _serve(asked: argparse.Namespace) -> None:
    import uvicorn
    from prefect.settings import get_current_settings

    api, level = get_current_settings().server.api, get_current_settings().server.logging_level
    config = uvicorn.Config(
        guarded_app(is_temporary=asked.temporary),
        host=asked.host,
        port=asked.port,
        timeout_keep_alive=api.keepalive_timeout,
        ws_ping_interval=api.websocket_ping_interval,
        ws_ping_timeout=api.websocket_ping_timeout,
        log_level=str(level).lower(),
        lifespan="on",
    )
    bound = None if asked.socket is None else [socket.socket(fileno=asked.socket)]
    uvicorn.Server(config).run(sockets=bound)


def _end_with_input() -> None:
    """End when whoever holds the other end of standard input is gone.

    Read without Python's buffer: its lock, held here when the server ends by itself, would end the interpreter by
    SIGABRT, and the reason would not be the last word.
    """
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
