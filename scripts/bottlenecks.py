#!/usr/bin/env python3
"""Measures where each bottleneck of the bundled target bites, and that its cures move that point: bottlenecks.py [--plimsoll FILE] [--small] [NAME ...].

For each scenario in scenarios/bottlenecks it lets the load grow and looks in saturation.csv for the first second in which the resource is
full, beside the users at which `target explain` computes it. Then the same load meets each cure. Prints a Markdown table; the exit code is 0
only when every point is within 10 % of the computed one (95 % full at 95 % of the users who fill it), nothing else was full at that moment, and no cure is full at the same load.

With --small each resource is dialled down so that fewer users fill it, and the load grows in half a minute: what CI has time for. A second of such a load is
up to four per cent of it, and the fewer users there are the more their number of requests varies, so the tolerance is 20 % then.
"""

import argparse
import csv
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile

# A resource is full where it is used for this share of a second: a pool of which every connection is taken at every instant is a limit
# that a random load only comes near.
FULL_RATIO = 0.95
TOLERANCE_RATIO = 0.10
# The scenarios take a minute and a half; past this something hangs.
RUN_SECONDS_MAX = 600
SCENARIOS = pathlib.Path(__file__).resolve().parent.parent / "scenarios" / "bottlenecks"

SMALL_TOLERANCE_RATIO = 0.20
SMALL_SECONDS = 28
# So far past the point at which the resource should be full.
SMALL_OVERSHOOT_RATIO = 1.4


@dataclasses.dataclass
class Bottleneck:
    """The profile that has it, the resource that gives way, the profiles that cure it, and the dial that makes it small, if one does that is not its cure."""

    profile: str
    resource: str
    cures: list
    small_dial: str | None


# By scenario.
BOTTLENECKS = {
    "mongo-pool": Bottleneck("baseline", "mongodb.pool", ["pool-100", "cached"], "mongodb.service_time_ms=50"),
    "redis-commands": Bottleneck("redis-single", "redis.main_thread", ["redis-cluster", "l1-cache"], "redis.command_us=2000"),
    "websocket-heap": Bottleneck("websocket-heap", "app.heap", ["lean-sockets", "replicas-4"], "heap.limit_bytes=100663296"),
    "gateway-connections": Bottleneck("gateway-single", "gateway.connections", ["gateway-wide"], None),
    "static-files": Bottleneck("static-from-app", "app.cpu", ["edge-cache"], "app.cpu_us_per_request.static=1000"),
}


