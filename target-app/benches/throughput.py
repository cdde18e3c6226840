#!/usr/bin/env python3
"""Reads of a cached product that a replica serves for a second of CPU, beside nginx serving the same bytes: throughput.py [--target-app FILE].

In each round wrk asks first one and then the other for some seconds, from the second core; each server has the first. What is counted is the CPU
time that the server itself used (utime and stime of its process), so the figure is that of a core it had for itself, however busy the machine is
with other things. Needs wrk and nginx (Debian: wrk, nginx-light). Exit code 1 when a core serves fewer than 40,000 reads a second.
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

READS_PER_CORE_MIN = 40_000
SECONDS = 5
CONNECTIONS = 50
CLASSES = ("read", "list", "search", "write", "login", "static", "upgrade", "rejected")

NGINX = """daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;
  open_file_cache max=100; default_type application/json; sendfile on;
  server {{ listen 127.0.0.1:{port}; location = /api/products/1 {{ alias {at}/product; }} }}
}}
"""


def on_core(core, argv, **rest):
    return subprocess.Popen(["taskset", "-c", str(core), *map(str, argv)], **rest)


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reads_per_core(server, url):
    """Reads for each second of the server's CPU."""
    before = cpu_s(server.pid)
    wrk = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url],
        check=True, capture_output=True, text=True,
    )
    used = cpu_s(server.pid) - before
    if re.search(r"Non-2xx|Socket errors", wrk.stdout):
        sys.exit(f"{url} failed:\n{wrk.stdout}")
    return int(re.search(r"(\d+) requests in", wrk.stdout)[1]) / used


def wait_for(url):
    for _ in range(100):
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.read()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing answers at {url}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target-app", default="target/release/target-app", help="the executable (cargo build --release -p target-app)")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if not nginx or not shutil.which("wrk"):
        sys.exit("wrk and nginx are needed (Debian: wrk, nginx-light)")
    # The dialled cost of a request is what a replica is told to use up; what it needs is asked here.
    dials = [word for name in CLASSES for word in ("--dial", f"app.cpu_us_per_request.{name}=0")]
    # One document, kept for the whole time.
    dials += ["--dial", "cache.l1_ttl_ms=3600000", "--dial", "app.cores=1"]
    with tempfile.TemporaryDirectory() as at:
        app = on_core(0, [arguments.target_app, "serve", "cached", "--listen", "127.0.0.1:0", "--exit-with-stdin", *dials],
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        url = app.stdout.readline().split()[1] + "/api/products/1"
        document = wait_for(url)
        pathlib.Path(at, "product").write_bytes(document)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = pathlib.Path(at, "nginx.conf")
        config.write_text(NGINX.format(at=at, port=port), encoding="ascii")
        peer = on_core(0, [nginx, "-e", "stderr", "-p", at, "-c", config])
        peer_url = f"http://127.0.0.1:{port}/api/products/1"
        try:
            if wait_for(peer_url) != document:
                sys.exit("nginx does not serve the same bytes")
            rows = []
            for number in range(arguments.rounds):
                ours, theirs = reads_per_core(app, url), reads_per_core(peer, peer_url)
                rows.append((ours, theirs, ours / theirs))
                print(f"round {number + 1}: target-app {ours:,.0f}, nginx {theirs:,.0f} reads for a second of CPU, ratio {ours / theirs:.2f}", flush=True)
        finally:
            app.stdin.close()
            app.wait()
            peer.terminate()
            peer.wait()
    ours, theirs, ratio = (statistics.median(column) for column in zip(*rows))
    low, high = min(row[2] for row in rows), max(row[2] for row in rows)
    print(f"{len(document)} bytes a document; median: target-app {ours:,.0f}, nginx {theirs:,.0f} reads per core and second, ratio {ratio:.2f} ({low:.2f} to {high:.2f})")
    sys.exit(0 if ours >= READS_PER_CORE_MIN else 1)


if __name__ == "__main__":
    main()
