"""Backends of others for the proxy, aiohttp, hypercorn, nginx and websockets: `backends.py FOLDER`.

Says where each listens, and runs until it is killed; nginx dies with it.
"""

import asyncio
import contextlib
import ctypes
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp.web
import hypercorn.asyncio
import hypercorn.config
import websockets
from websockets.asyncio.server import ServerConnection, serve

NGINX = """
daemon off;
master_process off;
error_log stderr error;
pid {folder}/pid;
events {{ worker_connections 15000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/root;
        location = /status/204 {{ return 204; }}
        location = /status/302 {{ return 302 /bytes/10; }}
        location = /status/404 {{ return 404; }}
        location = /status/500 {{ return 500; }}
    }}
}}
"""


def pattern(length: int) -> bytes:
    """These bytes, whoever asks."""
    return (bytes(range(256)) * (length // 256 + 1))[:length]


async def answer(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
    """What every backend serves, as far as it can: aiohttp's way to say it."""
    kind, _, number = request.path.strip("/").partition("/")
    if kind == "bytes":
        return aiohttp.web.Response(body=pattern(int(number)))
    if kind == "chunked":
        response = aiohttp.web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        if request.method != "HEAD":
            body = pattern(int(number))
            for start in range(0, len(body), 10_000):
                await response.write(body[start : start + 10_000])
            await response.write_eof()
        return response
    if kind == "status":
        return aiohttp.web.Response(status=int(number), headers={"Location": "/bytes/10"})
    return aiohttp.web.Response(body=await request.read(), headers={"X-Method": request.method})


async def asgi(scope: dict, receive, send) -> None:  # noqa: ANN001
    """The same, as hypercorn wants it."""
    if scope["type"] != "http":
        return
    kind, _, number = scope["path"].strip("/").partition("/")
    headers, status, pieces = [], 200, []
    if kind == "bytes":
        pieces = [pattern(int(number))]
        headers = [(b"content-length", number.encode())]
    elif kind == "chunked":
        body = pattern(int(number))
        pieces = [body[start : start + 10_000] for start in range(0, len(body), 10_000)]
    elif kind == "status":
        status = int(number)
        headers = [(b"location", b"/bytes/10")]
        if status != 204:
            headers.append((b"content-length", b"0"))
    else:
        more = True
        while more:
            event = await receive()
            pieces.append(event.get("body", b""))
            more = event.get("more_body", False)
        headers = [(b"x-method", scope["method"].encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def echo(connection: ServerConnection) -> None:
    """Every message comes back; `close CODE` ends the connection from here."""
    with contextlib.suppress(websockets.ConnectionClosed):
        async for message in connection:
            if isinstance(message, str) and message.startswith("close "):
                await connection.close(int(message.split()[1]), "as asked")
                return
            await connection.send(message)


def listener() -> socket.socket:
    """A socket on a free port."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", 0))
    made.listen(1024)
    return made


def say(name: str, port: int) -> None:
    """Tells whoever started this."""
    print(f"{name} listening on 127.0.0.1:{port}", flush=True)  # noqa: T201


def nginx(folder: Path) -> None:
    """Starts nginx with files to serve."""
    root = folder / "root"
    (root / "bytes").mkdir(parents=True)
    for length in (0, 10, 100_000, 5_000_000):
        (root / "bytes" / str(length)).write_bytes(pattern(length))
    with listener() as free:
        port = free.getsockname()[1]
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [program, "-c", str(folder / "conf"), "-p", str(folder)]
    subprocess.Popen(command, stdout=sys.stderr, preexec_fn=die_with_the_parent)
    say("nginx", port)


def die_with_the_parent() -> None:
    """PR_SET_PDEATHSIG: nothing is left behind, however this ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


async def main() -> None:
    application = aiohttp.web.Application(client_max_size=64 << 20)
    application.router.add_route("*", "/{path:.*}", answer)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    of_aiohttp, of_hypercorn, of_websockets = listener(), listener(), listener()
    await aiohttp.web.SockSite(runner, of_aiohttp).start()
    say("aiohttp", of_aiohttp.getsockname()[1])

    async with serve(echo, sock=of_websockets, max_size=None):
        say("websockets", of_websockets.getsockname()[1])
        nginx(Path(sys.argv[1]))

        config = hypercorn.config.Config()
        config.bind = [f"fd://{of_hypercorn.fileno()}"]
        config.loglevel = "ERROR"
        say("hypercorn", of_hypercorn.getsockname()[1])
        await hypercorn.asyncio.serve(asgi, config, shutdown_trigger=asyncio.Event().wait)


asyncio.run(main())
