"""A gRPC backend that does as it is told: `grpc_backend.py [CERTIFICATE KEY CLIENT_CA]`.

Says where it listens, then one line for each call that was cancelled. Without generated code: messages are bytes.
"""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent import futures
from pathlib import Path

import grpc


def say(text: str) -> None:
    """Tells whoever started this."""
    print(text, flush=True)  # noqa: T201


def echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    """What the client said comes back, and its metadata in the trailers."""
    back = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-")]
    context.send_initial_metadata([("x-first", "1"), ("x-first-bin", b"\x00\xff")])
    context.set_trailing_metadata(back)
    return request


def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
    """A status with details, and no message: trailers only."""
    context.set_trailing_metadata([("x-why-bin", b"\x01\x02")])
    context.abort(grpc.StatusCode(next(c.value for c in grpc.StatusCode if c.value[0] == request[0])), "100 % wrong, é\n")


def gather(requests: Iterable[bytes], context: grpc.ServicerContext) -> bytes:
    """How many messages came, and how long they were."""
    lengths = [len(request) for request in requests]
    return f"{len(lengths)} {sum(lengths)}".encode()


def repeat(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """As many messages as asked for."""
    for number in range(int(request)):
        yield str(number).encode()


def talk(requests: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """Each message comes back when it comes."""
    yield from requests


def hang(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Nothing, until the client goes."""
    gone = threading.Event()
    context.add_callback(gone.set)
    say("call hangs")
    began = time.monotonic()
    gone.wait(60)
    say(f"call ended after {time.monotonic() - began:.3f} s, active: {context.is_active()}")
    return b""


class Service(grpc.GenericRpcHandler):
    """All methods, in a service of any name."""

    METHODS = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
        "Gather": grpc.stream_unary_rpc_method_handler(gather),
        "Repeat": grpc.unary_stream_rpc_method_handler(repeat),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
    }

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Knows a call by its last part."""
        return self.METHODS.get(details.method.rpartition("/")[2])


def main() -> None:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(64), options=options)
    server.add_generic_rpc_handlers([Service()])
    if len(sys.argv) > 1:
        certificate, key, ca = (Path(name).read_bytes() for name in sys.argv[1:4])
        credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say(f"grpc listening on 127.0.0.1:{port}")
    server.wait_for_termination()


main()
