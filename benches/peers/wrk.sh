#!/usr/bin/env bash
# CPU per request of the whole tool (start, engine, every measurement, record, reports) beside wrk's bare request, against the same
# nginx on the other core, 64 keep-alive connections, one generator thread each, rounds interleaved, medians and their ratio.
#
#   benches/peers/wrk.sh [PLIMSOLL] [ROUNDS] [SECONDS]
#
# Needs wrk, nginx, taskset and python3 (Debian: wrk nginx-light util-linux python3) and two cores.
set -euo pipefail
plimsoll=${1:-target/release/plimsoll} rounds=${2:-5} seconds=${3:-8}
for tool in wrk nginx taskset python3; do
  command -v "$tool" >/dev/null || { echo "wrk.sh: $tool is missing" >&2; exit 1; }
done
dir=$(mktemp -d)
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
cat >"$dir/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $dir/pid; error_log $dir/error.log;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir;
  uwsgi_temp_path $dir; scgi_temp_path $dir;
  server { listen 127.0.0.1:$port; location / { return 200 "ok"; } } }
CONF
taskset -c 1 nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null &
nginx=$!
trap 'kill "$nginx" 2>/dev/null || true; rm -rf "$dir"' EXIT
cat >"$dir/cost.yaml" <<YAML
plimsoll: 1
name: cost
target: {http: "http://127.0.0.1:$port"}
observe: []
scenarios:
  read:
    steps:
      - get: /
        expect: {status: 200}
load:
  - name: users
    run: read
    executor: closed
    stages: [{to: 64, over: 0s}, {hold: ${seconds}s}]
    graceful_stop: 1s
YAML
sleep 0.5
python3 - "$plimsoll" "$rounds" "$seconds" "$dir" "$port" <<'PYTHON'
import json, re, resource, statistics, subprocess, sys
plimsoll, rounds, seconds, folder, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]

def cpu(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(["taskset", "-c", "0", *command], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return out.stdout, (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)

def ours():
    out, used = cpu([plimsoll, "run", f"{folder}/cost.yaml", "--out", f"{folder}/run", "--shards", "1", "--json", "--quiet"])
    summary = json.loads(out)
    counts = summary["counts"]
    assert summary["requests"]["failed"] == 0, summary["failures"]
    assert counts["planned"] == sum(counts[k] for k in ("completed", "failed", "dropped", "interrupted", "lost")), counts
    return used * 1e6 / summary["requests"]["sent"], summary["requests"]["sent"] / seconds

def wrk():
    out, used = cpu(["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/"])
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    return used * 1e6 / requests, requests / seconds

results = {"plimsoll": [], "wrk": []}
for _ in range(rounds):
    results["plimsoll"].append(ours())
    results["wrk"].append(wrk())
print(f"{'':10}{'CPU us/request':>16}{'min..max':>16}{'requests/s':>14}")
for name, rows in results.items():
    costs = [row[0] for row in rows]
    print(f"{name:10}{statistics.median(costs):16.2f}{f'{min(costs):.2f}..{max(costs):.2f}':>16}{statistics.median(row[1] for row in rows):14.0f}")
ratios = [a[0] / b[0] for a, b in zip(results["plimsoll"], results["wrk"])]
print(f"ratio plimsoll/wrk, pair by pair: median {statistics.median(ratios):.3f}, {min(ratios):.3f}..{max(ratios):.3f}")
PYTHON
