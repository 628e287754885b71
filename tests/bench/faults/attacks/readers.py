"""Clients that ask for much and read nothing."""

import socket
import time
from contextlib import ExitStack

from peers import places

from ..load import Request
from .backend_process import sent
from .good import Plan

CLIENTS = 80
REQUEST = b"GET /big HTTP/1.1\r\nhost: bench.local\r\n\r\n"
# All buffers on the way are full when the backend has sent nothing more for so many seconds...
STILL = 1.0
# ... which takes so many at most: the system lets the buffer of each socket grow to some megabytes.
PATIENCE = 90


def requests(plan: Plan, attacked: bool) -> list[Request]:
    with ExitStack() as sockets:
        if not attacked:
            return plan.run()
        for _ in range(CLIENTS):
            client = sockets.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", places.HTTP_PORT))
            client.sendall(REQUEST)
        still()
        found = plan.run()
        still()
        return found


def still() -> None:
    """Returns when nothing moves any more."""
    end, before = time.monotonic() + PATIENCE, -1
    while (now := sent()) != before or now == 0:
        if time.monotonic() > end:
            raise RuntimeError(f"the readers do not stall: {now} bytes, after {before}")
        before = now
        time.sleep(STILL)
