"""Clients of others, each asking the same of a backend and of the proxy before it: `clients.py PROXY NAME=BACKEND...`.

Prints what differs, and fails if anything does.
"""

import asyncio
import functools
import hashlib
import random
import subprocess
import sys

import aiohttp
import httpx
import websockets
from websockets.asyncio.client import connect

# Of one hop or of one moment: these may differ.
OF_THE_HOP = {"connection", "keep-alive", "transfer-encoding", "via", "date", "server"}

REQUESTS = [
    ("GET", "/bytes/0", None),
    ("GET", "/bytes/10", None),
    ("GET", "/bytes/100000", None),
    ("GET", "/bytes/5000000", None),
    ("HEAD", "/bytes/100000", None),
    ("GET", "/status/204", None),
    ("GET", "/status/302", None),
    ("GET", "/status/404", None),
    ("GET", "/status/500", None),
]
WITH_CODE = [
    ("GET", "/chunked/0", None),
    ("GET", "/chunked/1000000", None),
    ("HEAD", "/chunked/1000", None),
    ("POST", "/echo", b""),
    ("POST", "/echo", b"hello"),
    ("PUT", "/echo", bytes(1_000_000)),
    ("DELETE", "/echo", None),
    ("PATCH", "/echo", b"x" * 70_000),
]


def seen(status: int, headers: list[tuple[str, str]], body: bytes) -> tuple:
    """What must not differ."""
    kept = sorted((name.lower(), value) for name, value in headers if name.lower() not in OF_THE_HOP)
    return status, kept, len(body), hashlib.sha256(body).hexdigest()


async def by_httpx(base: str, host: str, requests: list, *, http2: bool = False) -> list:
    """One connection, in pieces where a body is sent in pieces."""
    results = []
    version = {"http1": not http2, "http2": http2}
    async with httpx.AsyncClient(base_url=base, headers={"Host": host}, timeout=20, **version) as client:
        for method, path, body in requests:
            response = await client.request(method, path, content=body)
            if http2 and response.http_version != "HTTP/2":
                sys.exit(f"{base}: {response.http_version}")
            results.append(seen(response.status_code, response.headers.multi_items(), response.content))
            if body:

                async def pieces(body: bytes = body):  # noqa: ANN202
                    for start in range(0, len(body), 50_000):
                        yield body[start : start + 50_000]

                response = await client.request(method, path, content=pieces())
                results.append(seen(response.status_code, response.headers.multi_items(), response.content))
    return results


async def by_aiohttp(base: str, host: str, requests: list) -> list:
    """Twenty at a time."""

    async def ask(client: aiohttp.ClientSession, method: str, path: str, body: bytes | None) -> tuple:
        async with client.request(method, base + path, data=body, allow_redirects=False) as response:
            return seen(response.status, list(response.headers.items()), await response.read())

    connector = aiohttp.TCPConnector(limit=20)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(headers={"Host": host}, connector=connector, timeout=timeout) as client:
        return list(await asyncio.gather(*(ask(client, *request) for request in requests * 5)))


async def by_httpx_at_once(base: str, host: str, requests: list, *, http2: bool = False) -> list:
    """A hundred at a time; over HTTP/2 on one connection."""
    version = {"http1": not http2, "http2": http2}
    limits = httpx.Limits(max_connections=1 if http2 else 20)
    results = []
    async with httpx.AsyncClient(
        base_url=base, headers={"Host": host}, timeout=60, limits=limits, **version
    ) as client:

        async def ask(method: str, path: str, body: bytes | None) -> tuple:
            response = await client.request(method, path, content=body)
            return seen(response.status_code, response.headers.multi_items(), response.content)

        small = [(m, path, body) for m, path, body in requests if not path.endswith("000000") and len(body or b"") < 100_000]
        many = (small * 100)[:100]
        results += await asyncio.gather(*(ask(*request) for request in many))
    return results


