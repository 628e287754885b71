"""The machine and the versions, as a report names them."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from . import places
from .find import figure
from .measure import Row
from .proxies import Peer


def about(command: str, peers: Sequence[Peer]) -> Row:
    """What a reader must know to judge the figures."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": describe(),
        "command": command,
        "versions": {peer.name: peer.describe() for peer in peers if peer.version},
        "commit": commit(),
    }


def describe() -> str:
    cpuinfo, meminfo = Path("/proc/cpuinfo").read_text(), Path("/proc/meminfo").read_text()
    model = re.search(r"model name\s*: (.+)", cpuinfo)
    virtual = ", virtual" if re.search(r"flags\s*:.*\bhypervisor\b", cpuinfo) else ""
    kib = int(figure(r"MemTotal:\s*(\d+)", meminfo))
    kernel = re.match(r"[\d.]+", platform.release())
    return (
        f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores{virtual}, "
        f"{kib / 2**20:.0f} GiB, Linux {kernel.group() if kernel else '?'}"
    )


def commit() -> str:
    """What Weir was built from."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", places.REPOSITORY, *words], capture_output=True, text=True, timeout=30
        )
        return done.stdout.strip()

    sources = ("Cargo.toml", "Cargo.lock", "proto", "data-plane", "control-plane", "cli")
    if os.environ.get("WEIR_BENCH_BUILD") == "no":
        return f"unknown: programs in {places.WEIR.name}/ as they were (--build no)"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *sources)
    return git("rev-parse", "--short=12", "HEAD") + (" with uncommitted changes" if changed else "")
