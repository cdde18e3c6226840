#!/usr/bin/env python3
"""The budgets of the whole tool that the other benches do not print, each beside a control in the same run: wrk and bare epoll for requests, bare
epoll for ten thousand connections opened at once and for ten thousand users who think, a bare start for the start of the process.
Prints a table for docs/performance.md, and ends with exit code 1 if a budget is not kept.

    benches/budgets/run.py [PLIMSOLL]

Needs cargo, nginx, wrk and taskset (Debian: nginx-light wrk util-linux) and two cores with nothing else to do."""

import functools
import http.client
import json
import os
import pathlib
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROUNDS = 3
# Of the rows that are ratios of two short runs, whose pairs differ by a tenth on a machine shared with others.
PAIRS = 7
# Of the users who think, whose bound is made from what wrk takes right before and after each.
ROUNDS_OF_THINKERS = 5
# CPU microseconds a request of wrk took on the machine that the budgets were set on. A budget of CPU time is this machine's when it is
# multiplied by what wrk takes here (docs/decisions/0022-budgets-of-another-machine.md).
WRK_US_OF_THE_BUDGETS = 5.5
# And what it allows them of a core.
CORES_OF_THINKERS = 0.035
# As in the bench's `floor-think`: each user thinks 4 to 12 s.
USERS_WHO_THINK, THINK_S = 10_000, 8
USERS_AT_ONCE = 10_000
ITEMS = json.dumps({"items": [{"id": n, "name": f"item {n}", "price": n / 2} for n in range(24)]})

LITERAL = "      - get: /\n        expect: {status: 200}\n"
RICH = """      - get: /items?page=${rand.int(1, 40)}&user=${user.id}
        name: items
        headers: {x-kind: "${vars_kind}"}
        expect: {status: 200, body: $.items is not empty}
        extract: {item: "$.items[*].id | random"}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scenario(folder, addr, steps, stages, extra=""):
    path = pathlib.Path(tempfile.mkstemp(".yaml", dir=folder)[1])
    path.write_text(
        f"plimsoll: 1\nname: budget\ntarget: {{http: 'http://{addr}', connect_timeout: 10s}}\nobserve: []\n"
        "safety: {generator: {dispatch_lag_p99: 10s, read_error_p99: 10s, cpu: 100%, run_queue: 100%}}\n"
        f"vars: {{vars_kind: rich}}\n{extra}"
        f"scenarios:\n  read:\n    steps:\n{steps}"
        f"load:\n  - {{name: users, run: read, executor: closed, stages: {stages}, graceful_stop: 1s}}\n"
    )
    return path


def run(plimsoll, path, *flags, pin=None):
    """The summary, and CPU microseconds of the whole process for each request."""
    out = tempfile.mkdtemp()
    command = [plimsoll, "run", path, "--out", out, "--json", "--quiet", *flags]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(["taskset", "-c", pin, *command] if pin else command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not done.stdout:
        sys.exit(f"{path}: exit code {done.returncode}\n{done.stderr}")
    summary = json.loads(done.stdout)
    counts = summary["counts"]
    assert counts["planned"] == sum(counts[k] for k in ("completed", "failed", "dropped", "interrupted", "lost")), counts
    assert summary["requests"]["failed"] == 0, summary["failures"]
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return summary, cpu_s * 1e6 / max(summary["requests"]["sent"], 1)


def nginx(folder, port, addresses, core="1"):
    """A worker on one core, the generator's being the other; without one, a worker for each of two that it shares."""
    conf = pathlib.Path(folder, "nginx.conf")
    temp = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    reuse, workers = ("", 1) if core else (" reuseport", 2)
    listen = " ".join(f"listen {address}:{port} backlog=4096{reuse};" for address in addresses)
    conf.write_text(
        f"daemon off; worker_processes {workers}; worker_rlimit_nofile 20000; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 19000; }}\nhttp {{ access_log off; keepalive_requests 1000000000; {temp}\n"
        f"server {{ {listen} location /items {{ default_type application/json; return 200 '{ITEMS}'; }}\n"
        "location /seen { stub_status; } location / { return 200 ok; } } }\n"
    )
    command = ["nginx", "-c", conf, "-p", folder]
    process = subprocess.Popen(["taskset", "-c", core, *command] if core else command, stderr=subprocess.DEVNULL)
    time.sleep(0.7)
    return process


