"""The files that peers want to be told their load in: Lua, YAML, JSON, Python, JavaScript. Written into the folder of a run."""

import json

LOCUST = """import os
from locust import FastHttpUser, constant, constant_throughput, task
class Reader(FastHttpUser):
    rate, think = float(os.environ.get("PER_USER_S", 0)), float(os.environ.get("THINK_S", 0))
    wait_time = constant_throughput(rate) if rate else constant(think)
    @task
    def read(self):
        self.client.get("/")
"""

# wrk has no think time, but asks `delay` before every request.
WRK = """function delay() return {delay_ms} end
function done(summary, latency, requests)
  io.write(string.format('LATENCY {{"p50":%f,"p99":%f,"p99_9":%f,"max":%f}}\\n', latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency:percentile(99.9) / 1000, latency.max / 1000))
end
"""

K6 = """import http from "k6/http";
import {{ sleep }} from "k6";
export const options = {options};
export default function () {{
  http.get("{url}");
  {sleep}
}}
"""


def put(folder, name: str, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return name


def locust(folder) -> str:
    return put(folder, "locustfile.py", LOCUST)


def wrk(folder, delay_ms: int) -> str:
    return put(folder, "think.lua", WRK.format(delay_ms=delay_ms))


def drill(folder, url: str, concurrency: int, iterations: int, think_s: int = 0) -> str:
    """JSON is YAML."""
    plan: list[dict] = [{"name": "read", "request": {"url": "/"}}]
    if think_s:
        plan.append({"name": "think", "delay": {"seconds": think_s}})
    script = {"concurrency": concurrency, "base": url.rstrip("/"), "iterations": iterations, "plan": plan}
    return put(folder, "drill.yml", json.dumps(script))


def artillery(folder, url: str, phase: dict, count: int = 1, think_s: int = 0) -> str:
    flow: list[dict] = [{"get": {"url": "/"}}]
    if think_s:
        flow.append({"think": think_s})
    if count > 1:
        flow = [{"loop": flow, "count": count}]
    script = {"config": {"target": url.rstrip("/"), "phases": [phase]}, "scenarios": [{"flow": flow}]}
    return put(folder, "artillery.json", json.dumps(script))


def h2load_times(folder, url: str, count: int, think_s: int) -> str:
    """Offsets from the start in milliseconds, each with the address."""
    return put(folder, "times", "".join(f"{number * think_s * 1000}\t{url}\n" for number in range(count)))


def k6(folder, url: str, options: dict, think_s: int = 0) -> str:
    options = {**options, "summaryTrendStats": ["p(50)", "p(99)", "p(99.9)", "max"]}
    sleep = f"sleep({think_s});" if think_s else ""
    return put(folder, "script.js", K6.format(url=url, options=json.dumps(options), sleep=sleep))


def k9(folder, url: str, options: dict, think_s: int = 0) -> str:
    """The declarative plan: no Python runs while it does."""
    options = {**options, "summaryTrendStats": ["p(50)", "p(99)", "p(99.9)", "max"]}
    steps: list[dict] = [{"request": {"url": url}}]
    if think_s:
        steps.append({"sleep": f"{think_s}s"})
    return put(folder, "plan.json", json.dumps({"options": options, "flows": {"default": steps}}))
