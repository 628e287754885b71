"""What idle connections cost in memory."""

import json
import subprocess
import time

from .. import places
from ..measure import Row
from ..process import memory
from .target import Target

CONNECTIONS = 5000
# Longer than anybody needs to read the proxy's memory; the generator is told to end before.
HOLD_SECONDS = 20


def idle(target: Target) -> Row:
    """The proxy's memory after a little work, then with idle connections that had one request each.

    Proportional resident sets: user space only, not the system's socket buffers.
    """
    target.generate("closed", "/", 4, 0.3, 0)
    time.sleep(0.5)
    before = memory(target.meter.proxy)
    command = target.client(places.BIN / "generator", "idle", target.address, "/", CONNECTIONS, HOLD_SECONDS)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout
            held = json.loads(holder.stdout.readline())
            time.sleep(1.0)
            after = memory(target.meter.proxy)
        finally:
            holder.terminate()
    per_connection = (after - before) * 1024 / CONNECTIONS
    return {"idle_kib": before, "full_kib": after, "bytes_conn": per_connection, **held}
