"""One HTTP/2 connection, a program of its own: a few uploads that get stuck, and small ones at a constant rate.

    upload.py PORT RPS REQUESTS PATIENCE STUCK BYTES STUCK_PATH

Small ones begin when the large ones are stuck. Prints a line for each small one, as `arrivals` does. Fails if the large
ones do not get stuck, or one of them comes to its end.
"""

import selectors
import socket
import sys
import time
from dataclasses import dataclass

import h2.connection
import h2.events
import h2.exceptions

SMALL = bytes(1_000)
CHUNK = bytes(16_384)
# The large ones are stuck when nothing of them moved for so many seconds, which takes so many at most.
STILL, SETTLED = 1.0, 20.0


@dataclass
class Small:
    """A small request that is under way."""

    due: float
    late: float
    left: bytes = SMALL
    status: str = "broken"


class Client:
    """The connection, and what is on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.connection = h2.connection.H2Connection()
        self.connection.initiate_connection()
        self.output = bytearray(self.connection.data_to_send())
        self.small: dict[int, Small] = {}
        self.large: dict[int, int] = {}
        self.moved, self.moved_at = 0, time.monotonic()
        self.open = True

    def begin(self, path: str, length: int) -> int:
        stream = self.connection.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "http"), (":authority", "bench.local"), (":path", path)]
        self.connection.send_headers(stream, [*fields, ("content-length", str(length))])
        return stream

    def end(self, stream: int, how: str | None = None) -> None:
        self.large.pop(stream, None)
        if small := self.small.pop(stream, None):
            report(small, how or small.status)

    def read(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            events = self.connection.receive_data(data) if data else [h2.events.ConnectionTerminated()]
        except h2.exceptions.ProtocolError:
            events = [h2.events.ConnectionTerminated()]
        for event in events:
            match event:
                case h2.events.ResponseReceived() if event.stream_id in self.small:
                    self.small[event.stream_id].status = status(event.headers)
                case h2.events.DataReceived():
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.end(event.stream_id)
                case h2.events.StreamReset():
                    self.end(event.stream_id, "broken")
                case h2.events.ConnectionTerminated():
                    self.open = False

    def pump(self) -> None:
        """What the windows allow; small ones first, and no more than the socket takes."""
        for stream, small in self.small.items():
            if small.left and (n := min(len(small.left), self.window(stream))) > 0:
                self.connection.send_data(stream, small.left[:n], end_stream=n == len(small.left))
                small.left = small.left[n:]
        moving = True
        while moving and len(self.output) < len(CHUNK):
            moving = False
            for stream, left in self.large.items():
                if (n := min(left, len(CHUNK), self.window(stream))) > 0:
                    self.connection.send_data(stream, CHUNK[:n], end_stream=n == left)
                    self.large[stream] -= n
                    self.moved, self.moved_at, moving = self.moved + n, time.monotonic(), True
            self.output += self.connection.data_to_send()

    def window(self, stream: int) -> int:
        return self.connection.local_flow_control_window(stream)

    def write(self) -> None:
        self.output += self.connection.data_to_send()
        try:
            while self.output:
                del self.output[: self.socket.send(self.output)]
        except BlockingIOError:
            pass
        except OSError:
            self.open = False


def status(fields: list[tuple[bytes | str, bytes | str]]) -> str:
    value = next(value for name, value in fields if name in {":status", b":status"})
    return value if isinstance(value, str) else value.decode()


def report(small: Small, how: str) -> None:
    took = time.monotonic() - small.due
    backend = "a" if how == "200" else "-"
    print(*(round(seconds * 1e6) for seconds in (small.due, small.late, took)), how, backend)


def turn(client: Client, selector: selectors.BaseSelector, until: float) -> None:
    """Whatever can be written and read, and what comes in a while that ends at that time at the latest."""
    if not client.open:
        time.sleep(0.001)
        return
    client.pump()
    client.write()
    wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.output else 0)
    selector.modify(client.socket, wanted)
    if selector.select(max(0.0, min(0.05, until - time.monotonic()))):
        client.read()


def begin(client: Client, due: float) -> None:
    small = Small(due, time.monotonic() - due)
    try:
        if not client.open:
            raise h2.exceptions.ProtocolError
        client.small[client.begin("/", len(SMALL))] = small
    except h2.exceptions.ProtocolError:
        report(small, "refused")


def give_up(client: Client, patience: float) -> None:
    for stream, small in list(client.small.items()):
        if not client.open:
            client.end(stream, "broken")
        elif time.monotonic() > small.due + patience:
            client.connection.reset_stream(stream, 8)
            client.end(stream, "timeout")


def main() -> None:
    port, rps, requests, patience, stuck, size = map(int, sys.argv[1:7])
    client = Client(port)
    selector = selectors.DefaultSelector()
    selector.register(client.socket, selectors.EVENT_READ)
    for _ in range(stuck):
        client.large[client.begin(sys.argv[7], size)] = size
    settled = time.monotonic() + SETTLED
    while stuck and time.monotonic() < client.moved_at + STILL:
        if time.monotonic() > settled:
            sys.exit(f"the large uploads do not get stuck: {client.moved} bytes")
        turn(client, selector, settled)
    start, number = time.monotonic(), 0
    while number < requests or client.small:
        while number < requests and (due := start + number / rps) <= time.monotonic():
            number += 1
            begin(client, due)
        give_up(client, patience)
        turn(client, selector, start + number / rps if number < requests else start + 3600)
    # Buffers on the way may grow, and take some more.
    if 0 in client.large.values():
        sys.exit(f"a large upload came to its end: {client.moved} bytes of all")


if __name__ == "__main__":
    main()
