"""The report of a comparison: Markdown tables from `results.json`, and their copy in the documentation."""

import re
import statistics
from pathlib import Path

import plot
from cost import CLOSE

MARK = ("<!-- peers -->", "<!-- /peers -->")


def write(found: dict, out: Path):
    (out / "report.md").write_text("# Plimsoll beside other load generators\n\n" + text(found, "report.svg"))
    plot.draw(found, out / "report.svg")


def keep(found: dict, out: Path, docs: Path):
    """Replaces what stands between the marks of docs/performance.md."""
    if found["quick"]:
        raise SystemExit("compare: a quick run shows that every part works; its figures are not for keeps")
    page = docs / "performance.md"
    whole = page.read_text()
    pattern = re.compile(f"{MARK[0]}.*{MARK[1]}", re.S)
    if not pattern.search(whole):
        raise SystemExit(f"compare: {page} has no `{MARK[0]}` … `{MARK[1]}`")
    body = re.sub(r"^## ", "### ", text(found, "images/peers.svg"), flags=re.M)
    page.write_text(pattern.sub(lambda _: f"{MARK[0]}\n{body}{MARK[1]}", whole))
    (docs / "images").mkdir(exist_ok=True)
    (docs / "images/peers.svg").write_text((out / "report.svg").read_text())


def text(found: dict, picture: str) -> str:
    parts = [about(found)]
    parts += [section(found) for name, section in (("cost", cost), ("memory", memory), ("stall", stall)) if name in found]
    return "\n".join([*parts, left_out(found), f"![The three tables as bars]({picture})", ""])