class Run:
    """What a run recorded: the users of each second, and how full each resource was."""

    def __init__(self, folder, resource):
        self.users = {}
        with open(folder / "timeline.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                self.users[round(float(row["t_s"]))] = int(row["users"])
        self.full = {}
        with open(folder / "saturation.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["utilization"]:
                    self.full.setdefault(row["resource"], []).append((float(row["t_s"]), float(row["utilization"])))
        self.resource = resource

    def bites(self):
        """The second in which the resource was full for the first time, and the users then."""
        for t_s, ratio in self.full.get(self.resource, []):
            if ratio >= FULL_RATIO:
                return t_s, self.users.get(round(t_s), 0)
        return None

    def until(self, end_s):
        """The fullest that each resource was up to then."""
        return {name: max(ratio for t_s, ratio in rows if t_s <= end_s) for name, rows in self.full.items() if rows[0][0] <= end_s}

    def while_at_most(self, users):
        """The fullest that the resource, or one of several that are there in its place, was with no more users than that."""
        system, part = self.resource.split(".")
        alike = re.compile(rf"{re.escape(system)}(-\d+)?\.{re.escape(part)}")
        rows = [row for name, rows in self.full.items() if alike.fullmatch(name) for row in rows]
        if not rows:
            sys.exit(f"nothing was recorded of {self.resource}; there is: {', '.join(self.full)}")
        return max(ratio for t_s, ratio in rows if self.users.get(round(t_s), 0) <= users)


class Measure:
    def __init__(self, plimsoll, scratch, small):
        self.plimsoll, self.scratch, self.small = plimsoll, pathlib.Path(scratch), small
        self.tolerance = SMALL_TOLERANCE_RATIO if small else TOLERANCE_RATIO
        self.dials, self.stages = [], []

    def make_small(self, bottleneck, scenario):
        """Dials the resource down, and has the load grow to a little more than fills it."""
        self.dials = ["--dial", bottleneck.small_dial] if bottleneck.small_dial else []
        users = round(dict(self.explain(bottleneck.profile, scenario))[bottleneck.resource] * SMALL_OVERSHOOT_RATIO)
        self.stages = ["--set", f"load.0.stages=[{{to: {users}, over: {SMALL_SECONDS}s}}]"]

    def explain(self, profile, scenario):
        """The ceiling of each resource, first to give way first, as (name, users)."""
        command = [self.plimsoll, "target", "explain", profile, "--scenario", scenario, "--json", *self.dials]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [(row["resource"], row["users"]) for row in json.loads(done.stdout)]

    def run(self, profile, scenario, resource):
        folder = self.scratch / f"{scenario.stem}-{profile}"
        command = [self.plimsoll, "run", scenario, "--quiet", "--out", folder, "--set", f"target.bundled={profile}", *self.dials, *self.stages]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX)
        # The load is more than the target carries, so a failed verdict is no surprise; an INVALID one, or none, is.
        if done.returncode not in (0, 1):
            sys.exit(f"plimsoll run {scenario} on {profile} ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
        counts = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["counts"]
        ended = sum(counts[end] for end in ("completed", "failed", "dropped", "interrupted", "lost"))
        if counts["planned"] != ended:
            sys.exit(f"{folder}: planned {counts['planned']}, all ends together {ended}")
        return Run(folder, resource)

    def bottleneck(self, name):
        """Prints a row for the bottleneck and one for each cure; whether all is as computed."""
        bottleneck = BOTTLENECKS[name]
        profile, resource, cures = bottleneck.profile, bottleneck.resource, bottleneck.cures
        scenario = SCENARIOS / f"{name}.yaml"
        if self.small:
            self.make_small(bottleneck, scenario)
        computed = dict(self.explain(profile, scenario))[resource]
        run = self.run(profile, scenario, resource)
        bites = run.bites()
        if bites is None:
            print(f"| `{name}` | `{profile}` | {resource} at {computed:,.0f} | never full | | **no** |", flush=True)
            return False
        at_s, users = bites
        others = {other: ratio for other, ratio in run.until(at_s).items() if other != resource}
        # Used for that share of the time it is at that share of the users at which it is used all of the time.
        expected = computed * FULL_RATIO
        good = abs(users / expected - 1) <= self.tolerance and all(ratio < FULL_RATIO for ratio in others.values())
        beside = ", ".join(f"{other} {ratio:.0%}" for other, ratio in sorted(others.items()))
        answer = "yes" if good else "**no**"
        print(f"| `{name}` | `{profile}` | {resource} at {computed:,.0f} | {FULL_RATIO:.0%} full at {users:,} ({users / expected:.2f}) | {beside} | {answer} |", flush=True)
        for cure in cures:
            fullest = self.run(cure, scenario, resource).while_at_most(users)
            first, ceiling = self.explain(cure, scenario)[0]
            cured = fullest < FULL_RATIO and ceiling > users
            good &= cured
            answer = "yes" if cured else "**no**"
            print(f"| | cure `{cure}` | {first} at {ceiling:,.0f} | {resource} at most {fullest:.0%} with {users:,} users | | {answer} |", flush=True)
        return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plimsoll", default="plimsoll", help="the executable")
    parser.add_argument("--small", action="store_true", help="with few users, in a minute and a half each")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BOTTLENECKS)}; all by default")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BOTTLENECKS]
    if unknown:
        parser.error(f"no bottleneck {unknown[0]}; there is: {', '.join(BOTTLENECKS)}")
    print("| scenario | profile | computed, users | measured, users | others by then | as computed |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        measure = Measure(arguments.plimsoll, scratch, arguments.small)
        good = [measure.bottleneck(name) for name in arguments.names or BOTTLENECKS]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
