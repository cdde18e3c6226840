#!/usr/bin/env python3
"""Measures where each bottleneck of the bundled target bites, and that its cures move that point: bottlenecks.py [--plimsoll FILE] [--small] [NAME ...].

For each scenario in scenarios/bottlenecks it lets the load grow until the resource is full, and computes from what each second shows (see `fills_at`) how many
users fill it, beside the users at which `target explain` computes it. Then that many users meet each cure. Prints a Markdown table; the exit code is 0 only
when every point is within 5 % of the computed one, the resource really became full, nothing else was full by then, and each cure leaves it room under the
same load. It is 3 when a run was INVALID, the generator being the limit, three times in a row.

With --small each resource is dialled down so that fewer users fill it, and the load grows in forty seconds: what CI has time for. The fewer users and seconds
there are the more chance is in them, so the tolerance is 15 % then.
"""

import argparse
import csv
import dataclasses
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

# A resource is full where it is used for this share of a second: a pool of which every connection is taken at every instant is a limit
# that a random load only comes near.
FULL_RATIO = 0.95
# Between these shares a resource shows what a user costs it: below, chance is much of it and a cache is still being filled; above, users begin to wait and
# ask for less.
TELLING_RATIOS = (0.6, 0.85)
# A resource is cured where the load that filled it fills no more of it than this. It is half-way between what the weakest of the cures leaves (51 % of each
# of two pools) and what one that does nothing would (100 %), so that neither is a matter of chance.
CURED_RATIO = 0.75
# Nor is it cured by failing: of what meets a cure hardly anything may.
CURED_FAILED_RATIO = 0.01
# A single second may be anything on a machine that others use too. So shares that have to stay below something are medians of so many seconds.
MEDIAN_OF_S = 5
# A cure gets its load within the first of these, and is looked at in the second.
CURE_RAMP_S, CURE_HOLD_S = 8, 7
TOLERANCE_RATIO = 0.05
# The scenarios take a minute and a half; past this something hangs.
RUN_SECONDS_MAX = 600
# The exit code of a run that is INVALID (docs/exit-codes.md), and how often one is begun before that is the answer.
GENERATOR_WAS_THE_LIMIT = 3
TRIES_MAX = 3
SCENARIOS = pathlib.Path(__file__).resolve().parent.parent / "scenarios" / "bottlenecks"

SMALL_TOLERANCE_RATIO = 0.15
SMALL_SECONDS = 40
# So far past the point at which the resource should be full.
SMALL_OVERSHOOT_RATIO = 1.3


@dataclasses.dataclass
class Bottleneck:
    """The profile that has it, the resource that gives way, the profiles that cure it, and the dial that makes it small, if one does that is not its cure."""

    profile: str
    resource: str
    cures: list
    small_dial: str | None


# By scenario.
BOTTLENECKS = {
    "mongo-pool": Bottleneck("baseline", "mongodb.pool", ["pool-100", "cached", "read-replicas"], "mongodb.service_time_ms=50"),
    "redis-commands": Bottleneck("redis-single", "redis.main_thread", ["redis-cluster", "l1-cache"], "redis.command_us=2000"),
    "websocket-heap": Bottleneck("websocket-heap", "app.heap", ["lean-sockets", "replicas-4"], "heap.limit_bytes=100663296"),
    "gateway-connections": Bottleneck("gateway-single", "gateway.connections", ["gateway-wide"], None),
    "static-files": Bottleneck("static-from-app", "app.cpu", ["edge-cache"], "app.cpu_us_per_request.static=1000"),
}


@dataclasses.dataclass
class Second:
    """How full a resource was in one second, and how many users there were at its end."""

    t_s: float
    users: int
    ratio: float


def smooth(seconds):
    """The share of each second as the median of those around it.

    >>> smooth([Second(t, 0, ratio) for t, ratio in enumerate([0.1, 0.2, 1.0, 0.3, 0.4, 0.5])])
    [0.2, 0.25, 0.3, 0.4, 0.45, 0.4]
    """
    reach = MEDIAN_OF_S // 2
    return [statistics.median(s.ratio for s in seconds[max(0, at - reach) : at + reach + 1]) for at in range(len(seconds))]


