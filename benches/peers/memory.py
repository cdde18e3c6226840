"""Memory per user: the largest PSS of the tool's processes with few and with many users, each with its own connection and a think time.

Per user is the difference over the difference in users, so that what a tool weighs without any user cancels out. Sockets are
the kernel's and in none of the figures. nginx says how many connections there were: that shows a tool whose users share them.
"""

from processes import GENERATOR_CORE, Child, PeerFailed

SAMPLE_S = 0.4


def measure(command, nginx) -> dict[str, int]:
    most = {"pss_bytes": 0, "connections": 0}
    child = Child(command, GENERATOR_CORE)

    def sample():
        most["pss_bytes"] = max(most["pss_bytes"], child.pss_bytes())
        most["connections"] = max(most["connections"], nginx.counters()[1])

    child.wait(command.seconds + 60, sample, SAMPLE_S)
    return most


def run(tools, nginx, folder, users: tuple[int, int], think_s: int, say) -> dict:
    """Users arrive over one think time, so that their requests are spread evenly, and stay for another."""
    results: dict[str, dict] = {}
    failed: dict[str, str] = {}
    for count in users:
        for tool in tools:
            if not tool.users or tool.name in failed:
                continue
            command = tool.users(nginx, folder / f"memory-{tool.name}", count, think_s)
            try:
                result = measure(command, nginx)
                if tool.checked:
                    tool.checked(command)
                results.setdefault(tool.name, {})[str(count)] = result
                say(f"memory {tool.name} {count} users: {result['pss_bytes'] / 1e6:.1f} MB, {result['connections']} connections")
            except PeerFailed as error:
                failed[tool.name] = f"with {count} users: {error}"
                say(f"memory {tool.name} {count} users: {error}")
    return {"users": list(users), "think_s": think_s, "results": results, "failed": failed}
