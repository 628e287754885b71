"""Proxies and backends for as long as a block lasts."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import places
from .process import OTHER_CORE, PROXY_CORE, start, stop, wait_for_answer, wait_for_port, wait_until_free
from .proxies import Peer, Settings

# Under a tool everything takes many times as long.
PATIENCE, PATIENCE_UNDER_TOOL = 15, 60


@contextmanager
def backends(pinned: bool) -> Iterator[int]:
    """All backends, which are one process: its number."""
    places.RUN.mkdir(parents=True, exist_ok=True)
    slow, *others = places.MANY_BACKEND_PORTS
    ports = [*places.BACKEND_PORTS, places.SPARE_BACKEND_PORT, f"slow:{slow}", *others]
    command = [places.BIN / "backend", *ports]
    process = start(command, OTHER_CORE if pinned else None, places.RUN / "backend.log")
    try:
        wait_for_port(places.BACKEND_PORTS[0])
        yield process.pid
    finally:
        stop(process)


@contextmanager
def proxy(peer: Peer, workers: int, log: bool, under: tuple[object, ...] = ()) -> Iterator[int]:
    """A proxy that answers: its process number. `under` is a command that runs it, as `valgrind`."""
    assert peer.prepare, f"{peer.name} is no proxy"
    directory = places.RUN / peer.name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    pinned = workers == 1
    with ExitStack() as beside:
        beside.callback(places.ACCESS_LOG.unlink, missing_ok=True)
        launch = peer.prepare(Settings(workers, log, directory, pinned, beside))
        output = places.ACCESS_LOG if log and launch.prints_log else directory / "output.log"
        process = start([*under, *launch.command], PROXY_CORE if pinned else None, output, launch.env)
        beside.callback(wait_until_free, places.HTTP_PORT)
        beside.callback(stop, process, PATIENCE_UNDER_TOOL if under else 3)
        try:
            wait_for_answer(places.HTTP_PORT, PATIENCE_UNDER_TOOL if under else PATIENCE)
        except TimeoutError as error:
            raise RuntimeError(f"{peer.name}: {error}; it said: {tail(output)}") from error
        yield process.pid


def tail(file: Path) -> str:
    return file.read_text(errors="replace")[-300:].strip() or "nothing"