async def by_curl(base: str, host: str, requests: list, *, http2: bool = False) -> list:
    """With `Expect: 100-continue` where there is a body."""
    results = []
    for method, path, body in requests:
        command = ["curl", "-sS", "--max-time", "20", "-i", "-H", f"Host: {host}", base + path]
        if http2:
            command.append("--http2-prior-knowledge")
        command += ["-I"] if method == "HEAD" else ["-X", method]
        if body is not None:
            command += ["--data-binary", "@-", "-H", "Expect: 100-continue", "-H", "Content-Type: x/y"]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output, error = await process.communicate(body or b"")
        while output.startswith((b"HTTP/1.1 1", b"HTTP/2 1")):
            output = output.partition(b"\r\n\r\n")[2]
        head, _, content = output.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        status = int(lines[0].split()[1]) if lines[0] else 0
        if http2 and not lines[0].startswith("HTTP/2"):
            sys.exit(f"curl to {base}{path}: {lines[0]}")
        if process.returncode:
            sys.exit(f"curl to {base}{path}: {error.decode()}")
        results.append(seen(status, headers, content))
    return results


async def by_websockets(base: str, host: str, _: list) -> list:
    """Messages of all sizes, whole and in fragments, and every way to close: the same ones each time."""
    dice = random.Random(42)
    results = []
    url = base.replace("http://", "ws://") + "/chat"
    closes = [None, *range(1000, 1004), 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
    for number, close in enumerate(closes * 2):
        by_server = number >= len(closes)
        compression = "deflate" if number % 2 else None
        address = url.removeprefix("ws://").split("/")[0].split(":")
        async with connect(
            f"ws://{host}/chat", host=address[0], port=int(address[1]), compression=compression, max_size=None, proxy=None
        ) as client:
            for _ in range(12):
                length = dice.choice([0, 1, 125, 126, 127, 65_535, 65_536, 65_537, dice.randrange(300_000)])
                body = dice.randbytes(length)
                message = body if dice.random() < 0.5 else body.hex()[:length]
                if dice.random() < 0.4 and length:
                    step = dice.randrange(1, length + 1)
                    step = max(step, length // 50 + 1)
                    await client.send([message[start : start + step] for start in range(0, length, step)])
                else:
                    await client.send(message)
                if dice.random() < 0.2:
                    await (await client.ping())
                answer = await client.recv()
                if answer != message:
                    sys.exit(f"{url}: a message of {length} came back as another")
                results.append((type(answer).__name__, length))
            if by_server and close is not None:
                await client.send(f"close {close}")
                try:
                    await client.recv()
                except websockets.ConnectionClosed as closed:
                    results.append(("by server", close, str(closed.rcvd), str(closed.sent)))
            elif close is not None:
                await client.close(close, "bye")
                results.append(("by client", close, str(client.close_code), client.close_reason))
    return results


def over_http2(ask):  # noqa: ANN001, ANN201
    """To the proxy by HTTP/2, with prior knowledge; the backend itself may know HTTP/1 alone."""
    return functools.partial(ask, http2=True)


# By name: to a backend, and to the proxy.
CLIENTS = {
    "httpx": (by_httpx, by_httpx),
    "aiohttp": (by_aiohttp, by_aiohttp),
    "curl": (by_curl, by_curl),
    "httpx by HTTP/2": (by_httpx, over_http2(by_httpx)),
    "httpx at once by HTTP/2": (by_httpx_at_once, over_http2(by_httpx_at_once)),
    "curl by HTTP/2": (by_curl, over_http2(by_curl)),
}


async def main() -> None:
    proxy, *backends = sys.argv[1:]
    differences = 0
    for backend in backends:
        name, _, address = backend.partition("=")
        clients = {"websockets": (by_websockets, by_websockets)} if name == "websockets" else CLIENTS
        requests = REQUESTS if name == "nginx" else REQUESTS + WITH_CODE
        for client, (ask, ask_proxy) in clients.items():
            direct = await ask(f"http://{address}", name, requests)
            through = await ask_proxy(f"http://{proxy}", name, requests)
            print(f"{client} to {name}: {len(direct)} compared")  # noqa: T201
            for number, (expected, got) in enumerate(zip(direct, through, strict=True)):
                if expected != got:
                    differences += 1
                    print(f"DIFFERS {client} to {name}, {number}: direct {expected}, through {got}")  # noqa: T201
    sys.exit(1 if differences else 0)


asyncio.run(main())
