"""What each tool reports about a server that freezes, beside what the server's own log says: each mode on a server of its own."""

import json
import signal
import sys
import time
from pathlib import Path

import rates
import truth
from nginx import free_port
from processes import GENERATOR_CORE, SERVER_CORE, Child, Command, PeerFailed

SERVER = Path(__file__).resolve().parent / "stall_server.py"


class Server:
    """A context like that of nginx: inside it there is a `url`; after it, the `log`."""

    def __init__(self, folder: Path, first_s: float, every_s: float):
        self.folder, self.schedule = folder, [str(first_s), str(every_s)]
        self.log: dict = {}

    def __enter__(self):
        port = free_port()
        self.addr, self.url = f"127.0.0.1:{port}", f"http://127.0.0.1:{port}/"
        self.file = self.folder / "log.json"
        argv = [sys.executable, str(SERVER), str(port), str(self.file), *self.schedule]
        self.child = Child(Command(argv, self.folder), SERVER_CORE)
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        if self.child.alive():
            self.child.process.send_signal(signal.SIGTERM)
        for _ in range(100):
            if not self.child.alive():
                break
            time.sleep(0.05)
        self.child.kill()
        if self.file.exists():
            self.log = json.loads(self.file.read_text())


def measure(mode, program: str, folder: Path, rate: int, seconds: int, schedule) -> dict:
    with Server(folder / "server", *schedule) as server:
        command = mode.make(program, server, folder, rate, seconds)
        Child(command, GENERATOR_CORE).wait(seconds + 60)
    if not server.log.get("served"):
        raise PeerFailed("no request reached the server")
    try:
        said = mode.read(command)
    except (OSError, ValueError, KeyError, IndexError, AttributeError, StopIteration) as error:
        raise PeerFailed(f"its report could not be read: {error!r}") from error
    return {"said": said, "truth": truth.of(server.log, rate, seconds), "sent": len(server.log["served"])}


def run(tools, folder, rate: int, seconds: int, schedule, say) -> dict:
    programs = {tool.name: tool.program for tool in tools}
    rows, failed = [], {}
    for number, mode in enumerate(rates.all_modes()):
        if mode.tool not in programs:
            continue
        try:
            row = measure(mode, programs[mode.tool], folder / f"stall-{number}", rate, seconds, schedule)
            rows.append({"tool": mode.tool, "mode": mode.label, **row})
            said, true = row["said"].get("p99", float("nan")), row["truth"]
            say(
                f"stall {mode.tool} {mode.label}: says p99 {said:.1f}, true {true['p99']:.1f} ms, served {row['sent']} of {true['planned']}"
            )
        except PeerFailed as error:
            failed[f"{mode.tool} ({mode.label})"] = str(error)
            say(f"stall {mode.tool} {mode.label}: {error}")
    freezes = {"first_freeze_s": schedule[0], "every_s": schedule[1]}
    return {"rows": rows, "failed": failed, "rate": rate, "seconds": seconds, **freezes}
