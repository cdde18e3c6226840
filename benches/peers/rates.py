"""How each tool is told to send so many requests a second, in its modes, and where it says what the latencies were."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import loads
import ours
import scripts_of_peers as scripts
from processes import Command

# Of a tool that wants to be told: thirty times what this load needs, and few enough that a stall holds most requests back.
CONNECTIONS = 10
PERCENTILES = (("p50", 50.0), ("p99", 99.0), ("p99_9", 99.9))


@dataclass
class Mode:
    tool: str
    label: str
    # (program, server, folder, rate, seconds) -> Command
    make: Callable
    # (Command that ended) -> {"p50": …, "p99": …, "p99_9": …, "max": …, "note": …}; absent where the tool does not say.
    read: Callable


def stdout(done: Command) -> str:
    return (done.folder / "stdout").read_text(errors="replace")


def scaled(found: dict, factor: float, names: dict[str, str]) -> dict:
    return {name: found[theirs] * factor for name, theirs in names.items() if found.get(theirs) is not None}


def wrk(program, server, folder, rate, seconds):
    """Closed, with a think time that makes the rate if nothing is slow."""
    script = scripts.wrk(folder, CONNECTIONS * 1000 // rate)
    return Command([program, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, server.url], folder, seconds=seconds)


def read_wrk(done):
    return json.loads(re.search(r"LATENCY (.*)", stdout(done)).group(1))


def h2load(program, server, folder, rate, seconds):
    argv = [
        program,
        "--h1",
        "-t1",
        f"-c{CONNECTIONS}",
        f"--rps={rate / CONNECTIONS}",
        f"-D{seconds}s",
        "--log-file=log",
        server.url,
    ]
    return Command(argv, folder, seconds=seconds)


def read_h2load(done):
    """It prints mean and deviation; its log has every request."""
    times = sorted(int(line.split("\t")[2]) / 1000 for line in (done.folder / "log").read_text().splitlines())
    found = {name: times[min(len(times) - 1, int(len(times) * p / 100))] for name, p in PERCENTILES}
    return {**found, "max": times[-1], "note": "percentiles from its log"}


def oha(*more):
    def make(program, server, folder, rate, seconds):
        argv = [program, "-z", f"{seconds}s", "-c", str(CONNECTIONS), "-q", str(rate), "-w", *more]
        return Command([*argv, "--no-tui", "--output-format", "json", server.url], folder, seconds=seconds)

    return make


def read_oha(done):
    found = json.loads(stdout(done))
    said = scaled(found["latencyPercentiles"], 1000, {"p50": "p50", "p99": "p99", "p99_9": "p99.9"})
    return {**said, "max": found["summary"]["slowest"] * 1000}


def hey(program, server, folder, rate, seconds):
    return Command(
        [program, "-z", f"{seconds}s", "-c", str(CONNECTIONS), "-q", str(rate // CONNECTIONS), server.url],
        folder,
        seconds=seconds,
    )


def read_hey(done):
    text = stdout(done)
    said = {f"p{p}": float(s) * 1000 for p, s in re.findall(r"^\s+(50|99)% in ([\d.]+) secs", text, re.M)}
    return {**said, "max": float(re.search(r"Slowest:\s+([\d.]+)", text).group(1)) * 1000}


def arrivals(count: int):
    """Options of k6, which k9-load took over."""

    def options(rate, seconds):
        users = {"executor": "constant-arrival-rate", "rate": rate, "timeUnit": "1s", "duration": f"{seconds}s"}
        return {"scenarios": {"arrivals": {**users, "preAllocatedVUs": count, "maxVUs": count, "gracefulStop": "2s"}}}

    return options


def looping(rate, seconds):
    return {"vus": rate, "duration": f"{seconds}s"}


def k6(run, write, options, think_s=0):
    def make(program, server, folder, rate, seconds):
        return run(program, folder, write(folder, server.url, options(rate, seconds), think_s), seconds)

    return make


def read_k6(done):
    found = json.loads((done.folder / "said.json").read_text())["metrics"]
    said = found["http_req_duration"]
    said = scaled(said.get("values", said), 1, {"p50": "p(50)", "p99": "p(99)", "p99_9": "p(99.9)", "max": "max"})
    dropped = found.get("dropped_iterations", {})
    return {**said, "note": f"says it dropped {dropped.get('values', dropped).get('count', 0):.0f}"}


def goose(*more):
    def make(program, server, folder, rate, seconds):
        more_ = ["--throttle-requests", str(rate), "--report-file", "said.json", *more]
        return loads.goose(program, server, folder, CONNECTIONS, 1000, seconds, 0, *more_)

    return make


def read_goose(done):
    """The corrected figures where it was asked to correct, else the plain ones; the last row is the sum of all."""
    found = json.loads((done.folder / "said.json").read_text())
    rows = found.get("co_response_metrics") or found["raw_response_metrics"]
    said = scaled(rows[-1], 1, {"p50": "percentile_50", "p99": "percentile_99", "max": "percentile_100"})
    return {**said, "note": "in whole milliseconds"}


def autocannon(*more):
    def make(program, server, folder, rate, seconds):
        argv = [program, "-c", str(CONNECTIONS), "-R", str(rate), "-d", str(seconds), "-j", *more, server.url]
        return Command(argv, folder, seconds=seconds)

    return make


def read_autocannon(done):
    return scaled(json.loads(stdout(done))["latency"], 1, {"p50": "p50", "p99": "p99", "p99_9": "p99_9", "max": "max"})


def locust(program, server, folder, rate, seconds):
    return loads.locust(program, server, folder, CONNECTIONS, 1000, seconds, {"PER_USER_S": str(rate / CONNECTIONS)})


def read_locust(done):
    with open(done.folder / "said_stats.csv", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
    return {
        "p50": float(row["50%"]),
        "p99": float(row["99%"]),
        "p99_9": float(row["99.9%"]),
        "max": float(row["Max Response Time"]),
    }


def artillery(program, server, folder, rate, seconds):
    script = scripts.artillery(folder, server.url, {"duration": seconds, "arrivalRate": rate})
    return loads.artillery(program, folder, script, seconds)


def read_artillery(done):
    found = json.loads((done.folder / "said.json").read_text())["aggregate"]["summaries"]["http.response_time"]
    return scaled(found, 1, {"p50": "median", "p99": "p99", "p99_9": "p999", "max": "max"})


def all_modes() -> list[Mode]:
    return [
        Mode("plimsoll", "open", lambda program, *args: ours.open_rate(program)(*args), ours.read),
        Mode("plimsoll", "closed, paced", lambda program, *args: ours.paced(program)(*args), ours.read),
        Mode("wrk", "closed, think time (it has no rate)", wrk, read_wrk),
        Mode("h2load", "`--rps`", h2load, read_h2load),
        Mode("oha", "`-q`", oha(), read_oha),
        Mode("oha", "`-q --latency-correction`", oha("--latency-correction"), read_oha),
        Mode("hey", "`-q`", hey, read_hey),
        Mode("k9-load", "arrival rate, 500 users", k6(loads.k9, scripts.k9, arrivals(500)), read_k6),
        Mode("k9-load", "arrival rate, 10 users", k6(loads.k9, scripts.k9, arrivals(10)), read_k6),
        Mode("k6", "arrival rate, 500 users", k6(loads.k6, scripts.k6, arrivals(500)), read_k6),
        Mode("k6", "arrival rate, 10 users", k6(loads.k6, scripts.k6, arrivals(10)), read_k6),
        Mode("k6", "looping users, `sleep(1)`", k6(loads.k6, scripts.k6, looping, 1), read_k6),
        Mode("goose", "`--throttle-requests`", goose(), read_goose),
        Mode("goose", "the same, `--co-mitigation average`", goose("--co-mitigation", "average"), read_goose),
        Mode("autocannon", "`-R`", autocannon(), read_autocannon),
        Mode("autocannon", "`-R -C` (correction off)", autocannon("-C"), read_autocannon),
        Mode("locust", "`constant_throughput`", locust, read_locust),
        Mode("artillery", "`arrivalRate`", artillery, read_artillery),
    ]
