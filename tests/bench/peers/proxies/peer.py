"""What the benchmark needs to know about a proxy."""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ..find import figure
from ..process import OTHER_CORE, start, stop, wait_for_port

# Of three parts at least, and what a distribution adds.
VERSION = r"\b(\d+\.\d+\.\d+[^\s/,]*)"


@dataclass(frozen=True)
class Settings:
    """How a proxy is to run. `directory` is its own, and empty."""

    workers: int
    log: bool
    directory: Path
    pinned: bool
    ends_with: ExitStack

    def write(self, name: str, text: str) -> Path:
        """A configuration file."""
        path = self.directory / name
        path.write_text(text)
        return path

    def beside(self, command: Sequence[object], port: int) -> None:
        """Starts what the proxy needs beside it, which ends with it; returns when it listens on `port`."""
        core = OTHER_CORE if self.pinned else None
        process = start(command, core, self.directory / f"{Path(str(command[0])).name}.log")
        self.ends_with.callback(stop, process)
        wait_for_port(port)


@dataclass(frozen=True)
class Launch:
    """How to start a proxy that is configured."""

    command: list[object]
    env: dict[str, str] = field(default_factory=dict)
    # The access log is what the proxy prints.
    prints_log: bool = False


@dataclass(frozen=True)
class Peer:
    """A proxy. One without `prepare` is none: the load goes straight to a backend."""

    name: str
    binary: Path
    prepare: Callable[[Settings], Launch] | None
    version: tuple[str, ...] = ("--version",)
    # Workloads that it is not configured for.
    without: tuple[str, ...] = ()
    # Not compared with Weir: shows a limit.
    limit: bool = False

    def describe(self) -> str:
        """Its name and version, as it says it itself."""
        done = subprocess.run([self.binary, *self.version], capture_output=True, text=True, timeout=30)
        return f"{self.name} {figure(VERSION, done.stdout + done.stderr)}"
