"""TLS and HTTP/2: over connections that stay open, and handshakes."""

import re
import subprocess

from .. import places
from ..find import figure
from ..measure import Row
from .target import Target

HANDSHAKING = 3
SECURE = f"https://{places.TLS}/"
# A message with one field, "hello", and its length before it.
MESSAGE = b"\x00\x00\x00\x00\x07\x0a\x05hello"


def http1(target: Target) -> Row:
    return h2load(target, "--h1", "-c64", "-m1", SECURE)


def http2(target: Target) -> Row:
    return h2load(target, "-c16", "-m16", SECURE)


def grpc(target: Target) -> Row:
    """HTTP/2 on both sides, by prior knowledge, as between services."""
    return h2load(target, "-c16", "-m16", *unary_call())


def unary_call() -> tuple[str, ...]:
    """What h2load has to know of a call."""
    message = places.RUN / "message"
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_bytes(MESSAGE)
    fields = ("-H", "content-type: application/grpc", "-H", "te: trailers")
    return "-d", str(message), *fields, f"http://{places.HTTP}{places.GRPC_PATH}/Unary"


def h2load(target: Target, *options: str) -> Row:
    def load(seconds: float) -> Row:
        text = target.output_of("h2load", "-t1", "-D", whole(seconds), *options)
        n = int(figure(r"requests:.* (\d+) succeeded", text))
        if n == 0:
            raise RuntimeError(f"no request succeeded: {' '.join(text.split())[-300:]}")
        cipher = re.search(r"Cipher: (\S+)", text)
        return {
            "n": n,
            "rps": n / whole(seconds),
            "errors": int(figure(r"(\d+) failed", text)),
            "cipher": cipher.group(1) if cipher else "",
        }

    load(1)
    return target.cost(lambda: load(target.seconds))


def handshakes(target: Target) -> Row:
    """Each connection has a full handshake (`-new` never resumes), sends no request and closes."""

    def load(seconds: float) -> Row:
        command = target.client("openssl", "s_time", "-connect", places.TLS, "-new", "-time", whole(seconds))
        clients = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for _ in range(HANDSHAKING)
        ]
        texts = [client.communicate()[0] for client in clients]
        found = [re.search(r"(\d+) connections in \d+ real", text) for text in texts]
        n = sum(int(match.group(1)) for match in found if match)
        if n == 0:
            raise RuntimeError("no handshake succeeded")
        return {"n": n, "rps": n / seconds, "errors": 0}

    load(1)
    return target.cost(lambda: load(target.seconds))


def whole(seconds: float) -> int:
    """As these clients take it."""
    return max(1, round(seconds))
