"""TLS: HTTP/1.1 and HTTP/2 over connections that stay open, and handshakes."""

import re
import subprocess

from .. import places
from ..find import figure
from ..measure import Row
from .target import Target

HANDSHAKING = 3


def http1(target: Target) -> Row:
    return h2load(target, "--h1", "-c64", "-m1")


def http2(target: Target) -> Row:
    return h2load(target, "-c16", "-m16")


def h2load(target: Target, *options: str) -> Row:
    def load(seconds: float) -> Row:
        text = target.output_of("h2load", "-t1", *options, "-D", int(seconds), f"https://{places.TLS}/")
        n = int(figure(r"requests:.* (\d+) succeeded", text))
        cipher = re.search(r"Cipher: (\S+)", text)
        return {
            "n": n,
            "rps": n / seconds,
            "errors": int(figure(r"(\d+) failed", text)),
            "cipher": cipher.group(1) if cipher else "",
        }

    load(1)
    return target.cost(lambda: load(target.seconds))


def handshakes(target: Target) -> Row:
    """Each connection has a full handshake (`-new` never resumes), sends no request and closes."""

    def load(seconds: float) -> Row:
        command = target.client("openssl", "s_time", "-connect", places.TLS, "-new", "-time", int(seconds))
        clients = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for _ in range(HANDSHAKING)
        ]
        texts = [client.communicate()[0] for client in clients]
        found = [re.search(r"(\d+) connections in \d+ real", text) for text in texts]
        n = sum(int(match.group(1)) for match in found if match)
        return {"n": n, "rps": n / seconds, "errors": 0}

    load(1)
    return target.cost(lambda: load(target.seconds))
