"""Processes under measurement: started pinned and in a group of their own, measured as a tree, ended by their own id."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

GENERATOR_CORE = "0"
SERVER_CORE = "1"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
POLL_S = 0.05


class PeerFailed(Exception):
    """A tool did not do what it was asked; the text is for the table."""


@dataclass
class Command:
    """What to run: `env` is laid over the environment, `folder` is where it runs and where it leaves its files."""

    argv: list[str]
    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    codes: tuple[int, ...] = (0,)
    seconds: float = 0.0  # how long it means to run; the bound is set from it


@dataclass
class Ended:
    stdout: str
    cpu_s: float


class Child:
    """A running command. CPU when it has ended is the kernel's account of it and of every descendant that it waited for."""

    def __init__(self, command: Command, core: str):
        self.command = command
        command.folder.mkdir(parents=True, exist_ok=True)
        self.out, self.err = command.folder / "stdout", command.folder / "stderr"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                ["taskset", "-c", core, *command.argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=command.folder,
                env={**os.environ, "NO_COLOR": "1", **command.env},
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.status: int | None = None
        self.cpu_s = 0.0

    def alive(self) -> bool:
        if self.status is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self._reaped(status, usage)
        return self.status is None

    def _reaped(self, status, usage):
        self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime

    def kill(self):
        """Ends the group that was started here, and nothing else."""
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(self.process.pid, 0)
            self._reaped(status, usage)

    def wait(self, at_most_s: float, each=lambda: None, every_s: float = POLL_S) -> Ended:
        """Runs `each` every so often until the command ends; past the bound it is ended and has failed."""
        try:
            while self.alive():
                if time.monotonic() - self.started > at_most_s:
                    raise PeerFailed(f"was still running after {at_most_s:.0f} s")
                each()
                time.sleep(every_s)
        finally:
            self.kill()
        if self.status not in self.command.codes:
            said = self.err.read_text(errors="replace").strip() or self.out.read_text(errors="replace").strip()
            last = said.splitlines()[-1][:160] if said else "and said nothing"
            raise PeerFailed(f"ended with {self.status}: {last}")
        return Ended(self.out.read_text(errors="replace"), self.cpu_s)

    def tree(self) -> list[int]:
        """The process and its descendants of this moment."""
        children: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (stat := _stat(int(entry))):
                children.setdefault(int(stat[1]), []).append(int(entry))
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def cpu_so_far_s(self) -> float:
        """User and system time of the tree, waited-for descendants included: fields 14 to 17 of /proc/PID/stat (proc(5))."""
        stats = [_stat(pid) for pid in self.tree()]
        return sum(sum(int(ticks) for ticks in stat[11:15]) for stat in stats if stat) / TICKS_PER_S

    def pss_bytes(self) -> int:
        """Proportional set size of the tree: pages shared within it count once, what other programs share counts in part."""
        return sum(_pss_bytes(pid) for pid in self.tree())


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (state), or nothing if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
