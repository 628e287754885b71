"""What a large configuration, and one that changes, cost the traffic in relation to a small, quiet one."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median

from .. import places
from ..measure import Row
from ..proxies import weir
from . import http1
from .target import Target

# Without and with take turns, so that a machine that gets slower counts for both.
TURNS = 3
ROUTES, SERVICES, BACKENDS_OF_EACH = 10_000, 100, 100
OWNER = "scale"


def churn(target: Target) -> Row:
    """A change every 100 ms: services and routes elsewhere, and a backend of the service under load."""
    return compared(target, lambda: changing(target), http1.rate)


def scale(target: Target) -> Row:
    """Half of the other routes are for other hosts, half for other paths of the same host."""
    return compared(target, lambda: crowded(target))


def compared(
    target: Target,
    condition: Callable[[], AbstractContextManager[None]],
    latency: Callable[[Target], Row] | None = None,
) -> Row:
    """CPU per request (and p99 at a constant rate) without and with the condition."""
    without: list[Row] = []
    with_it: list[Row] = []

    def measure(rows: list[Row]) -> None:
        rows.append({**(latency(target) if latency else {}), **http1.closed(target, 64)})

    for _ in range(TURNS):
        measure(without)
        with condition():
            measure(with_it)
    cost = [median(row["us_req"] for row in rows) for rows in (without, with_it)]
    row: Row = {
        "us_without": cost[0],
        "us_with": cost[1],
        "ratio": cost[1] / cost[0],
        "rps": median(row["rps"] for row in with_it),
        "errors": sum(row["errors"] for row in without + with_it),
        "busy": with_it[-1]["busy"],
        "foreign": max(row["foreign"] for row in without + with_it),
    }
    if latency:
        row["p99_without"], row["p99_with"] = (
            median(row["p99_us"] for row in rows) for rows in (without, with_it)
        )
    return row


@contextmanager
def changing(target: Target) -> Iterator[None]:
    # Ended when the block ends; the time is for when nobody is there to do that.
    changer = [places.WEIR / "weir-bench", "churn", weir.CONTROL, "bench", places.SPARE_BACKEND, 120]
    with subprocess.Popen(target.client(*changer), stdout=subprocess.DEVNULL) as process:
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError("the changes ended before the load")
        finally:
            process.terminate()
    # It may be registered at that moment, or not.
    deregister = weir.cli("backend", "deregister", f"bench/{places.SPARE_BACKEND}")
    subprocess.run(deregister, capture_output=True, timeout=30)


@contextmanager
def crowded(_: Target) -> Iterator[None]:
    directory = places.RUN / "weir"
    many, none = directory / "scale.yaml", directory / "none.yaml"
    many.write_text(crowd())
    none.write_text("services: []\n")
    weir.apply(many, "--file-set", OWNER, "--wait")
    try:
        yield
    finally:
        weir.apply(none, "--file-set", OWNER, "--prune", "--wait")


def crowd() -> str:
    lines = ["services:"]
    for service in range(SERVICES):
        addresses = (f"127.1.{service}.{number + 1}:80" for number in range(BACKENDS_OF_EACH))
        lines += [f"  - name: crowd-{service}", f"    backends: {places.quoted(addresses)}"]
    lines.append("routes:")
    for number in range(ROUTES):
        host = "bench.local" if number % 2 else f"crowd-{number}.example"
        match = f"{{ host: {host}, path_prefix: /crowd/{number} }}"
        lines.append(f"  - {{ match: {match}, service: crowd-{number % SERVICES} }}")
    return "\n".join(lines) + "\n"
