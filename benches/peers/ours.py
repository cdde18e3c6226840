"""Plimsoll as one of the tools: its scenarios, its reading, and what its runs must satisfy before a number of them is believed."""

import json

from processes import Command, PeerFailed

# 3 is INVALID: the generator was the limit, as a closed loop without think time on one core makes it on purpose.
EXIT_CODES = (0, 3)

SCENARIO = """plimsoll: 1
name: peers
target: {{http: "{url}"}}
observe: []
scenarios:
  read:
{pacing}    steps:
      - get: /
        expect: {{status: 200}}
{think}load:
  - run: read
    executor: {executor}
    stages: [{stages}]
    graceful_stop: 2s
"""


def command(program: str, folder, url: str, executor: str, stages: str, seconds: float, think="", pacing="") -> Command:
    folder.mkdir(parents=True, exist_ok=True)
    scenario = SCENARIO.format(
        url=url.rstrip("/"),
        executor=executor,
        stages=stages,
        think=f"      - think: {think}\n" if think else "",
        pacing=f"    pacing: {{every: {pacing}}}\n" if pacing else "",
    )
    (folder / "scenario.yaml").write_text(scenario)
    argv = [program, "run", "scenario.yaml", "--out", str(folder / "run"), "--shards", "1", "--json", "--quiet"]
    return Command(argv, folder, codes=EXIT_CODES, seconds=seconds)


def summary(done: Command) -> dict:
    """The summary of a run that holds: nothing failed, and every planned iteration is accounted for."""
    found = json.loads((done.folder / "stdout").read_text())
    counts = found["counts"]
    parts = sum(counts[name] for name in ("completed", "failed", "dropped", "interrupted", "lost"))
    if counts["planned"] != parts:
        raise PeerFailed(f"plimsoll: planned is not the sum of its parts: {counts}")
    if found["requests"]["failed"] or counts["failed"] or counts["lost"]:
        raise PeerFailed(f"plimsoll: requests failed: {counts} {found['failures']}")
    return found


def closed(program):
    def make(server, folder, seconds):
        return command(program, folder, server.url, "closed", f"{{to: 64, over: 0s}}, {{hold: {seconds}s}}", seconds)

    return make


def users(program):
    def make(server, folder, count, think_s):
        stages = f"{{to: {count}, over: {think_s}s}}, {{hold: {think_s + 2}s}}"
        return command(program, folder, server.url, "closed", stages, 2 * think_s + 2, think=f"{think_s}s")

    return make


def open_rate(program):
    def make(server, folder, rate, seconds):
        return command(program, folder, server.url, "open", f"{{to: {rate}/s, over: 0s}}, {{hold: {seconds}s}}", seconds)

    return make


def paced(program):
    """As many users as arrivals in a second, each starting an iteration every second, their starts spread over the first second."""

    def make(server, folder, rate, seconds):
        stages = f"{{to: {rate}, over: 1s}}, {{hold: {seconds - 1}s}}"
        return command(program, folder, server.url, "closed", stages, seconds, pacing="1s")

    return make


def read(done: Command) -> dict:
    found = summary(done)
    response = found["endpoints"][0]["response_ms"]
    said = {"p50": response["p50"], "p99": response["p99"], "p99_9": response["p99_9"], "max": response["max"]}
    notes = [f"service time p99 {found['endpoints'][0]['service_ms']['p99']:.1f}", f"dropped {found['counts']['dropped']}"]
    if found["verdict"] == "invalid":
        notes.append(f"INVALID: {found['reason']}")
    return {**said, "note": ", ".join(notes)}
