"""Clients that take what they have no use for: what becomes of others beside them, with each proxy.

Unlike a fault, an attack comes from the front. All of it stays on loopback, and ends by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..load import Request
from . import readers, uploads, windows
from .good import Plan


@dataclass(frozen=True)
class Attack:
    """`requests` are those of others, while it lasts or without it; it raises if the attackers do not stall."""

    what: str
    requests: Callable[[Plan, bool], list[Request]]
    # What is spoken to the backend, and the proxies that cannot.
    protocol: str = "http1"
    without: tuple[str, ...] = ()
    # Measured together with it.
    also: tuple[str, ...] = ()


ATTACKS = {
    "stalled-readers": Attack(
        f"{readers.CLIENTS} HTTP/1 clients ask for 64 MiB of an HTTP/2 backend and read nothing; others GET 5 KB",
        readers.requests,
        protocol="http2",
        without=("nginx",),
    ),
    "stalled-uploads": Attack(
        f"{uploads.STUCK} POSTs of 50 MB to a service whose backend never reads; "
        "on the same HTTP/2 connection, POSTs of 1 KB to another service",
        uploads.requests,
    ),
    "shut-windows": Attack(
        "12 HTTP/2 connections with 100 requests each, all for answers of a few bytes, and windows of none; others GET the same",
        partial(windows.requests, 12),
        also=("shut-windows-1000",),
    ),
    "shut-windows-1000": Attack("the same on 1,000 connections", partial(windows.requests, 1000)),
}