def about(found: dict) -> str:
    m = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    quick = "**A quick run: one short round, to see that every part works. No figure of it is worth keeping.**\n\n"
    quick = quick if found["quick"] else ""
    return (
        f"{quick}Machine: {m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, Linux {m['kernel']}, loopback, "
        f"nginx {m['nginx']}; {m['date']}; load average {m['load_before']:.1f} before the run, which took "
        f"{found['seconds'] / 60:.0f} min. Versions: {versions}.\n"
        "`benches/peers/compare` installs the peers and measures them.\n"
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value, digits=2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def medians(rounds: list[dict]) -> dict:
    """Median of each figure over the rounds; what a round could not tell is left out of it."""
    found = {}
    for name in ("whole_us", "steady_us", "per_s"):
        values = [entry[name] for entry in rounds if name in entry]
        found[name] = statistics.median(values) if values else None
    return found


def cost(found: dict) -> str:
    part = found["cost"]
    middle = {name: medians(rounds) for name, rounds in part["rounds"].items() if rounds and name not in part["failed"]}
    rows = []
    for name, figures in sorted(middle.items(), key=lambda item: item[1]["steady_us"] or item[1]["whole_us"]):
        whole = [entry["whole_us"] for entry in part["rounds"][name]]
        spread = f"{number(min(whole))}…{number(max(whole))}"
        rows.append(
            [
                bold(name),
                number(figures["steady_us"]),
                number(figures["whole_us"]),
                spread,
                number(figures["per_s"], 0),
                *ratios(name, part, middle),
            ]
        )
    head = [
        "generator",
        "CPU µs per request, steady",
        "whole process",
        "its rounds",
        "requests/s",
        "/ floor",
        "/ wrk",
        "whole / wrk",
    ]
    most = max((len(rounds) for rounds in part["rounds"].values()), default=0)
    of_all = part.get("of_all", most)
    more = f", {most} of {', '.join(CLOSE)}, which differ by less than their rounds" if most > of_all else ""
    return (
        "## CPU per request\n"
        f"nginx answers two bytes on one core, the generator has the other; {part['connections']} kept connections, no think time, "
        f"{part['seconds']} s a run; medians of {of_all} interleaved rounds{more}; nginx counted the requests. *Whole process* is everything from "
        "start to end, reports included, over all requests; *steady* leaves out what is before and after the full load. A ratio is "
        "the median of the rounds' own, of steady figures unless it says whole.\n\n"
        + table(head, rows)
        + failures(part["failed"])
    )


def ratios(name: str, part: dict, middle: dict) -> list[str]:
    """To the floor and to wrk, each round's own."""
    found = []
    for other, figure in (("floor", "steady_us"), ("wrk", "steady_us"), ("wrk", "whole_us")):
        pairs = zip(part["rounds"][name], part["rounds"].get(other, []))
        each = [a[figure] / b[figure] for a, b in pairs if figure in a and figure in b]
        found.append(number(statistics.median(each)) if each and other in middle else "–")
    return found


def per_user_bytes(result: dict, users: list[int]) -> tuple[float | None, float | None]:
    """Difference over the difference in users, and the whole over the many."""
    few, many = (result.get(str(count)) for count in users)
    if not many:
        return None, None
    slope = (many["pss_bytes"] - few["pss_bytes"]) / (users[1] - users[0]) if few else None
    return slope, many["pss_bytes"] / users[1]


def memory(found: dict) -> str:
    part = found["memory"]
    few, many = part["users"]
    rows = []
    known = {name: result for name, result in part["results"].items() if str(many) in result}
    for name, result in sorted(known.items(), key=lambda item: per_user_bytes(item[1], part["users"])[0] or 0):
        slope, absolute = per_user_bytes(result, part["users"])
        figures = [number(slope and slope / 1024, 1), number(absolute and absolute / 1024, 1)]
        pss = [number(result[str(count)]["pss_bytes"] / 1e6, 1) if str(count) in result else "–" for count in (few, many)]
        rows.append([bold(name), *figures, *pss, number(result[str(many)]["connections"], 0), found["notes"].get(name, "")])
    head = ["generator", "KB per user", f"all / {many:,} users", f"MB at {few:,}", f"MB at {many:,}", "connections", "how"]
    return (
        "## Memory per user\n"
        f"The same nginx; users arrive over {part['think_s']} s, and each sends a request every {part['think_s']} s over a connection "
        f"of its own, for another {part['think_s']} s. Largest PSS of the tool's processes (`smaps_rollup`), kernel sockets not in it. "
        f"*KB per user* is the difference between {few:,} and {many:,} users over {many - few:,}, in units of 1,024 bytes. "
        f"*Connections* is what nginx had at once: less than {many:,} means that users shared.\n\n"
        + table(head, rows)
        + failures(part["failed"])
    )


def stall(found: dict) -> str:
    part = found["stall"]
    rows = []
    for row in part["rows"]:
        said, true = row["said"], row["truth"]
        ratio = said["p99"] / true["p99"] if said.get("p99") is not None else None
        figures = [number(said.get(name), 1) for name in ("p50", "p99", "p99_9", "max")]
        rows.append(
            [
                bold(row["tool"]),
                row["mode"],
                *figures,
                number(ratio, 3),
                f"{row['sent']:,} of {true['planned']:,}",
                said.get("note", ""),
            ]
        )
    spans = [span([row["truth"][name] for row in part["rows"]]) for name in ("p50", "p99", "p99_9", "max")]
    head = ["generator", "mode", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "p99 / true", "requests served", "notes"]
    return (
        "## A server that freezes\n"
        f"One thread, 1.5 ms a request, freezes 1 s every {part['every_s']:.0f} s, the first time {part['first_freeze_s']:.0f} s after "
        f"the first request; {part['rate']} arrivals/s for {part['seconds']} s. The truth is the server's own log played back against the "
        f"planned arrivals, for each run its own: p50 {spans[0]}, p99 {spans[1]}, p99.9 {spans[2]}, max {spans[3]} ms over these runs. "
        "A tool that wants to know how many connections gets 10, "
        "thirty times what this load needs. What the tools report:\n\n" + table(head, rows) + failures(part["failed"])
    )


def span(values: list[float]) -> str:
    return f"{min(values):,.1f}…{max(values):,.1f}" if values else "–"


def bold(name: str) -> str:
    return f"**{name}**" if name == "plimsoll" else name


def failures(failed: dict[str, str]) -> str:
    lines = "".join(f"- {name}: {why}\n" for name, why in failed.items())
    return f"\nWithout a figure:\n{lines}" if lines else ""


def left_out(found: dict) -> str:
    lines = "".join(f"- {name}: {why}\n" for name, why in found["missing"].items())
    return f"## Not measured\n{lines}" if lines else ""
