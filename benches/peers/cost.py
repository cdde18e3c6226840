"""CPU of the generator per request: a closed loop over kept connections on one core, rounds interleaved, nginx counting.

Two figures. `whole` is everything the process used from start to end, over all requests: what a run costs. `steady` is the
same while the load was full, so that a tool is not charged per request for starting an interpreter or writing a report.
"""

import statistics
import time

from processes import GENERATOR_CORE, Child, PeerFailed

CONNECTIONS = 64
SETTLE_S = 0.6
SAMPLE_S = 0.2

# They differ by less than rounds of either do, and are asked in more of them.
CLOSE = ("floor", "plimsoll", "wrk")


def measure(command, nginx) -> dict[str, float]:
    first, _ = nginx.counters()
    child = Child(command, GENERATOR_CORE)
    samples: list[tuple[float, int, float]] = []

    def sample():
        requests, _ = nginx.counters()
        if requests - first > CONNECTIONS:
            samples.append((time.monotonic(), requests, child.cpu_so_far_s()))

    ended = child.wait(command.seconds * 2 + 60, sample, SAMPLE_S)
    requests = nginx.counters()[0] - first
    if requests < 10 * CONNECTIONS:
        raise PeerFailed(f"made {requests} requests only")
    return {"whole_us": ended.cpu_s * 1e6 / requests, "requests": requests, **steady(samples)}


def steady(samples: list[tuple[float, int, float]]) -> dict[str, float]:
    """Cost and rate between the first and last sample under full load; empty if the load was over too soon.

    >>> steady([(0.0, 0, 0.0), (1.0, 1000, 0.5), (2.0, 3000, 0.7), (3.0, 5000, 0.9), (4.0, 5000, 1.9)])
    {'steady_us': 100.0, 'per_s': 2000.0}
    """
    rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(samples, samples[1:])]
    if not rates:
        return {}
    full = 0.7 * statistics.median(sorted(rates)[len(rates) // 2 :])
    begin = samples[0][0] + SETTLE_S
    inside = [(a, b) for rate, a, b in zip(rates, samples, samples[1:]) if rate >= full and a[0] >= begin]
    requests = sum(b[1] - a[1] for a, b in inside)
    if not requests:
        return {}
    cpu_s, seconds = (sum(b[i] - a[i] for a, b in inside) for i in (2, 0))
    return {"steady_us": round(cpu_s * 1e6 / requests, 3), "per_s": round(requests / seconds, 1)}


def run(tools, nginx, folder, rounds: tuple[int, int], seconds: int, say) -> dict[str, list[dict]]:
    """Every round asks every tool once, those after the first number of them the close ones; a tool that failed once is left out of the rounds
    that follow."""
    of_all, of_close = rounds
    results: dict[str, list[dict]] = {tool.name: [] for tool in tools if tool.closed}
    failed: dict[str, str] = {}
    for number in range(of_close):
        for tool in tools:
            if not tool.closed or tool.name in failed or (number >= of_all and tool.name not in CLOSE):
                continue
            command = tool.closed(nginx, folder / f"cost-{tool.name}", seconds)
            try:
                result = measure(command, nginx)
                if tool.checked:
                    tool.checked(command)
                results[tool.name].append(result)
                figures = ", ".join(f"{result[name]:.2f} {name}" for name in ("whole_us", "steady_us") if name in result)
                say(f"cost {number + 1}/{of_all if tool.name not in CLOSE else of_close} {tool.name}: {figures}")
            except PeerFailed as error:
                failed[tool.name] = str(error)
                say(f"cost {tool.name}: {error}")
    return {"rounds": results, "of_all": of_all, "failed": failed, "seconds": seconds, "connections": CONNECTIONS}
