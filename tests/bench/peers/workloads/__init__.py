"""What the proxies are asked to do, and how each is judged."""

from collections.abc import Callable
from dataclasses import dataclass

from ..measure import Row
from . import http1, memory, tls
from .target import Target

PER_REQUEST = ("rps", "us_req", "user_us", "sys_us", "errors")
PER_GIB = ("gib_s", "cpu_ms_gib", "errors")
LATENCY = ("rps", "us_req", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "errors")
MEMORY = ("idle_kib", "full_kib", "bytes_conn", "errors")


@dataclass(frozen=True)
class Workload:
    """`key` is the figure that counts; the smaller the better."""

    what: str
    run: Callable[[Target], Row]
    figures: tuple[str, ...] = PER_REQUEST
    key: str = "us_req"
    needs_tls: bool = False
    needs_proxy: bool = False


WORKLOADS = {
    "closed": Workload("GET, 64 connections", lambda t: http1.closed(t, 64)),
    "closed8": Workload("GET, 8 connections", lambda t: http1.closed(t, 8)),
    "wrk": Workload("GET by wrk, 64 connections", http1.wrk),
    "rate": Workload("GET at a constant rate, 64 connections", http1.rate, LATENCY, "p99_us"),
    "post1k": Workload("POST of 1 KiB, 64 connections", lambda t: http1.closed(t, 64, 1 << 10)),
    "post64k": Workload("POST of 64 KiB, 16 connections", lambda t: http1.closed(t, 16, 64 << 10)),
    "1m": Workload("GET of 1 MiB, 8 connections", lambda t: http1.bulk(t, 8, 1 << 20), PER_GIB, "cpu_ms_gib"),
    "64m": Workload(
        "GET of 64 MiB, 2 connections", lambda t: http1.bulk(t, 2, 64 << 20), PER_GIB, "cpu_ms_gib"
    ),
    "tls": Workload("GET over TLS and HTTP/1.1, 64 connections", tls.http1, needs_tls=True),
    "h2": Workload("GET over TLS and HTTP/2, 16 connections of 16 streams", tls.http2, needs_tls=True),
    "handshake": Workload("full TLS 1.3 handshakes, 3 clients", tls.handshakes, needs_tls=True),
    "mem": Workload("5,000 idle connections", memory.idle, MEMORY, "bytes_conn", needs_proxy=True),
}
