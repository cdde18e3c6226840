"""How each peer is told to make a closed loop over so many connections, or to keep users that think."""

import scripts_of_peers as scripts
from cost import CONNECTIONS
from processes import Command


def simple(*options):
    """A closed loop that options alone describe: `{s}` stands for the seconds, `{c}` for the connections."""

    def make(program, server, folder, seconds):
        argv = [option.format(s=seconds, c=CONNECTIONS) for option in options]
        return Command([program, *argv, server.url], folder, seconds=seconds)

    return make


def thinking(*options):
    """Users that options alone describe: `{n}` of them, `{r}` a second in all, `{p}` a second each, for `{s}` seconds."""

    def make(program, server, folder, count, think_s):
        seconds = 2 * think_s + 2
        values = {"n": count, "r": count // think_s, "p": 1 / think_s, "s": seconds}
        return Command([program, *[option.format(**values) for option in options], server.url], folder, seconds=seconds)

    return make


def wrk_users(program, server, folder, count, think_s):
    script = scripts.wrk(folder, think_s * 1000)
    seconds = 2 * think_s + 2
    argv = [program, "-t1", f"-c{count}", f"-d{seconds}s", f"--timeout={4 * think_s}s", "-s", script, server.url]
    return Command(argv, folder, seconds=seconds)


def h2load_users(program, server, folder, count, think_s):
    times = scripts.h2load_times(folder, server.url, 3, think_s)
    argv = [program, "--h1", "-t1", f"-c{count}", f"-r{count // think_s}", f"--timing-script-file={times}"]
    return Command(argv, folder, seconds=4 * think_s)


def goose_closed(program, server, folder, seconds):
    return goose(program, server, folder, CONNECTIONS, 1000, seconds, 0)


def goose_users(program, server, folder, count, think_s):
    return goose(program, server, folder, count, count // think_s, think_s + 2, think_s, ramp_s=think_s)


def goose(program, server, folder, count, per_s, seconds, think_s, *more, ramp_s=0):
    argv = [program, "--host", server.url, "--users", str(count), "--increase-rate", str(per_s), "--run-time", f"{seconds}s"]
    argv += ["--no-telnet", "--no-reset-metrics", *more]
    return Command(argv, folder, env={"THINK_MS": str(think_s * 1000)}, seconds=seconds + ramp_s)


def locust_closed(program, server, folder, seconds):
    return locust(program, server, folder, CONNECTIONS, CONNECTIONS, seconds, {})


def locust_users(program, server, folder, count, think_s):
    return locust(program, server, folder, count, count // think_s, 2 * think_s + 2, {"THINK_S": str(think_s)})


def locust(program, server, folder, count, per_s, seconds, env):
    argv = [program, "-f", scripts.locust(folder), "--headless", "--only-summary", "--csv", "said", "-H", server.url.rstrip("/")]
    argv += ["-u", str(count), "-r", str(per_s), "-t", f"{seconds}s", "--stop-timeout", "2", "--loglevel", "ERROR"]
    return Command(argv, folder, env={**env, "LOCUST_SKIP_VERSION_CHECK": "1"}, seconds=seconds)


def artillery(program, folder, script, seconds):
    env = {"ARTILLERY_DISABLE_TELEMETRY": "true", "ARTILLERY_DISABLE_VERSION_CHECK": "true"}
    return Command([program, "run", "--output", "said.json", script], folder, env=env, seconds=seconds)


def artillery_closed(program, server, folder, seconds):
    """It ends when every user has done its rounds; 3,000 requests a second are about what it makes."""
    script = scripts.artillery(
        folder, server.url, {"duration": 1, "arrivalCount": CONNECTIONS}, count=3000 * seconds // CONNECTIONS
    )
    return artillery(program, folder, script, 3 * seconds)


def artillery_users(program, server, folder, count, think_s):
    script = scripts.artillery(folder, server.url, {"duration": think_s, "arrivalCount": count}, count=2, think_s=think_s)
    return artillery(program, folder, script, 3 * think_s)


def drill_closed(program, server, folder, seconds):
    """It ends after so many iterations, not after a time."""
    script = scripts.drill(folder, server.url, CONNECTIONS, 10_000 * seconds)
    return Command([program, "--benchmark", script, "--quiet", "--stats"], folder, seconds=3 * seconds)


def drill_users(program, server, folder, count, think_s):
    script = scripts.drill(folder, server.url, count, 2 * count, think_s)
    return Command([program, "--benchmark", script, "--quiet", "--stats"], folder, seconds=2 * think_s)


def k6_closed(program, server, folder, seconds):
    script = scripts.k6(folder, server.url, {"vus": CONNECTIONS, "duration": f"{seconds}s"})
    return k6(program, folder, script, seconds)


def k6_users(program, server, folder, count, think_s):
    script = scripts.k6(folder, server.url, looping(count, think_s), think_s)
    return k6(program, folder, script, 2 * think_s + 2)


def k6(program, folder, script, seconds):
    return Command(
        [program, "run", "--quiet", "--no-usage-report", "--summary-export", "said.json", script], folder, seconds=seconds
    )


def k9_closed(program, server, folder, seconds):
    script = scripts.k9(folder, server.url, {"vus": CONNECTIONS, "duration": f"{seconds}s"})
    return k9(program, folder, script, seconds)


def k9_users(program, server, folder, count, think_s):
    return k9(program, folder, scripts.k9(folder, server.url, looping(count, think_s), think_s), 2 * think_s + 2)


def k9(program, folder, script, seconds):
    return Command([program, "run", "--quiet", "--no-color", "--summary-export", "said.json", script], folder, seconds=seconds)


def looping(count: int, think_s: int) -> dict:
    stages = [{"duration": f"{think_s}s", "target": count}, {"duration": f"{think_s + 2}s", "target": count}]
    users = {"executor": "ramping-vus", "startVUs": 0, "stages": stages, "gracefulStop": "1s", "gracefulRampDown": "1s"}
    return {"scenarios": {"users": users}}
