"""The tools: where each is, which version, and what it is told to do."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import loads
import ours
from processes import Command


@dataclass
class Tool:
    name: str
    program: str
    version: list[str]
    closed: Callable | None = None
    users: Callable | None = None
    # Raises unless the run that just ended may be believed.
    checked: Callable | None = None
    # What in its way of keeping users is not the same as the others'.
    users_note: str = ""


def version_of(tool: Tool) -> str:
    """What the tool says of itself, or what Debian says of it."""
    argv = [tool.program, *tool.version] if tool.version else ["dpkg-query", "-W", "-f", "${Version}", Path(tool.program).name]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    found = re.search(r"\d+\.\d+(\.\d+)?[\w.+-]*", done.stdout + done.stderr)
    return found.group(0) if found else "?"


def all_tools(plimsoll: str, floor: str | None, cache: Path) -> tuple[list[Tool], dict[str, str]]:
    """Those that are there, and by name those that are not with the reason."""
    cache = cache.resolve()
    node = cache / "node/node_modules/.bin"
    places = {
        "wrk": shutil.which("wrk"),
        "h2load": shutil.which("h2load"),
        "oha": cache / "bin/oha",
        "hey": shutil.which("hey"),
        "k9-load": cache / "venv/bin/k9",
        "k6": shutil.which("k6"),
        "goose": cache / "build/release/goose-peer",
        "drill": cache / "bin/drill",
        "autocannon": node / "autocannon",
        "locust": cache / "venv/bin/locust",
        "artillery": node / "artillery",
    }
    reasons = {"k6": "its makers publish it in none of these registries; a k6 on PATH is measured"}
    found, missing = [], {}
    if floor:
        found.append(
            Tool("floor", floor, [], closed=lambda server, folder, _: Command([floor, "floor", server.addr], folder, seconds=3))
        )
    else:
        missing["floor"] = "the bench cost_per_request is not built"
    found.append(Tool("plimsoll", plimsoll, ["--version"], ours.closed(plimsoll), ours.users(plimsoll), checked=ours.summary))
    for name, place in places.items():
        if place and Path(place).exists():
            closed, users, version, note = PEERS[name]
            found.append(Tool(name, str(place), version, bound(closed, str(place)), bound(users, str(place)), users_note=note))
        else:
            missing[name] = reasons.get(name, "could not be installed: see the logs beside this report")
    return found, missing


def bound(make, program):
    return make and (lambda *args: make(program, *args))


SHARED = "one pool of connections for all users"
PEERS = {
    "wrk": (loads.simple("-t1", "-c{c}", "-d{s}s"), loads.wrk_users, ["--version"], "think time by a Lua `delay`"),
    "h2load": (
        loads.simple("--h1", "-t1", "-c{c}", "-D{s}s"),
        loads.h2load_users,
        ["--version"],
        "think time by a timing script",
    ),
    "oha": (
        loads.simple("-z", "{s}s", "-c", "{c}", "--no-tui", "--output-format", "json"),
        loads.thinking("-z", "{s}s", "-c", "{n}", "-q", "{r}", "--no-tui", "--output-format", "json"),
        ["--version"],
        "no think time: a rate over all its connections",
    ),
    "hey": (
        loads.simple("-z", "{s}s", "-c", "{c}"),
        loads.thinking("-z", "{s}s", "-c", "{n}", "-q", "{p}"),
        [],
        "no think time: a rate for each connection",
    ),
    "k9-load": (loads.k9_closed, loads.k9_users, ["--version"], ""),
    "k6": (loads.k6_closed, loads.k6_users, ["version"], ""),
    "goose": (loads.goose_closed, loads.goose_users, ["--version"], ""),
    "drill": (loads.drill_closed, loads.drill_users, ["--version"], SHARED),
    "autocannon": (
        loads.simple("-c", "{c}", "-d", "{s}", "-j"),
        loads.thinking("-c", "{n}", "-R", "{n}", "-d", "{s}", "-j"),
        ["--version"],
        "no think time: one request a second and connection, the least it can",
    ),
    "locust": (loads.locust_closed, loads.locust_users, ["--version"], ""),
    "artillery": (loads.artillery_closed, loads.artillery_users, ["version"], ""),
}
