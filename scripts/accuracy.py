#!/usr/bin/env python3
"""Measures how far the answers of Plimsoll are from the truth, and writes docs/accuracy.md: accuracy.py [--plimsoll FILE] [--check [--ci]] [SECTION ...].

Sections: `examples` and `grid` are computed (published examples, simulated systems; tests print them); `repeat`, `bottlenecks` and `what-if` are measured on the bundled target, whose truth `target explain` computes from its dials. Each replaces its part of
the page between its two marks. Without names all are made, which takes about an hour and the machine to itself.

With --check nothing is written, and the exit code says whether what was measured is within the bounds of the page. `bottlenecks=NAME` and `what-if=NAME` take one
of several, with --check only. With --ci the searches of `bottlenecks` take a minute each in place of two: they begin nearer to the line that `target explain` computes and end sooner. They
are held to the same bounds.
"""

import argparse
import dataclasses
import datetime
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "accuracy.md"
SCENARIOS = ROOT / "scenarios" / "bottlenecks"
# Of each of these scenarios the one that searches.
PROFILE = "limit"

# The exit code of a run that is INVALID (docs/exit-codes.md): the generator was the limit, and the answer says nothing of the target.
GENERATOR_WAS_THE_LIMIT = 3
TRIES_MAX = 3
# A search takes two minutes; past this something hangs.
FIND_SECONDS_MAX = 900

LINE_TOLERANCE_RATIO = 0.10
REPEAT_SPREAD_MAX = 0.05
# Where a search that CI has time for begins, as a share of the computed line. Doubling from there meets the line from above at 1.2 of it, so that six levels find it,
# two of them quiet.
CI_FROM_RATIO = 0.3
CI_SETTINGS = {"settle": "3s", "window": "3s", "cooldown": "1s", "precision": "10%"}
WHAT_IF_MEDIAN_MAX, WHAT_IF_P90_MAX, WHAT_IF_COVERED_MIN = 0.05, 0.10, 0.90

# The tests that print a table, by section.
TESTS = {
    "examples": ["--test", "published"],
    "grid": ["--test", "attribution_grid"],
}


@dataclasses.dataclass
class Wall:
    """A scenario of scenarios/bottlenecks: what gives way first with these dials, the cure, and what gives way then. Dials bring the second wall near enough to be met."""

    profile: str
    dials: dict
    first: str
    cure: dict
    then: str


WALLS = {
    "mongo-pool": Wall("baseline", {"app.cores": "0.25"}, "mongodb.pool", {"mongodb.max_pool_size": "100"}, "app.cpu"),
    "redis-commands": Wall("redis-single", {"app.cores": "0.4"}, "redis.main_thread", {"redis.command_us": "200"}, "app.cpu"),
    "websocket-heap": Wall("websocket-heap", {"gateway.worker_connections": "4096"}, "app.heap", {"heap.limit_bytes": "402653184"}, "gateway.connections"),
    "gateway-connections": Wall("gateway-single", {"heap.limit_bytes": "62914560"}, "gateway.connections", {"gateway.worker_connections": "4096"}, "app.heap"),
    "static-files": Wall("static-from-app", {}, "app.cpu", {"app.cpu_us_per_request.static": "100"}, "mongodb.pool"),
}


@dataclasses.dataclass
class Family:
    """Searches that differ in the limit of one resource. Each is a prediction's before and its after, so n of them are n(n - 1) pairs."""

    scenario: str
    profile: str
    dials: dict
    resource: str
    dial: str
    # What the resource is changed to in the words of --what-if, with the value of the dial.
    values: dict