@functools.cache
def controls():
    """The bench whose modes are the controls, built."""
    command = ["cargo", "bench", "--quiet", "--bench", "cost_per_request", "--no-run", "--message-format=json"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    built = [one for one in map(json.loads, told.splitlines()) if one["reason"] == "compiler-artifact"]
    return next(one["executable"] for one in built if one["target"]["name"] == "cost_per_request")


def control(*arguments):
    """The numbers that a mode of the bench `cost_per_request` prints."""
    command = [controls(), *map(str, arguments)]
    return [float(word) for word in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]


def us_a_request(command, requests):
    """CPU microseconds of a process for each of the requests that it says it made."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu_s * 1e6 / int(re.search(requests, text).group(1))


def wrk_us(addr, threads, pin="0"):
    """Of wrk, pinned as the generator is."""
    command = ["wrk", f"-t{threads}", "-c64", "-d5s", f"http://{addr}/"]
    return us_a_request(["taskset", "-c", pin, *command] if pin else command, r"(\d+) requests in")


def floor_us(addr):
    """Of bare epoll, which parses and records nothing."""
    return us_a_request(["taskset", "-c", "0", controls(), "floor", addr], r"(\d+)")


class Watch(threading.Thread):
    """Asks nginx every few milliseconds what it has seen: from its first new connection to the `wanted`-th answer."""

    def __init__(self, addr, wanted):
        super().__init__(daemon=True)
        self.link, self.wanted, self.took_s = http.client.HTTPConnection(addr), wanted, None
        self.asked = 0
        self.accepts, self.requests = self.seen()

    def seen(self):
        """Connections accepted and requests answered to anybody else."""
        self.link.request("GET", "/seen")
        accepts, _, requests = map(int, re.search(r"(\d+) (\d+) (\d+)", self.link.getresponse().read().decode()).groups())
        self.asked += 1
        return accepts, requests - self.asked

    def run(self):
        began = None
        while self.took_s is None:
            accepts, requests = self.seen()
            if began is None and accepts > self.accepts:
                began = time.monotonic()
            if requests - self.requests >= self.wanted:
                self.took_s = time.monotonic() - began
            time.sleep(0.005)


def all_answered_s(addr, begin):
    """How long it takes 10,000 users from the first connection to the last answer."""
    watch = Watch(addr, USERS_AT_ONCE)
    watch.start()
    begin()
    watch.join(60)
    return watch.took_s


def cpu_ns(pid):
    """CPU time of all threads of a process."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def thinking_us(plimsoll, path, settled_s, span_s):
    """CPU microseconds of the whole process for a request while users think: from the `settled_s`-th second on, for `span_s`. And the summary."""
    out = tempfile.mkdtemp()
    process = subprocess.Popen([plimsoll, "run", path, "--out", out, "--json", "--quiet"], stdout=subprocess.PIPE, text=True)
    time.sleep(settled_s)
    before, began = cpu_ns(process.pid), time.monotonic()
    time.sleep(span_s)
    spent_ns, lasted_s = cpu_ns(process.pid) - before, time.monotonic() - began
    summary = json.loads(process.communicate()[0])
    per_s = USERS_WHO_THINK / THINK_S
    return spent_ns / 1e3 / (per_s * lasted_s), summary


def first_request_ms(plimsoll, folder):
    """From the start of the process to its first request, less what a process that only tells its version takes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, seen = server.getsockname()[1], []

        def answer():
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(link,), daemon=True).start()

        def talk(link):
            while link.recv(4096):
                seen.append(time.perf_counter())
                link.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        threading.Thread(target=answer, daemon=True).start()
        path = scenario(folder, f"127.0.0.1:{port}", LITERAL + "      - think: 1s\n", "[{to: 1, over: 0s}, {hold: 300ms}]")
        began = time.perf_counter()
        run(plimsoll, path)
        first = (seen[0] - began) * 1e3
    began = time.perf_counter()
    subprocess.run([plimsoll, "--version"], capture_output=True, check=True)
    return first, (time.perf_counter() - began) * 1e3


class Ratio:
    """The median of the ratios pair by pair, and what they lie between."""

    def __init__(self, ones, others):
        self.ratios = sorted(one / other for one, other in zip(ones, others))
        self.median = statistics.median(self.ratios)

    def __str__(self):
        return f"{self.median:.2f} ({self.ratios[0]:.2f} to {self.ratios[-1]:.2f})"

    def row(self, what, at_most, found=""):
        """Of the table: what is measured, its budget, what was found, and whether that is kept."""
        return what, f"{at_most:.2f}", f"{self}{found}", round(self.median, 2) <= at_most


BUSY = "[{to: 64, over: 0s}, {hold: 5s}]"


def measured_in_turn(costs, rounds=PAIRS):
    """Each of the costs by its name, over so many rounds."""
    found = {name: [] for name in costs}
    for _ in range(rounds):
        for name, cost in costs.items():
            found[name].append(cost())
    return found


def shards_row(plimsoll, folder):
    """From one shard to two with a core each, which the server shares with them in both cases, as wrk's threads do."""
    folder = tempfile.mkdtemp(dir=folder)
    addr = f"127.0.0.1:{free_port()}"
    server = nginx(folder, addr.rpartition(":")[2], ["127.0.0.1"], core=None)
    try:
        literal = scenario(folder, addr, LITERAL, BUSY)
        costs = {
            "one": lambda: run(plimsoll, literal, "--shards", "1")[1],
            "two": lambda: run(plimsoll, literal, "--shards", "2")[1],
            "wrk": lambda: wrk_us(addr, 1, pin=None),
            "wrk of two": lambda: wrk_us(addr, 2, pin=None),
        }
        # Four processes and the machine's other work on two cores: single pairs differ by a third.
        found = measured_in_turn(costs, 2 * PAIRS + 1)
    finally:
        server.terminate()
        server.wait()
    beside = f"; wrk -t2 / -t1 {Ratio(found['wrk of two'], found['wrk'])}"
    return Ratio(found["two"], found["one"]).row("two shards on two cores / one shard, CPU per request", 1.05, beside)


def cost_rows(plimsoll, folder, addr):
    """What a request costs one core, and what one of wrk does. Two shards on it are beside wrk with two threads on it, which pay for taking turns
    as well."""
    literal, rich = (scenario(folder, addr, steps, BUSY) for steps in (LITERAL, RICH))
    costs = {
        "wrk": lambda: wrk_us(addr, 1),
        "literal": lambda: run(plimsoll, literal, "--shards", "1", pin="0")[1],
        "floor": lambda: floor_us(addr),
        "rich": lambda: run(plimsoll, rich, "--shards", "1", pin="0")[1],
        "two shards": lambda: run(plimsoll, literal, "--shards", "2", pin="0")[1],
        "wrk of two": lambda: wrk_us(addr, 2),
    }
    found = measured_in_turn(costs)
    to_literal = f"; / literal GET {Ratio(found['rich'], found['literal'])}"
    ours, beside = Ratio(found["two shards"], found["literal"]), Ratio(found["wrk of two"], found["wrk"])
    return [
        Ratio(found["literal"], found["wrk"]).row("literal GET, status check, all metrics on / wrk", 1.00),
        Ratio(found["literal"], found["floor"]).row("the same / bare epoll", 1.30),
        Ratio(found["rich"], found["floor"]).row(
            "step with variables, a pick, JSON body, extract, 2 checks / bare epoll with a literal GET", 2.40, to_literal
        ),
        ("two shards that take turns on one core / one shard", "beside wrk", f"{ours}; wrk -t2 / -t1 {beside}", True),
    ]


def at_once_row(plimsoll, folder, addresses):
    """Users who all come at once. Each crowd has an address of the server to itself: connections that were closed keep their ports for a minute,
    and a connect to the same address that has to walk past 10,000 of them takes a multiple of its time, the kernel's alone."""
    opened, bare = [], []
    for _ in range(ROUNDS):
        addr = next(addresses)
        path = scenario(folder, addr, LITERAL + "      - think: 60s\n", "[{to: 10k, over: 0s}, {hold: 5s}]")
        # Pinned, as the control is: the other core is nginx's.
        opened.append(all_answered_s(addr, lambda: run(plimsoll, path, pin="0")))
        addr = next(addresses)
        bare.append(all_answered_s(addr, lambda: control("floor-connect", addr, USERS_AT_ONCE)))
    found = f"{statistics.median(opened):.2f} s ({min(opened):.2f} to {max(opened):.2f}), bare epoll {statistics.median(bare):.2f} s"
    found = f"{found}, the one / the other {Ratio(opened, bare)}"
    return ("10,000 connections opened and answered, no ramp", "1.0 s", found, statistics.median(opened) <= 1.0)


def thinking_rows(plimsoll, folder, addresses):
    """The CPU and the memory of users who mostly think. What a cycle of the processor is worth changes with the neighbors, from one minute to the
    next: the bound of each round is made from wrk before it and after it."""
    per_s = USERS_WHO_THINK / THINK_S
    cores = lambda us_a_request: us_a_request * per_s / 1e6
    ours, floor, wrk = [], [], []
    for _ in range(ROUNDS_OF_THINKERS):
        addr = next(addresses)
        before = wrk_us(addr, 1)
        path = scenario(folder, addr, LITERAL + "      - think: 4s..12s\n", "[{to: 10k, over: 5s}, {hold: 35s}]")
        spent, summary = thinking_us(plimsoll, path, 18, 20)
        ours.append(cores(spent))
        wrk.append((before + wrk_us(addr, 1)) / 2)
        floor.append(cores(control("floor-think", next(addresses), USERS_WHO_THINK, 20)[1]))
    # What was written where a request of wrk took less is no budget of a slower processor; a faster one does not tighten it.
    bounds = [CORES_OF_THINKERS * max(1.0, us / WRK_US_OF_THE_BUDGETS) for us in wrk]
    kept = Ratio(ours, bounds)
    bound = (
        f"{CORES_OF_THINKERS} where wrk takes {WRK_US_OF_THE_BUDGETS} us a request or less: {statistics.median(bounds):.3f} where "
        f"{statistics.median(wrk):.1f}"
    )
    found = (
        f"{statistics.median(ours):.3f}, ours / bound {kept}; bare epoll {statistics.median(floor):.3f}, "
        f"ours / epoll {Ratio(ours, floor)}"
    )
    kb = summary["generator"]["pss_bytes_max"] / USERS_WHO_THINK / 1e3
    return [
        (f"10,000 users at {per_s:,.0f} requests/s, cores of the whole process", bound, found, round(kept.median, 2) <= 1.0),
        ("the same, memory a user", "4.4 KB", f"{kb:.2f} KB, all of the process", kb <= 4.4),
    ]


def start_row(plimsoll, folder):
    starts = [first_request_ms(plimsoll, folder) for _ in range(7)]
    first, bare = (statistics.median(column) for column in zip(*starts))
    return ("start of the process to its first request", "40 ms", f"{first:.0f} ms, bare start {bare:.0f} ms", first <= 40)


def main():
    plimsoll = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/plimsoll")
    folder, port = tempfile.mkdtemp(), free_port()
    own = [f"127.0.0.{last}" for last in range(1, 2 + 2 * ROUNDS + 2 * ROUNDS_OF_THINKERS)]
    addresses = iter([f"{address}:{port}" for address in own])
    server = nginx(folder, port, own)
    try:
        first = next(addresses)
        controls()  # built before anything is timed
        rows = cost_rows(plimsoll, folder, first)
        rows.append(shards_row(plimsoll, folder))
        rows.append(at_once_row(plimsoll, folder, addresses))
        rows.extend(thinking_rows(plimsoll, folder, addresses))
        rows.append(start_row(plimsoll, folder))
    finally:
        server.terminate()
        server.wait()
    print("| what | at most | found | |\n|---|---|---|---|")
    for *told, kept in rows:
        print("| " + " | ".join([*told, "" if kept else "**not kept**"]) + " |")
    sys.exit(0 if all(kept for *_, kept in rows) else 1)


main()
