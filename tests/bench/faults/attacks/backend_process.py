"""The backends as processes: a fast one for HTTP/1, and for HTTP/2 one that heeds windows."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from peers import places
from peers.process import OTHER_CORE, start, stop, wait_for_port

FAST, PORT, NEVER_READS, TELLS = 9211, 9212, 9213, 9214
STUCK_ADDRESS = f"127.0.0.1:{NEVER_READS}"
# To a path that begins so, a proxy sends what the backend never reads.
STUCK_PATH = "/stuck"
# Where a proxy speaks nothing but HTTP/2: not all of them find that out by themselves.
HTTP2_PORT = 8001
HTTP2 = f"127.0.0.1:{HTTP2_PORT}"
PYTHON = places.VENV / "bin" / "python"


def address(protocol: str) -> str:
    """Of the backend that speaks `http1` or `http2`."""
    return f"127.0.0.1:{PORT if protocol == 'http2' else FAST}"


def sent() -> int:
    """Bytes of large answers so far."""
    with socket.create_connection(("127.0.0.1", TELLS), 5) as asked:
        return int(json.loads(asked.makefile().read())["big"])


@contextmanager
def backends(pinned: bool) -> Iterator[None]:
    """For as long as a block lasts."""
    places.RUN.mkdir(parents=True, exist_ok=True)
    program = Path(__file__).with_name("backend.py")
    with ExitStack() as ends:
        for command, port in (
            ([places.BIN / "backend", FAST], FAST),
            ([PYTHON, "-B", program, PORT, NEVER_READS, TELLS], TELLS),
        ):
            core = OTHER_CORE if pinned else None
            process = start(command, core, places.RUN / f"attacked-{port}.log")
            ends.callback(stop, process)
            wait_for_port(port)
        yield
