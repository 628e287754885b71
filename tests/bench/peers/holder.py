"""Opens TLS connections, makes one request on each, and holds them.

`holder.py PORT http/1.1|h2 CONNECTIONS SECONDS` prints how many are open as a line of JSON. HTTP/2 needs no
library for that: the request's fields are literals, and of the answer only its end matters.
"""

import json
import resource
import socket
import ssl
import sys
import time

HTTP1 = b"GET / HTTP/1.1\r\nhost: bench.local\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# GET, https and / of HPACK's static table, then :authority with a literal.
FIELDS = b"\x82\x87\x84\x01\x0bbench.local"
PATIENCE = 30


def main() -> None:
    port, protocol, connections, seconds = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    held, errors = [], 0
    for _ in range(int(connections)):
        plain = socket.create_connection(("127.0.0.1", int(port)), PATIENCE)
        connection = context.wrap_socket(plain, server_hostname="bench.local")
        held.append(connection)
        if connection.selected_alpn_protocol() != protocol:
            errors += protocol == "h2"
        elif protocol == "h2":
            ask_http2(connection)
        if protocol != "h2":
            connection.sendall(HTTP1)
            errors += b" 200 " not in connection.recv(4096)[:20]
    print(json.dumps({"open": len(held), "errors": errors}), flush=True)
    time.sleep(float(seconds))


def ask_http2(connection: ssl.SSLSocket) -> None:
    request = frame(HEADERS, END_STREAM | END_HEADERS, 1, FIELDS)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + request)
    received = b""
    while True:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("the connection ended before the answer")
        received += piece
        while len(received) >= 9 and len(received) >= 9 + (length := int.from_bytes(received[:3], "big")):
            kind, flags = received[3], received[4]
            received = received[9 + length :]
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK, 0))
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                return


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


if __name__ == "__main__":
    main()