def fills_at(seconds):
    """How many users fill the resource, by a load that grows; none if it never grew so far that this can be told.

    As long as nobody waits, how full it is rises in proportion to the users: the utilization law, U = X D, with X = N / (Z + D). So each second says how many
    users would have filled it, N / U, and the median of those in which it is nearly full is the answer. It is where `target
    explain` says that a resource ends, the crossing of the two asymptotes, and uses every second of the way. The first second that is full would be
    one draw: the noisier the seconds, the earlier, and the more users wait before it is full, the later.

    In proportion, and then no more than full, with chance in every second and one in twenty disturbed:

    >>> import random
    >>> chance = random.Random(1)
    >>> def measured(users): return min(1, users / 200 * chance.gauss(1, 0.04) * chance.choice([1] * 19 + [1.6]))
    >>> found = [fills_at([Second(t, 6 * t, measured(6 * t)) for t in range(1, 41)]) for _ in range(100)]
    >>> 185 < min(found) < 200 < max(found) < 215
    True

    With full as what it only comes near to, and dead soon after, as a heap is:

    >>> round(fills_at([Second(t, 38 * t, 38 * t / 768 if t < 21 else 0.05 * (t - 20)) for t in range(1, 29)]))
    768

    One that another resource keeps from growing on, and one that hardly grows:

    >>> fills_at([Second(t, 10 * t, min(0.7, t / 20)) for t in range(1, 29)])
    >>> fills_at([Second(t, 10 * t, t / 100) for t in range(1, 29)])
    """
    low, high = TELLING_RATIOS
    shares = smooth(seconds)
    # What comes after it has been so full once tells no more: it waits, or has died and begins again.
    end = next((at for at, share in enumerate(shares) if share >= high), None)
    telling = [s.users / s.ratio for s, share in zip(seconds[:end], shares) if share >= low and s.ratio > 0]
    return statistics.median(telling) if end is not None and telling else None


def percent(ratio):
    return f"{100 * ratio:.0f} %"


