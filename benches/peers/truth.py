"""What a user met who arrived when the plan said so: the server's own log played back against the planned arrivals.

The tool's account plays no part in it, and neither does whether the tool sent every request: the users who were to send those
that it left out would have waited all the same.
"""


def replay(arrivals, demands, freezes) -> list[float]:
    """Response times of a single server that takes arrivals in order (Lindley's recursion); a freeze delays what starts in it.

    >>> replay([0.0, 1.0, 1.1], [0.5, 0.5, 0.5], [])
    [0.5, 0.5, 0.9]
    >>> replay([0.0, 1.0], [0.5, 0.5], [(0.9, 2.0)])
    [0.5, 1.5]
    """
    responses, free_at, ahead = [], 0.0, list(freezes)
    for arrival, demand in zip(arrivals, demands):
        start = max(arrival, free_at)
        while ahead and start >= ahead[0][0]:
            start = max(start, ahead.pop(0)[1])
        free_at = start + demand
        responses.append(round(free_at - arrival, 9))
    return responses


def quantile(sorted_values: list[float], q: float) -> float:
    """The smallest value that at least the share `q` does not exceed.

    >>> quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3, 4], 0.99)
    (2, 4)
    """
    rank = -(-len(sorted_values) * q // 1)
    return sorted_values[max(0, int(rank) - 1)]


def of(log: dict, rate: int, seconds: int) -> dict:
    """p50, p99, p99.9 and max in milliseconds for `rate` evenly spaced arrivals a second from the first request on."""
    served = log["served"]
    origin = served[0][0]
    demands = [end - start for start, end in served]
    planned = rate * seconds
    # Where a tool sent less than planned, the demands seen are gone through again.
    demands = [demands[number % len(demands)] for number in range(planned)]
    freezes = [(start - origin, end - origin) for start, end in log["freezes"]]
    responses = sorted(replay([number / rate for number in range(planned)], demands, freezes))
    ms = {name: quantile(responses, q) * 1000 for name, q in (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999))}
    return {**ms, "max": responses[-1] * 1000, "planned": planned}
