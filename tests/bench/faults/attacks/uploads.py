"""Uploads that get stuck, and others on the same connection: both are one client's, `upload.py`, a program of its own."""

import subprocess
from pathlib import Path

from peers.process import OTHER_CORE, on_core

from ..load import PATIENCE, Request, request
from .backend_process import HTTP2_PORT, PYTHON, STUCK_PATH
from .good import Plan

STUCK = 20
BYTES = 50_000_000
# Seconds until the stuck ones have filled all windows, at most.
SETTLED = 20


def requests(plan: Plan, attacked: bool) -> list[Request]:
    program = Path(__file__).with_name("upload.py")
    stuck = STUCK if attacked else 0
    numbers = (HTTP2_PORT, plan.rate, round(plan.rate * plan.seconds), PATIENCE, stuck, BYTES)
    command = [PYTHON, "-B", program, *numbers, STUCK_PATH]
    done = subprocess.run(
        on_core(OTHER_CORE if plan.pinned else None, command),
        capture_output=True,
        text=True,
        timeout=SETTLED + plan.seconds + PATIENCE + 20,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the client ended with {done.returncode}: {done.stderr[-300:]}")
    return sorted(map(request, done.stdout.splitlines()), key=lambda one: one.due)
