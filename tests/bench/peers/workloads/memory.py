"""What idle connections cost in memory."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .. import places
from ..measure import Row
from ..process import memory
from .target import Target

CONNECTIONS = 5000
# Longer than anybody needs to read the proxy's memory; who holds them is told to end before.
HOLD_SECONDS = 20
HOLDER = Path(__file__).parent.parent / "holder.py"


def http1(target: Target) -> Row:
    target.generate("closed", "/", 4, 0.3, 0)
    return idle(target, places.BIN / "generator", "idle", target.address, "/", CONNECTIONS, HOLD_SECONDS)


def tls(target: Target) -> Row:
    return over_tls(target, "http/1.1")


def http2(target: Target) -> Row:
    return over_tls(target, "h2")


def over_tls(target: Target, protocol: str) -> Row:
    holder: Sequence[object] = (sys.executable, HOLDER, places.TLS_PORT, protocol)
    target.output_of(*holder, 4, 0)
    return idle(target, *holder, CONNECTIONS, HOLD_SECONDS)


def idle(target: Target, *holder: object) -> Row:
    """The proxy's memory after a little work, then with idle connections that had one request each.

    Proportional resident sets: user space only, not the system's socket buffers.
    """
    time.sleep(0.5)
    before = memory(target.meter.proxy)
    with subprocess.Popen(target.client(*holder), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            held = json.loads(process.stdout.readline())
            time.sleep(1.0)
            after = memory(target.meter.proxy)
        finally:
            process.terminate()
    per_connection = (after - before) * 1024 / CONNECTIONS
    return {"idle_kib": before, "full_kib": after, "bytes_conn": per_connection, **held}
