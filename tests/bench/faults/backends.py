"""The backends: processes of their own, so that one can be killed, stopped or told to misbehave."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from peers import places
from peers.process import OTHER_CORE, on_core, raise_descriptor_limit, wait_for_port

PORTS = (9201, 9202, 9203)
ADDRESSES = tuple(f"127.0.0.1:{port}" for port in PORTS)
NAMES = ("a", "b", "c")
DIRECTORY = places.RUN / "faults"


@dataclass(frozen=True)
class Capacity:
    """How many milliseconds a request takes, and how many are worked on at a time; 0 is any number."""

    work: int = 10
    slots: int = 0

    def per_second(self) -> float:
        """What one backend can answer."""
        return self.slots * 1000 / self.work


@dataclass
class Backend:
    """One backend. What it saw it writes down at once, so that killing it loses nothing."""

    name: str
    port: int
    capacity: Capacity
    pinned: bool
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Returns when it listens."""
        command = (
            places.BIN / "faulty",
            self.port,
            self.name,
            self.log,
            self.capacity.work,
            self.capacity.slots,
        )
        self.process = subprocess.Popen(
            on_core(OTHER_CORE if self.pinned else None, command),
            stdin=subprocess.PIPE,
            bufsize=0,
            preexec_fn=raise_descriptor_limit,
        )
        wait_for_port(self.port)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin
        self.process.stdin.close()

    def stop(self) -> None:
        """It listens and keeps its connections, and does nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def behave(self, how: str) -> None:
        """As `faulty` understands it: `well`, or a fault and whom it meets."""
        assert self.process.stdin
        self.process.stdin.write(f"{how}\n".encode())

    def saw(self, what: str = "request") -> list[float]:
        """When each request, or `check`, came to it, as `time.monotonic` counts."""
        lines = (line.split() for line in self.log.read_text().splitlines())
        return [int(micros) / 1e6 for micros, kind in lines if kind == what]

    @property
    def log(self) -> Path:
        return DIRECTORY / f"{self.name}.log"


@contextmanager
def backends(capacity: Capacity, pinned: bool) -> Iterator[list[Backend]]:
    """All of them, as long as a block lasts."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir(parents=True)
    with ExitStack() as ends:
        started = []
        for name, port in zip(NAMES, PORTS, strict=True):
            backend = Backend(name, port, capacity, pinned)
            backend.start()
            ends.callback(backend.kill)
            started.append(backend)
        yield started
