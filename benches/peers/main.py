"""Measures what is there, in one run, and writes `results.json`, `report.md` and `report.svg`. `compare` starts it."""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cost
import memory
import report
import stall
import tools
from nginx import Nginx
from processes import PeerFailed

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / "target/peers"

# Quick shows that every part works; only the full one is for keeps.
FULL = {"rounds": (3, 11), "seconds": 6, "users": (1_000, 10_000), "think_s": 10, "stall": (200, 20, (5.0, 10.0))}
QUICK = {"rounds": (1, 1), "seconds": 2, "users": (100, 500), "think_s": 2, "stall": (200, 5, (2.0, 10.0))}


def machine() -> dict:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    nginx = subprocess.run([shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-v"], capture_output=True, text=True)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30),
        "kernel": platform.release().split("-")[0],
        "nginx": nginx.stderr.strip().rpartition("/")[2],
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load_before": os.getloadavg()[0],
    }


def floor_program(chosen: str | None) -> str | None:
    """The newest build of the bench that holds the floor."""
    if chosen:
        return str(Path(chosen).resolve())
    built = (
        path
        for path in (ROOT / "target/release/deps").glob("cost_per_request-*")
        if path.suffix == "" and os.access(path, os.X_OK)
    )
    newest = max(built, key=lambda path: path.stat().st_mtime, default=None)
    return newest and str(newest)


def options():
    parser = argparse.ArgumentParser(prog="compare", description="Plimsoll beside other load generators, on this machine")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that every part works, no figures for keeps")
    parser.add_argument("--parts", default="cost,memory,stall", help="of cost,memory,stall")
    parser.add_argument("--tools", default="", help="only these, by name with commas")
    parser.add_argument("--plimsoll", default=str(ROOT / "target/release/plimsoll"), help="the executable")
    parser.add_argument("--floor", help="the built bench cost_per_request; default the newest in target/release/deps")
    parser.add_argument("--out", default=str(CACHE), help="folder of results.json, report.md, report.svg")
    parser.add_argument("--keep", action="store_true", help="put tables and plot into docs/ as well")
    parser.add_argument("--report-only", action="store_true", help="write the report of the last results again")
    return parser.parse_args()


def main():
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = options()
    out = Path(chosen.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.json"
    if not chosen.report_only:
        results.write_text(json.dumps(measured(chosen, out), indent=1))
    found = json.loads(results.read_text())
    report.write(found, out)
    if chosen.keep:
        report.keep(found, out, ROOT / "docs")
    print(f"{out / 'report.md'}")


def measured(chosen, out: Path) -> dict:
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("compare: two cores are needed, one for the generator and one for the server")
    plan = QUICK if chosen.quick else FULL
    plimsoll = str(Path(chosen.plimsoll).resolve())
    there, missing = tools.all_tools(plimsoll, floor_program(chosen.floor), CACHE)
    names = [name for name in chosen.tools.split(",") if name]
    there = [tool for tool in there if not names or tool.name in names]
    begin = time.monotonic()

    def say(line: str):
        print(f"{time.monotonic() - begin:6.0f} s  {line}", file=sys.stderr, flush=True)

    found = {"quick": chosen.quick, "machine": machine(), "missing": missing}
    found["versions"] = {tool.name: tools.version_of(tool) for tool in there if tool.name != "floor"}
    found["notes"] = {tool.name: tool.users_note for tool in there if tool.users_note}
    scratch = out / "runs"
    shutil.rmtree(scratch, ignore_errors=True)
    parts = chosen.parts.split(",")
    try:
        with Nginx(scratch / "nginx") as nginx:
            if "cost" in parts:
                found["cost"] = cost.run(there, nginx, scratch, plan["rounds"], plan["seconds"], say)
            if "memory" in parts:
                found["memory"] = memory.run(there, nginx, scratch, plan["users"], plan["think_s"], say)
        if "stall" in parts:
            found["stall"] = stall.run(there, scratch, *plan["stall"], say)
    except PeerFailed as error:
        raise SystemExit(f"compare: {error}") from error
    ours_failed = [
        text
        for part in ("cost", "memory", "stall")
        for name, text in found.get(part, {}).get("failed", {}).items()
        if name.startswith("plimsoll")
    ]
    if ours_failed:
        raise SystemExit(f"compare: a run of plimsoll does not hold: {'; '.join(ours_failed)}")
    found["seconds"] = round(time.monotonic() - begin)
    return found


if __name__ == "__main__":
    main()
