"""What the proxies are asked to do, and how each is judged."""

from collections.abc import Callable
from dataclasses import dataclass

from ..measure import Row
from . import configuration, http1, memory, tls
from .target import Target

PER_REQUEST = ("rps", "us_req", "user_us", "sys_us", "errors")
PER_GIB = ("gib_s", "cpu_ms_gib", "errors")
LATENCY = ("rps", "us_req", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "errors")
MEMORY = ("idle_kib", "full_kib", "bytes_conn", "errors")
COMPARED = ("us_without", "us_with", "ratio", "errors")
DISTURBED = (*COMPARED, "p99_without", "p99_with")


@dataclass(frozen=True)
class Workload:
    """`key` is the figure that counts; the smaller the better, unless `more` is."""

    what: str
    run: Callable[[Target], Row]
    figures: tuple[str, ...] = PER_REQUEST
    key: str = "us_req"
    more: bool = False
    needs_proxy: bool = False
    # Needs a proxy that has done nothing yet: what it gave back, its allocator may have kept.
    fresh: bool = False
    # How proxies run for it, if not as the command line says.
    workers: int | None = None
    log: bool | None = None
    # Who is asked, if not everybody.
    only: tuple[str, ...] = ()


WORKLOADS = {
    "closed": Workload("GET, 64 connections", lambda t: http1.closed(t, 64)),
    "closed8": Workload("GET, 8 connections", lambda t: http1.closed(t, 8)),
    "wrk": Workload("GET by wrk, 64 connections", http1.wrk),
    "rate": Workload("GET at a constant rate, 64 connections", http1.rate, LATENCY, "p99_us"),
    "post1k": Workload("POST of 1 KiB, 64 connections", lambda t: http1.closed(t, 64, 1 << 10)),
    "post64k": Workload("POST of 64 KiB, 16 connections", lambda t: http1.closed(t, 16, 64 << 10)),
    "chunked": Workload("4 KiB in chunks of 1 KiB both ways, 64 connections", http1.chunked),
    "1m": Workload("GET of 1 MiB, 8 connections", lambda t: http1.bulk(t, 8, 1 << 20), PER_GIB, "cpu_ms_gib"),
    "64m": Workload(
        "GET of 64 MiB, 2 connections", lambda t: http1.bulk(t, 2, 64 << 20), PER_GIB, "cpu_ms_gib"
    ),
    "tls": Workload("GET over TLS and HTTP/1.1, 64 connections", tls.http1),
    "h2": Workload("GET over TLS and HTTP/2, 16 connections of 16 streams", tls.http2),
    "handshake": Workload("full TLS 1.3 handshakes, 3 clients", tls.handshakes),
    "grpc": Workload("unary calls over HTTP/2 in the clear, 16 connections of 16 streams", tls.grpc),
    "ws": Workload("WebSocket echoes of 64 bytes, 64 connections", http1.websocket),
    "log": Workload("GET with an access log, 64 connections", lambda t: http1.closed(t, 64), log=True),
    "two": Workload(
        "GET, 64 connections; two workers, nothing pinned: the clients share the cores",
        lambda t: http1.closed(t, 64),
        key="rps",
        more=True,
        workers=2,
    ),
    "slow": Workload(
        "GET at a constant rate; 1 of 128 backends takes 100 ms to answer", http1.slow, LATENCY, "p99_us"
    ),
    "churn": Workload(
        "GET while the configuration changes every 100 ms, in relation to without",
        configuration.churn,
        DISTURBED,
        "ratio",
        only=("weir",),
    ),
    "scale": Workload(
        "GET beside 10,000 other routes and 10,000 backends, in relation to without",
        configuration.scale,
        COMPARED,
        "ratio",
        only=("weir",),
    ),
    "mem": Workload(
        "5,000 idle connections", memory.http1, MEMORY, "bytes_conn", needs_proxy=True, fresh=True
    ),
    "idle-tls": Workload("5,000 idle connections with TLS", memory.tls, MEMORY, "bytes_conn", fresh=True),
    "idle-h2": Workload(
        "5,000 idle connections with TLS and HTTP/2", memory.http2, MEMORY, "bytes_conn", fresh=True
    ),
}
