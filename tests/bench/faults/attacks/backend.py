"""A backend that heeds windows, a program of its own: HTTP/2 by prior knowledge. `backend.py PORT NEVER_READS TELLS`

`/big` is answered with 64 MiB, everything else with 5 KB. The second port accepts connections and reads nothing.
Whoever connects to the last one is told how many bytes of large answers were sent, as JSON.
"""

import asyncio
import json
import socket
import sys
from asyncio import StreamReader, StreamWriter

import h2.config
import h2.connection
import h2.events
import h2.exceptions

SMALL, BIG = 5_000, 64 << 20
CHUNK = 16_384
ZEROS = bytes(CHUNK)

sent = {"big": 0}


def size(path: str) -> int:
    return BIG if path == "/big" else SMALL


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        await Http2(reader, writer).run()
    except (OSError, h2.exceptions.ProtocolError):
        pass
    finally:
        writer.close()


class Http2:
    """One connection."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.connection = h2.connection.H2Connection(config)
        # What is still to be sent on each stream, and of how much.
        self.left: dict[int, list[int]] = {}

    async def run(self) -> None:
        self.connection.initiate_connection()
        while data := await self.reader.read(1 << 16):
            for event in self.connection.receive_data(data):
                self.take(event)
            self.send()
            self.writer.write(self.connection.data_to_send())
            await self.writer.drain()

    def take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                length = size(dict(event.headers)[":path"])
                self.left[event.stream_id] = [length, length]
            case h2.events.DataReceived():
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamReset():
                self.left.pop(event.stream_id, None)
            case h2.events.StreamEnded():
                head = [(":status", "200"), ("x-backend", "a")]
                self.connection.send_headers(event.stream_id, head)

    def send(self) -> None:
        """As much as the windows allow, a piece of each at a time."""
        moved = True
        while moved:
            moved = False
            for stream, (left, whole) in list(self.left.items()):
                if not self.connection.streams[stream].state_machine.headers_sent:
                    continue
                n = min(left, CHUNK, self.connection.local_flow_control_window(stream))
                if n <= 0:
                    continue
                self.connection.send_data(stream, ZEROS[:n], end_stream=n == left)
                self.left[stream][0] -= n
                sent["big"] += n if whole == BIG else 0
                if n == left:
                    del self.left[stream]
                moved = True


async def tell(_reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(json.dumps(sent).encode())
    writer.close()


async def main(port: int, never_reads: int, tells: int) -> None:
    stuck = socket.create_server(("127.0.0.1", never_reads), backlog=64)
    # It accepts by the backlog alone, and takes as little as may be.
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    served = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
    async with served, await asyncio.start_server(tell, "127.0.0.1", tells):
        await served.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
