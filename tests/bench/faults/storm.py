"""A storm: every backend fails every request for a while. What reaches them, and where it goes afterwards.

A proxy that retries what fails must not multiply the load of those that are down, and when they are back must
not send all of it to the first of them that it believes.
"""

from peers.compare import installed, put
from peers.measure import Row
from peers.proxies import Peer
from peers.report import row_of

from .backends import Capacity
from .compare import results, say
from .faults import STORMS
from .figures import peak, within
from .measure import Course, Phases, course, row
from .proxies import PEERS

RATE = 500
PHASES = Phases(before=3, during=30, after=15)
# As long as a budget of retries may look back: in a shorter storm it would also spend what it saved before.
QUICK = Phases(before=2, during=10, after=8)
# What may reach the backends: so many times the requests, and so many a second more.
TRIES, TRIES_A_SECOND = 1.2, 10
# What one backend may see in any second after it: so many times its share.
PEAK = 2.0
HEADINGS = (
    *("storm", "peer", "requests", "reached backends", "allowed", "most in a second ÷ share"),
    *("even again after ms", ""),
)


def run(command: str, names: list[str], storms: list[str], phases: Phases, whom: str, workers: int) -> bool:
    """Prints a line for each storm. Whether all was as expected."""
    peers = [PEERS[name] for name in names if installed(PEERS[name])]
    all_well = True
    with results("storm", command, peers) as (file, output):
        print(row_of(HEADINGS))
        print("|---|---|" + "---:|" * (len(HEADINGS) - 3) + "---|")
        for storm in storms:
            for peer in peers:
                happened = course(peer, STORMS[storm], phases, RATE, whom, workers, Capacity())
                found = figures(happened)
                put(output, {"peer": peer.name, "storm": storm, "checks_too": whom == "all", **found})
                print(line(storm, peer, found), flush=True)
                all_well = all_well and found["as_expected"]
    say(f"the measurements: {file}")
    return all_well


def figures(happened: Course) -> Row:
    began, ended = happened.began, happened.ended
    requests = len(happened.during())
    reached = sum(within(times, began, ended) for times in happened.seen)
    allowed = TRIES * requests + TRIES_A_SECOND * (ended - began)
    most = peak(happened.seen, RATE, ended, happened.over)
    return {
        "reached": reached,
        "allowed": round(allowed),
        "peak": round(most, 2),
        "as_expected": reached <= allowed and most <= PEAK,
        **row(happened, RATE),
    }


def line(storm: str, peer: Peer, found: Row) -> str:
    verdict = "as expected" if found["as_expected"] else "**NOT as expected**"
    even = "never" if found["even_ms"] is None else found["even_ms"]
    counted = (found[key] for key in ("requests", "reached", "allowed", "peak"))
    return row_of(map(str, (storm, peer.name, *counted, even, verdict)))
