"""Runs the load, watches the memory of the machine and of the server's processes meanwhile, and prints what became of it."""

import json
import pathlib
import subprocess
import sys
import threading
import time

plimsoll, scenario, users, ramp, nginx, out = sys.argv[1:]


def pss_bytes(pid):
    """What a process takes, shared pages divided among those that share them; 0 once it is gone."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def children(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def used_bytes():
    """Memory of the machine that is not available, the kernel's sockets included."""
    fields = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    return (int(fields["MemTotal"].split()[0]) - int(fields["MemAvailable"].split()[0])) * 1024


def sockets():
    for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[2])
    return 0


most = {"used": 0, "server": 0, "sockets": 0}
over = threading.Event()
before = used_bytes()


def watch():
    while not over.wait(5):
        most["used"] = max(most["used"], used_bytes() - before)
        most["server"] = max(most["server"], sum(pss_bytes(pid) for pid in children(nginx)))
        most["sockets"] = max(most["sockets"], sockets())


watcher = threading.Thread(target=watch)
watcher.start()
started = time.monotonic()
command = [plimsoll, "run", scenario, "--set", f"load.0.stages.0.to={users}", "--set", f"load.0.stages.0.over={ramp}"]
run = subprocess.run([*command, "--agents", "auto", "--out", out, "--json"], stdout=subprocess.PIPE, text=True)
lasted = time.monotonic() - started
over.set()
watcher.join()
if not run.stdout:
    sys.exit(f"no result, exit code {run.returncode}")
summary = json.loads(run.stdout)
counts, generator, requests = summary["counts"], summary["generator"], summary["requests"]
ended = sum(counts[key] for key in ("completed", "failed", "dropped", "interrupted", "lost"))
assert counts["planned"] == ended, counts
response, dispatch_lag = summary["endpoints"][0]["response_ms"], generator["dispatch_lag_ms"]
gb = 1e9
print(
    f"verdict {summary['verdict']}: {requests['connections_opened']:,} connections opened, {requests['sent']:,} requests, "
    f"{requests['failed']} failed, {lasted:.0f} s"
)
print("| users | sockets | agents | generator PSS | server PSS | machine, all | cores | dispatch lag p50 / p99 | loop lag p99 | response p50 / p99 |")
print("|---|---|---|---|---|---|---|---|---|---|")
print(
    f"| {generator['sockets_max']:,} | {most['sockets']:,} | {generator['agents']} | {generator['pss_bytes_max'] / gb:.2f} GB "
    f"| {most['server'] / gb:.2f} GB | {most['used'] / gb:.1f} GB | {generator['cores']:.2f} "
    f"| {dispatch_lag['p50']:.2f} / {dispatch_lag['p99']:.2f} ms | {generator['loop_lag_ms']['p99']:.2f} ms "
    f"| {response['p50']:.2f} / {response['p99']:.2f} ms |"
)
for warning in summary["warnings"]:
    print(f"warning: {warning['text']}")
sys.exit(0 if requests["failed"] == 0 and requests["connections_opened"] >= int(users) else 1)
