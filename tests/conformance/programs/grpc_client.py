"""A gRPC client that checks what it gets from the backend through the proxy: `grpc_client.py TARGET HOST [CA]`.

Prints the checks, and fails if any did. Without generated code: messages are bytes.
"""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

WAIT = 20
FAILED = []


def check(what: str, holds: object, told: object = "") -> None:
    """One line for each."""
    print(f"{'ok' if holds else 'FAILED'}: {what} {told}", flush=True)  # noqa: T201
    if not holds:
        FAILED.append(what)


def unary(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/a.Test/Echo")
    response, info = call.with_call(
        b"hello", timeout=WAIT, metadata=[("x-text", "a"), ("x-text", "b"), ("x-blob-bin", bytes(range(256)))]
    )
    first, last = dict(info.initial_metadata()), [tuple(pair) for pair in info.trailing_metadata()]
    check("unary", response == b"hello" and info.code() == grpc.StatusCode.OK)
    check("metadata at first", first.get("x-first") == "1" and first.get("x-first-bin") == b"\x00\xff", first)
    # Weir adds its own X-Forwarded fields: the client's are what is compared.
    mine = sorted(pair for pair in last if pair[0] in {"x-text", "x-blob-bin"})
    texts = sorted(value for key, value in mine if key == "x-text")
    check("metadata at last", texts in (["a", "b"], ["a, b"], ["a,b"]), texts)
    check("binary metadata", dict(mine).get("x-blob-bin") == bytes(range(256)))
    for length in (0, 1, 100_000, 8 << 20):
        message = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
        check(f"{length} bytes", call(message, timeout=WAIT) == message)


def status(channel: grpc.Channel) -> None:
    for code in grpc.StatusCode:
        number = code.value[0]
        if number == 0:
            continue
        try:
            channel.unary_unary("/a.Test/Fail")(bytes([number]), timeout=WAIT)
            check(f"status {number}", False)
        except grpc.RpcError as error:
            holds = error.code() == code and error.details() == "100 % wrong, é\n"
            holds = holds and dict(error.trailing_metadata()).get("x-why-bin") == b"\x01\x02"
            check(f"status {number}", holds, error.details())
    try:
        channel.unary_unary("/a.Test/Nothing")(b"", timeout=WAIT)
        check("unknown method", False)
    except grpc.RpcError as error:
        check("unknown method", error.code() == grpc.StatusCode.UNIMPLEMENTED, error.details())


def streams(channel: grpc.Channel) -> None:
    repeated = list(channel.unary_stream("/a.Test/Repeat")(b"1000", timeout=WAIT))
    check("server streams", repeated == [str(number).encode() for number in range(1000)])
    check("server streams nothing", list(channel.unary_stream("/a.Test/Repeat")(b"0", timeout=WAIT)) == [])
    gathered = channel.stream_unary("/a.Test/Gather")((bytes(10_000) for _ in range(500)), timeout=WAIT)
    check("client streams", gathered == b"500 5000000", gathered)
    talk, next_one = channel.stream_stream("/a.Test/Talk"), threading.Semaphore(0)

    def words() -> Iterator[bytes]:
        for number in range(100):
            yield str(number).encode()
            next_one.acquire(timeout=WAIT)

    # Each message is waited for before the next is sent: nothing is kept back on the way.
    heard = []
    for message in talk(words(), timeout=WAIT):
        heard.append(message)
        next_one.release()
    check("both stream", heard == [str(number).encode() for number in range(100)])


def cancels(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/a.Test/Hang").future(b"", timeout=WAIT)
    time.sleep(0.5)
    call.cancel()
    check("cancel", call.cancelled())
    began = time.monotonic()
    try:
        channel.unary_unary("/a.Test/Hang")(b"", timeout=0.7)
        check("deadline", False)
    except grpc.RpcError as error:
        check("deadline", error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, f"{time.monotonic() - began:.3f} s")


def many(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/a.Test/Echo")
    answers = [call.future(str(number).encode(), timeout=WAIT) for number in range(300)]
    check("300 at a time", [answer.result() for answer in answers] == [str(n).encode() for n in range(300)])


def silent(channel: grpc.Channel) -> None:
    """For longer than the listener waits for the bodies of requests."""
    heard, done = [], threading.Event()

    def words() -> Iterator[bytes]:
        yield b"first"
        done.wait(3.5)
        yield b"last"

    for message in channel.stream_stream("/a.Test/Talk")(words(), timeout=WAIT):
        heard.append(message)
    check("silence", heard == [b"first", b"last"], heard)


def refused(target: str, make: object) -> None:
    """Our own errors, as gRPC says them."""
    for host, expected in [("nowhere", grpc.StatusCode.UNIMPLEMENTED), ("empty", grpc.StatusCode.UNAVAILABLE),
                           ("gone", grpc.StatusCode.UNAVAILABLE)]:
        with make(target, host) as channel:
            try:
                channel.unary_unary("/a.Test/Echo")(b"", timeout=WAIT)
                check(host, False)
            except grpc.RpcError as error:
                check(host, error.code() == expected, f"{error.code()} {error.details()}")


def main() -> None:
    target, host, *ca = sys.argv[1:]

    def make(target: str, host: str) -> grpc.Channel:
        options = [("grpc.max_receive_message_length", -1), ("grpc.default_authority", host)]
        options.append(("grpc.enable_retries", 0))
        if not ca:
            return grpc.insecure_channel(target, options)
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(Path(ca[0]).read_bytes()), options)

    with make(target, host) as channel:
        for part in (unary, status, streams, cancels, many, silent):
            part(channel)
    refused(target, make)
    sys.exit(1 if FAILED else 0)


main()