FAMILIES = {
    "pool": Family("mongo-pool", "baseline", {"app.cores": "0.25"}, "mongodb.pool", "mongodb.max_pool_size", {v: v for v in ("6", "9", "14", "20", "40")}),
    "cpu": Family("static-files", "static-from-app", {}, "app.cpu", "app.cores", {v: v for v in ("0.3", "0.5", "0.8", "1.2")}),
    "heap": Family("websocket-heap", "websocket-heap", {}, "app.heap", "heap.limit_bytes", {"64MiB": "67108864", "96MiB": "100663296", "144MiB": "150994944"}),
    "gateway": Family("gateway-connections", "gateway-single", {}, "gateway.connections", "gateway.worker_connections", {v: v for v in ("400", "700", "1200")}),
}


class Searches:
    """Runs `plimsoll find` on the bundled target, each search once."""

    def __init__(self, plimsoll, scratch, ci=False):
        self.plimsoll, self.scratch, self.ci = plimsoll, pathlib.Path(scratch), ci

    def explain(self, profile, scenario, dials):
        """The ceiling of each resource, first to give way first, as (name, users)."""
        done = subprocess.run(
            [self.plimsoll, "target", "explain", profile, "--scenario", SCENARIOS / f"{scenario}.yaml", "--json", *flags(dials)],
            check=True, capture_output=True, text=True,
        )
        return [(row["resource"], row["users"]) for row in json.loads(done.stdout)]

    def find(self, profile, scenario, dials, number="", computed=None):
        """The summary of a search, and its folder; of one that was kept, what its record says now. One of which the generator was the limit is run again. Where
        the computed line is given, and time is short, the search makes use of it."""
        given = [*flags(dials), *(sooner(computed) if self.ci and computed else [])]
        folder = self.scratch / "-".join(filter(None, [scenario, profile, *(f"{name}={value}" for name, value in dials.items()), number, digest(scenario, given)]))
        if (folder / "summary.json").exists():
            done = subprocess.run([self.plimsoll, "report", folder, "--json"], check=True, capture_output=True, text=True)
            summary = json.loads(done.stdout)
            if summary["verdict"] == "pass":
                return sound(summary, folder), folder
            print(f"{folder}: {summary['verdict']}, so it is searched again", file=sys.stderr, flush=True)
        command = [
            self.plimsoll, "find", SCENARIOS / f"{scenario}.yaml", "--profile", PROFILE, "--json", "--quiet", "--out", folder,
            "--set", f"target.bundled={profile}", *given,
        ]
        for tried in range(1, TRIES_MAX + 1):
            shutil.rmtree(folder, ignore_errors=True)
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FIND_SECONDS_MAX)
            if done.returncode != GENERATOR_WAS_THE_LIMIT:
                break
            print(f"{scenario} with {dials}, try {tried} of {TRIES_MAX}: the generator was the limit", file=sys.stderr, flush=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
        return sound(json.loads(done.stdout), folder), folder

    def predict(self, folder, change):
        """What the record says the load line becomes with the change; none where it says that this cannot be told."""
        done = subprocess.run([self.plimsoll, "predict", folder, "--what-if", change, "--json"], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{folder}, {change}: {done.stderr}", file=sys.stderr, flush=True)
            return None
        return json.loads(done.stdout)


def digest(scenario, given):
    """Of what is searched and how, so that no search is taken for one of another text or with other flags."""
    return hashlib.sha256("\0".join([(SCENARIOS / f"{scenario}.yaml").read_text(encoding="utf-8"), *given]).encode()).hexdigest()[:8]


def sound(summary, folder):
    counts = summary["counts"]
    ended = sum(counts[end] for end in ("completed", "failed", "dropped", "interrupted", "lost"))
    if counts["planned"] != ended:
        sys.exit(f"{folder}: planned {counts['planned']}, all ends together {ended}")
    return summary


def flags(dials):
    return [flag for name, value in dials.items() for flag in ("--dial", f"{name}={value}")]


def sooner(computed):
    """What makes a search shorter whose line is computed to be here.

    >>> sooner(510)[:4]
    ['--set', 'profiles.limit.load.0.from=153', '--set', 'profiles.limit.load.0.settle=3s']
    """
    # What is set is set before the profile is laid over it.
    settings = {"from": round(CI_FROM_RATIO * computed), **CI_SETTINGS}
    return [flag for name, value in settings.items() for flag in ("--set", f"profiles.{PROFILE}.load.0.{name}={value}")]


def told(dials):
    return ", ".join(f"{name}={value}" for name, value in dials.items())


def typical(summary):
    line = summary["load_line"] or {}
    return line.get("typical") or float("nan")


def named(summary):
    bottleneck = summary["bottleneck"] or {}
    if bottleneck.get("status") == "named":
        return bottleneck["resource"]
    candidates = ", ".join(c["resource"] for c in bottleneck.get("candidates", []))
    return f"({bottleneck.get('status')}{': ' + candidates if candidates else ''})"


def users(value):
    return f"{value:,.0f}"


def repeat(searches, _):
    """Five searches of the same target: how far apart the load lines are."""
    lines = [typical(searches.find("baseline", "mongo-pool", {}, str(number))[0]) for number in range(1, 6)]
    spread = (max(lines) - min(lines)) / statistics.median(lines)
    yield f"Five searches of the target's baseline: {', '.join(map(users, lines))} users. (max - min)/median = {spread:.1%}; the bound is {REPEAT_SPREAD_MAX:.0%}."
    yield spread <= REPEAT_SPREAD_MAX


def bottlenecks(searches, only):
    """The five bottlenecks: found and named, and after the cure the wall that was predicted next. A short search ends at a bracket of a tenth and lasts a minute, so
    with --ci a row that does not hold is searched once more: both rows are told, and the second counts."""
    yield "| scenario | dials | computed | load line | named | predicted next | cure | computed | load line | named | as computed |\n|---|---|---|---|---|---|---|---|---|---|---|"
    good = True
    for name in only or WALLS:
        for number in ("", "again") if searches.ci else ("",):
            row, holds = bottleneck(searches, name, number)
            yield row
            if holds:
                break
        good &= holds
    yield good


def bottleneck(searches, name, number):
    """A row of the table, and whether it holds."""
    wall = WALLS[name]
    cells = [f"`{name}`", told(wall.dials)]
    holds = []
    for at, (dials, resource) in enumerate([(wall.dials, wall.first), ({**wall.dials, **wall.cure}, wall.then)]):
        ceiling, computed = searches.explain(wall.profile, name, dials)[0]
        summary, _ = searches.find(wall.profile, name, dials, number, computed)
        line = typical(summary)
        cells += [f"{ceiling} at {users(computed)}", f"{users(line)} ({line / computed:.2f})", named(summary)]
        holds += [ceiling == resource, abs(line / computed - 1) <= LINE_TOLERANCE_RATIO, named(summary) == resource]
        if at == 0:
            following = ((summary["bottleneck"] or {}).get("next") or [{}])[0]
            cells += [f"{following.get('resource')} at {users(following.get('at') or float('nan'))}", told(wall.cure)]
            holds.append(following.get("resource") == wall.then)
    return f"| {' | '.join(cells)} | {'yes' if all(holds) else '**no**'} |", all(holds)


def what_if(searches, only):
    """Predictions from one search of what another one finds."""
    yield "| pair | change | before | predicted | interval | found | error | inside |\n|---|---|---|---|---|---|---|---|"
    errors, covered = [], []
    for name in only or FAMILIES:
        family = FAMILIES[name]
        found = {}
        for value, dial in family.values.items():
            summary, folder = searches.find(family.profile, family.scenario, {**family.dials, family.dial: dial})
            found[value] = (typical(summary), folder)
        for before, (line, folder) in found.items():
            for after, (truth, _) in found.items():
                if before == after:
                    continue
                predicted = searches.predict(folder, f"{family.resource}={after}")
                if predicted is None:
                    # Whoever asks and is told nothing got no good answer.
                    errors.append(1.0)
                    covered.append(False)
                    yield f"| {name} | {family.resource} {before} to {after} | {users(line)} | refused | | {users(truth)} | | no |"
                    continue
                predicted = predicted["load_line"]
                low, high = predicted["interval"]
                errors.append(predicted["typical"] / truth - 1)
                covered.append(low <= truth <= high)
                yield (
                    f"| {name} | {family.resource} {before} to {after} | {users(line)} | {users(predicted['typical'])} | {users(low)} to {users(high)} | {users(truth)} "
                    f"| {errors[-1]:+.1%} | {'yes' if covered[-1] else 'no'} |"
                )
    sizes = sorted(map(abs, errors))
    median, p90, share = statistics.median(sizes), sizes[math.ceil(0.9 * len(sizes)) - 1], sum(covered) / len(covered)
    yield (
        f"\n{len(errors)} pairs: median error {median:.1%} (bound {WHAT_IF_MEDIAN_MAX:.0%}), p90 {p90:.1%} (bound {WHAT_IF_P90_MAX:.0%}), "
        f"the interval holds what was found in {share:.0%} (bound {WHAT_IF_COVERED_MIN:.0%})."
    )
    yield median <= WHAT_IF_MEDIAN_MAX and p90 <= WHAT_IF_P90_MAX and share >= WHAT_IF_COVERED_MIN


MEASURED = {"repeat": repeat, "bottlenecks": bottlenecks, "what-if": what_if}


def computed(section, scratch):
    """The table that the tests of this section print."""
    table = pathlib.Path(scratch) / f"{section}.md"
    command = ["cargo", "test", "--locked", "--workspace", "--features", "mongodb", *TESTS[section]]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PLIMSOLL_ACCURACY_TABLE": str(table)}, check=False)
    yield table.read_text(encoding="utf-8").strip() if table.exists() else "no table was written"
    yield done.returncode == 0


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return f"{model.group(1) if model else 'a processor'}, {os.cpu_count()} cores"


def replaced(page, section, text):
    """The page with the part of the section replaced.

    >>> replaced("a <!-- begin x -->old<!-- end x --> b", "x", "new")
    'a <!-- begin x -->\\nnew\\n<!-- end x --> b'
    """
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    head, tail = page.index(begin) + len(begin), page.index(end)
    return f"{page[:head]}\n{text}\n{page[tail:]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plimsoll", default=ROOT / "target" / "release" / "plimsoll", help="the executable")
    parser.add_argument("--check", action="store_true", help="judge, and leave the page as it is")
    parser.add_argument("--ci", action="store_true", help="with --check: shorter searches of the bottlenecks, which CI has time for")
    parser.add_argument("--keep", type=pathlib.Path, help="keep the folders of the runs here, and take those that are there already in place of another run")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join([*TESTS, *MEASURED])}; all by default")
    arguments = parser.parse_args()
    if arguments.ci and not arguments.check:
        parser.error("the page is not made of shorter searches: --ci is for --check")
    if not arguments.check and any("=" in asked for asked in arguments.sections):
        parser.error("the page is not made of parts of a section: SECTION=NAME is for --check")
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        searches = Searches(arguments.plimsoll, arguments.keep or scratch, arguments.ci)
        for asked in arguments.sections or [*TESTS, *MEASURED]:
            section, _, only = asked.partition("=")
            if section in TESTS:
                parts = computed(section, scratch)
            elif section in MEASURED:
                parts = MEASURED[section](searches, only.split(",") if only else None)
            else:
                parser.error(f"no section {section}; there is: {', '.join([*TESTS, *MEASURED])}")
            lines = []
            for part in parts:
                if isinstance(part, bool):
                    good &= part
                else:
                    lines.append(part)
                    print(part, flush=True)
            if not arguments.check:
                lines.append(f"\nMade by `scripts/accuracy.py {asked}` on {datetime.date.today()}, {machine()}.")
                PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), section, "\n".join(lines)), encoding="utf-8")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