class Run:
    """What a run recorded of how full each resource was, and which share of the iterations failed."""

    def __init__(self, folder, failed_ratio):
        self.failed_ratio = failed_ratio
        users = {}
        with open(folder / "timeline.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                users[round(float(row["t_s"]))] = int(row["users"])
        self.resources = {}
        with open(folder / "saturation.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                t_s = float(row["t_s"])
                # What is read after the end of the load has no users.
                if row["utilization"] and round(t_s) in users:
                    second = Second(t_s, users[round(t_s)], float(row["utilization"]))
                    self.resources.setdefault(row["resource"], []).append(second)

    def of(self, resource):
        """The seconds of the resource, or of each of several that are there in its place."""
        system, part = resource.split(".")
        alike = re.compile(rf"{re.escape(system)}(-\d+)?\.{re.escape(part)}")
        rows = [seconds for name, seconds in self.resources.items() if alike.fullmatch(name)]
        if not rows:
            sys.exit(f"nothing was recorded of {resource}; there is: {', '.join(self.resources)}")
        return rows

    def until(self, users):
        """The fullest that each resource was until there were so many users."""
        fullest = {}
        for name, seconds in self.resources.items():
            end = next((at for at, s in enumerate(seconds) if s.users >= users), len(seconds))
            fullest[name] = max(smooth(seconds)[: end + 1])
        return fullest

    def fullest_with(self, users, resource):
        """The fullest that the resource was with at least so many users."""
        shares = [share for seconds in self.of(resource) for s, share in zip(seconds, smooth(seconds)) if s.users >= users]
        if len(shares) < MEDIAN_OF_S:
            sys.exit(f"{len(shares)} seconds with {users} users are too few to say how full {resource} was")
        return max(shares)


class Measure:
    def __init__(self, plimsoll, scratch, small):
        self.plimsoll, self.scratch, self.small = plimsoll, pathlib.Path(scratch), small
        self.tolerance = SMALL_TOLERANCE_RATIO if small else TOLERANCE_RATIO
        self.dials, self.stages = [], []

    def make_small(self, bottleneck, scenario):
        """Dials the resource down, and has the load grow to a little more than fills it."""
        self.dials = ["--dial", bottleneck.small_dial] if bottleneck.small_dial else []
        users = round(dict(self.explain(bottleneck.profile, scenario))[bottleneck.resource] * SMALL_OVERSHOOT_RATIO)
        self.stages = [f"{{to: {users}, over: {SMALL_SECONDS}s}}"]

    def explain(self, profile, scenario):
        """The ceiling of each resource, first to give way first, as (name, users)."""
        command = [self.plimsoll, "target", "explain", profile, "--scenario", scenario, "--json", *self.dials]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [(row["resource"], row["users"]) for row in json.loads(done.stdout)]

    def run(self, profile, scenario, stages):
        """With the stages of the scenario where none are given. One of which the generator was the limit is run again."""
        folder = self.scratch / f"{scenario.stem}-{profile}"
        load = ["--set", f"load.0.stages=[{', '.join(stages)}]"] if stages else []
        command = [self.plimsoll, "run", scenario, "--quiet", "--out", folder, "--set", f"target.bundled={profile}", *self.dials, *load]
        for tried in range(1, TRIES_MAX + 1):
            shutil.rmtree(folder, ignore_errors=True)
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX)
            if done.returncode != GENERATOR_WAS_THE_LIMIT:
                break
            why = next((line for line in done.stdout.splitlines() if line.startswith("verdict")), "")
            print(f"{scenario.stem} on {profile}, try {tried} of {TRIES_MAX}: {why}", file=sys.stderr, flush=True)
        # The load is more than the target carries, so a failed verdict is no surprise; an INVALID one, or none, is.
        if done.returncode not in (0, 1):
            print(f"plimsoll run {scenario} on {profile} ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}", file=sys.stderr)
            sys.exit(GENERATOR_WAS_THE_LIMIT if done.returncode == GENERATOR_WAS_THE_LIMIT else 1)
        counts = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["counts"]
        ended = sum(counts[end] for end in ("completed", "failed", "dropped", "interrupted", "lost"))
        if counts["planned"] != ended:
            sys.exit(f"{folder}: planned {counts['planned']}, all ends together {ended}")
        failed = sum(counts[end] for end in ("failed", "dropped", "lost"))
        return Run(folder, failed / max(1, counts["planned"]))

    def bottleneck(self, name):
        """Prints a row for the bottleneck and one for each cure; whether all is as computed."""
        bottleneck = BOTTLENECKS[name]
        profile, resource = bottleneck.profile, bottleneck.resource
        scenario = SCENARIOS / f"{name}.yaml"
        if self.small:
            self.make_small(bottleneck, scenario)
        computed = dict(self.explain(profile, scenario))[resource]
        run = self.run(profile, scenario, self.stages)
        (seconds,) = run.of(resource)
        fills, fullest = fills_at(seconds), max(s.ratio for s in seconds)
        if fills is None or fullest < FULL_RATIO:
            print(f"| `{name}` | `{profile}` | {resource} at {computed:,.0f} | never full for long, at most {percent(max(smooth(seconds)))} | | **no** |", flush=True)
            return False
        users = round(fills)
        others = {other: ratio for other, ratio in run.until(users).items() if other != resource}
        good = abs(fills / computed - 1) <= self.tolerance and all(ratio < FULL_RATIO for ratio in others.values())
        beside = ", ".join(f"{other} {percent(ratio)}" for other, ratio in sorted(others.items()))
        answer = "yes" if good else "**no**"
        print(f"| `{name}` | `{profile}` | {resource} at {computed:,.0f} | full at {users:,} ({fills / computed:.2f}) | {beside} | {answer} |", flush=True)
        for cure in bottleneck.cures:
            stages = [f"{{to: {users}, over: {CURE_RAMP_S}s}}", f"{{hold: {CURE_HOLD_S}s}}"]
            run = self.run(cure, scenario, stages)
            fullest = run.fullest_with(users, resource)
            first, ceiling = self.explain(cure, scenario)[0]
            cured = fullest <= CURED_RATIO and ceiling > users and run.failed_ratio <= CURED_FAILED_RATIO
            good &= cured
            answer = "yes" if cured else "**no**"
            print(f"| | cure `{cure}` | {first} at {ceiling:,.0f} | {resource} {percent(fullest)} full with {users:,} users | {percent(run.failed_ratio)} failed | {answer} |", flush=True)
        return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plimsoll", default="plimsoll", help="the executable")
    parser.add_argument("--small", action="store_true", help="with few users, forty seconds for each and less for its cures")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BOTTLENECKS)}; all by default")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BOTTLENECKS]
    if unknown:
        parser.error(f"no bottleneck {unknown[0]}; there is: {', '.join(BOTTLENECKS)}")
    print("| scenario | profile | computed, users | measured, users | others by then | as computed |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        measure = Measure(arguments.plimsoll, scratch, arguments.small)
        good = [measure.bottleneck(name) for name in arguments.names or BOTTLENECKS]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
