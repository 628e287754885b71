"""HTTP/1.1 in the clear, over connections that stay open."""

import re

from .. import places
from ..find import figure
from ..measure import Row
from .target import Target

# Not counted: connections are made, caches filled.
WARM_SECONDS = 0.5
CHUNKED_BYTES = 4 << 10
FRAME_BYTES = 64


def closed(target: Target, connections: int, body: int | str = 0, path: str = "/") -> Row:
    """Each connection asks again as soon as it is answered. Posts `body` bytes if there are any.

    `chunked:1024` are bytes too.
    """
    target.generate("closed", path, connections, WARM_SECONDS, 0, body)
    return target.cost(lambda: target.generate("closed", path, connections, target.seconds, 0, body))


def bulk(target: Target, connections: int, size: int) -> Row:
    """Long answers: what counts is the cost of a GiB."""
    row = closed(target, connections, path=f"/b/{size}")
    gib = row["n"] * size / 2**30
    milliseconds = row["us_req"] * row["n"] / 1e3
    return {**row, "gib_s": gib / target.seconds, "cpu_ms_gib": milliseconds / gib if gib else 0}


def chunked(target: Target) -> Row:
    """Bodies without a length, both ways."""
    return closed(target, 64, f"chunked:{CHUNKED_BYTES}", f"/c/{CHUNKED_BYTES}")


def websocket(target: Target) -> Row:
    """Each connection says more as soon as it has its echo; an echo counts as a request."""

    def load(seconds: float) -> Row:
        return target.generate("websocket", places.WEBSOCKET_PATH, 64, seconds, 0, FRAME_BYTES)

    load(WARM_SECONDS)
    return target.cost(lambda: load(target.seconds))


def slow(target: Target) -> Row:
    """Whether the few who are slow hold up the others."""
    return rate(target, places.MANY_PATH)


def rate(target: Target, path: str = "/") -> Row:
    """A constant rate; latency counts from the moment at which a request was meant to be sent."""
    requests = round(target.rate * (target.seconds + WARM_SECONDS))
    return target.cost(
        lambda: target.generate("rate", path, target.rate, 64, target.seconds, WARM_SECONDS),
        lambda _: requests,
    )


def wrk(target: Target) -> Row:
    """The same as `closed`, by a load generator that others know."""

    def load(seconds: float) -> Row:
        text = target.output_of(
            "wrk", "-t1", "-c64", f"-d{int(seconds)}", "-H", "Host: bench.local", f"http://{target.address}/"
        )
        bad = re.search(r"Non-2xx.*: (\d+)", text)
        return {
            "n": int(figure(r"(\d+) requests in", text)),
            "rps": float(figure(r"Requests/sec:\s+([\d.]+)", text)),
            "errors": int(bad.group(1)) if bad else 0,
        }

    load(1)
    return target.cost(lambda: load(target.seconds))
