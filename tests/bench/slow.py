"""Slow clients by slowhttptest beside a good one: failed good requests, their p99, and memory for each slow client.

`slow.py FOLDER_OF_PROGRAMS`. Fails if a good request failed.
"""

import http.client
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CONNECTIONS = 5000
SECONDS = 15
# Slow heads, slow bodies, slow reading; each as slowhttptest wants it.
ATTACKS = {
    "headers": ["-H", "-i", "3", "-t", "GET"],
    "bodies": ["-B", "-i", "3", "-s", "100000"],
    "reading": ["-X", "-w", "256", "-y", "512", "-n", "5", "-z", "16", "-k", "1"],
}
# Only aiohttp reads bodies; nginx costs least beside what is measured.
ROUTES = """
services:
  - { name: files, backends: ["%s"] }
  - { name: bodies, backends: ["%s"] }
routes:
  - { match: { path_prefix: / }, service: files }
  - { match: { path_prefix: /echo }, service: bodies }
"""
BACKENDS = Path(__file__).parent.parent / "conformance" / "programs" / "backends.py"


class Good(threading.Thread):
    """A client that asks a hundred times a second, and notes how long each answer took."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.address, self.taken, self.failed, self.over = address, [], [], threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        while not self.over.wait(0.01):
            begun = time.monotonic()
            try:
                connection.request("GET", "/bytes/10")
                response = connection.getresponse()
                if (response.status, len(response.read())) != (200, 10):
                    self.failed.append(f"{response.status}")
            except OSError as error:
                self.failed.append(repr(error))
                connection.close()
            except http.client.HTTPException as error:
                self.failed.append(repr(error))
                connection.close()
            self.taken.append(time.monotonic() - begun)

    def end(self) -> tuple[int, list[str], float]:
        """Requests, failures, p99 in milliseconds."""
        self.over.set()
        self.join()
        ordered = sorted(self.taken)
        return len(ordered), self.failed, ordered[int(len(ordered) * 0.99)] * 1000


def start(command: list[str], *names: str) -> tuple[subprocess.Popen, list[str]]:
    """Starts a program and waits until it says where it listens."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found: dict[str, str] = {}
    while set(names) - set(found):
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{command[0]} ended")
        if match := re.search(r"(\S+) listening on (\S+)", re.sub(r"\x1b\[[0-9;]*m", "", line)):
            found[match[1]] = match[2]
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process, [found[name] for name in names]


def resident(pid: int) -> int:
    """Bytes in memory."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def clients(pid: int, port: str) -> int:
    """Connections of clients that the proxy holds."""
    wanted = f":{int(port):04X}"
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(wanted) and line.split()[3] == "01" for line in lines)


def attack(name: str, options: list[str], proxy: int, traffic: str) -> bool:
    """One row. Whether every good request was answered."""
    port = traffic.split(":")[1]
    deadline = time.monotonic() + 30
    while clients(proxy, port) and time.monotonic() < deadline:
        time.sleep(0.5)
    good = Good(traffic)
    good.start()
    time.sleep(3)
    _, _, idle = good.end()
    before, most, held = resident(proxy), 0, 0
    good = Good(traffic)
    good.start()
    path = "/echo" if name == "bodies" else "/bytes/100000"
    command = ["slowhttptest", *options, "-c", str(CONNECTIONS), "-r", "1500", "-l", str(SECONDS), "-p", "5"]
    command += ["-u", f"http://{traffic}{path}", "-v", "0"]
    slow = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    while slow.poll() is None:
        time.sleep(0.5)
        held = max(held, clients(proxy, port))
        most = max(most, resident(proxy))
    count, failed, p99 = good.end()
    each = (most - before) / max(held, 1) / 1024
    print(  # noqa: T201
        f"| {name} | {held} | {count} | {len(failed)} | {idle:.1f} ms | {p99:.1f} ms | {each:.1f} KiB |", flush=True
    )
    if failed:
        print(f"failed: {failed[:5]}")  # noqa: T201
    if slow.returncode or held < CONNECTIONS // 2:
        print(f"slowhttptest: code {slow.returncode}, at most {held} connections")  # noqa: T201
    return not failed and held >= CONNECTIONS // 2


def main() -> None:
    programs = Path(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    running = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            command = [str(programs / "weir-control-plane"), "--store", "memory"]
            control, (grpc, _) = start([*command, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], "grpc", "admin")
            running.append(control)
            command = [str(programs / "weir-data-plane"), "--control-plane", f"http://{grpc}", "--lame-duck", "0s"]
            command += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", f"{folder}/proxy"]
            proxy, (traffic,) = start(command, "traffic")
            running.append(proxy)
            backend, addresses = start([sys.executable, str(BACKENDS), folder], "nginx", "aiohttp")
            running.append(backend)
            (Path(folder) / "slow.yaml").write_text(ROUTES % tuple(addresses))
            weir = [str(programs / "weir"), "apply", "--wait", "-f", f"{folder}/slow.yaml"]
            environment = {**os.environ, "WEIR_CONTROL_PLANE": f"http://{grpc}"}
            subprocess.run(weir, env=environment, check=True, stdout=subprocess.DEVNULL)
            print("| slow | held at most | good requests | failed | p99 before | p99 beside | each |")  # noqa: T201
            print("|---|---|---|---|---|---|---|")  # noqa: T201
            results = [attack(name, options, proxy.pid, traffic) for name, options in ATTACKS.items()]
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()
    sys.exit(0 if all(results) else 1)


main()
