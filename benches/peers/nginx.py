"""nginx in the foreground: one worker on a core of its own, two bytes an answer. It counts requests: one counter for every tool."""

import re
import shutil
import socket
import time
import urllib.request
from pathlib import Path

from processes import SERVER_CORE, Child, Command, PeerFailed

CONNECTIONS_MAX = 15_000

CONFIG = """daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;
events {{ worker_connections {connections}; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;
  server {{ listen 127.0.0.1:{port} backlog=16384; location / {{ return 200 ok; }} }}
  server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """A context: the server runs inside it."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        self.asked = 0

    def __enter__(self):
        if not self.program:
            raise SystemExit("compare: nginx is missing (Debian: nginx-light)")
        port, status = free_port(), free_port()
        self.addr = f"127.0.0.1:{port}"
        self.url, self.status_url = f"http://{self.addr}/", f"http://127.0.0.1:{status}/"
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(at=self.folder, port=port, status=status, connections=CONNECTIONS_MAX))
        argv = [self.program, "-e", "stderr", "-p", str(self.folder), "-c", str(config)]
        self.child = Child(Command(argv, self.folder), SERVER_CORE)
        for _ in range(200):
            try:
                self.counters()
                return self
            except OSError:
                time.sleep(0.05)
        self.child.kill()
        raise PeerFailed("nginx did not start")

    def __exit__(self, *_):
        self.child.kill()

    def counters(self) -> tuple[int, int]:
        """Requests answered so far and connections open now, both without those of this question."""
        with urllib.request.urlopen(self.status_url, timeout=10) as answer:
            text = answer.read().decode()
        self.asked += 1
        active = int(re.search(r"Active connections: (\d+)", text).group(1))
        requests = int(re.search(r"^ \d+ \d+ (\d+)", text, re.M).group(1))
        return requests - self.asked, active - 1
