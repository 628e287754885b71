"""Processes: what a tree of them uses, starting one on its core, and ending it with all its children."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
PROXY_CORE, OTHER_CORE = 0, 1


class Cpu(NamedTuple):
    """Seconds of processor time."""

    user: float
    system: float


def unwind_at_signals() -> None:
    """Ends this process at SIGTERM as at an exception: so that everything it started is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    found, todo = [], [root]
    while todo:
        process = todo.pop()
        found.append(process)
        with suppress(FileNotFoundError, ProcessLookupError):
            for thread in os.listdir(f"/proc/{process}/task"):
                todo += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
    return found


def cpu(root: int) -> Cpu:
    """What a process tree has used so far."""
    user = system = 0
    for process in tree(root):
        try:
            # The name, in brackets, may contain spaces.
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        user, system = user + int(fields[11]), system + int(fields[12])
    return Cpu(user / TICKS, system / TICKS)


def memory(root: int) -> int:
    """The proportional resident set of a process tree, in KiB."""
    kib = 0
    for process in tree(root):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib


def on_core(core: int | None, command: Sequence[object]) -> list[str]:
    """The command, pinned to a core if there is one."""
    pin = [] if core is None else ["taskset", "-c", str(core)]
    return [*pin, *map(str, command)]


def start(
    command: Sequence[object], core: int | None, log: Path, env: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a process with as many descriptors as allowed; what it prints goes to `log`."""
    with log.open("w") as output:
        return subprocess.Popen(
            on_core(core, command),
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=raise_descriptor_limit,
        )


def raise_descriptor_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def stop(process: subprocess.Popen[bytes], patience: float = 3) -> None:
    """Ends a process and its children: politely, and after so many seconds not."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        for one in tree(process.pid) if process.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(one, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def wait_for_port(port: int, seconds: float = 15) -> None:
    """Until somebody accepts connections there."""

    def accepted() -> bool:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True

    wait_until(accepted, seconds, f"nobody listens on port {port}")


def wait_for_answer(port: int, seconds: float = 15) -> None:
    """Until a request is answered with 200: a proxy may listen before it knows its backends."""

    def answered() -> bool:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.settimeout(2)
            client.sendall(b"GET / HTTP/1.1\r\nhost: bench.local\r\nconnection: close\r\n\r\n")
            return b" 200 " in client.recv(4096)[:20]

    wait_until(answered, seconds, f"no answer 200 on port {port}")


def wait_until_free(port: int, seconds: float = 3) -> None:
    """Until the port can be listened on again."""

    def free() -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return True

    wait_until(free, seconds, f"port {port} is still in use")


def wait_until(true: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            if true():
                return
        time.sleep(0.05)
    raise TimeoutError(otherwise)
