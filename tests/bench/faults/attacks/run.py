"""A run: every proxy under every attack, in rounds; of each, the good requests without it and while it lasts."""

from collections import Counter
from statistics import median

from peers.compare import installed, put
from peers.measure import Row
from peers.report import row_of
from peers.running import proxy

from ..backends import DIRECTORY
from ..compare import results, say
from ..figures import percentile
from ..load import Request
from . import ATTACKS, Attack
from .backend_process import backends
from .good import Plan
from .proxies import ALL, peer

RATE = 50
SECONDS, QUICK_SECONDS, ROUNDS = 10, 4, 3
HEADINGS = (
    *("attack", "peer", "p50 ms without", "with", "p99 ms without", "with", "failed without", "with", "of"),
)
FIGURES, WHEN = ("p50_ms", "p99_ms"), ("without", "with")


def run(command: str, attacks: list[str], names: list[str], rounds: int, seconds: float, workers: int) -> None:
    """Measures, and prints a table: medians over the rounds, and all that failed in them."""
    attacks = list(dict.fromkeys(one for name in attacks for one in (name, *ATTACKS[name].also)))
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, str], list[Row]] = {}
    peers = [ALL[name][0] for name in names if name in ALL and installed(ALL[name][0])]
    with results("attacks", command, peers) as (file, output):
        for number in range(rounds):
            for name in attacks:
                for one in peers if number % 2 == 0 else peers[::-1]:
                    if one.name in ATTACKS[name].without:
                        continue
                    row = attempt(ATTACKS[name], one.name, Plan(RATE, seconds, workers == 1), workers)
                    put(output, {"peer": one.name, "attack": name, "round": number, **row})
                    say(f"round {number}  {name:17} {one.name:8} {row}")
                    found.setdefault((name, one.name), []).append(row)
    print(row_of(HEADINGS))
    print("|---|---|" + "---:|" * (len(HEADINGS) - 2))
    for name in attacks:
        for one in peers:
            print(row_of([name, one.name, *cells(found.get((name, one.name), []))]))
    dashes = [f"{peer} in {name}" for name in attacks for peer in ATTACKS[name].without if peer in names]
    if dashes:
        print(f"\nA dash: it cannot speak HTTP/2 to backends ({', '.join(dashes)}).")
    print(f"Other programs are not stopped: see that the machine is idle. {rounds} rounds, medians; failures of all.")
    say(f"the measurements: {file}")


def attempt(attack: Attack, name: str, plan: Plan, workers: int) -> Row:
    """One measurement; one that fails must not end the others' run."""
    try:
        with backends(plan.pinned), proxy(peer(*ALL[name], attack.protocol), workers, log=False):
            without = figures(attack.requests(plan, False))
            return {"without": without, "with": figures(attack.requests(plan, True))}
    except Exception as error:  # noqa: BLE001 - the result is that it failed
        return {"fail": repr(error)[:300]}


def figures(requests: list[Request]) -> Row:
    """Of all of them, however they ended."""
    took = [one.took * 1000 for one in requests]
    return {
        "requests": len(requests),
        "failed": sum(not one.good for one in requests),
        "p50_ms": round(percentile(took, 0.5), 2),
        "p99_ms": round(percentile(took, 0.99), 2),
        "bad": dict(Counter(one.how for one in requests if not one.good)),
    }


def cells(rows: list[Row]) -> list[str]:
    good = [row for row in rows if "fail" not in row]
    if not good:
        return ["–"] * (len(HEADINGS) - 2)
    shown = [f"{median(row[when][key] for row in good):g}" for key in FIGURES for when in WHEN]
    failed = [str(sum(row[when]["failed"] for row in good)) for when in WHEN]
    return [*shown, *failed, str(sum(row["with"]["requests"] for row in good))]
