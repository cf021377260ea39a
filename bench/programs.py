"""Programs that `run` starts and measures, and the Postgres below them."""

import atexit
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 4
TICKS = os.sysconf("SC_CLK_TCK")


def build():
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    built = subprocess.run(
        ["cargo", "bench", "--bench", "floor", "--no-run", "--quiet", "--message-format", "json"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "floor":
            return ROOT / "target/release/tollgate", pathlib.Path(message["executable"])
    sys.exit("cargo built no floor")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu(pid, with_children=False):
    """CPU seconds that a process has used, and its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = sum(map(int, fields[13:15])) / TICKS if with_children else 0
    try:
        # More exact than ticks: the clock of the process (clock_getcpuclockid(3)).
        return time.clock_gettime(~pid << 3 | 2) + children
    except OSError:
        raise ProcessLookupError(pid) from None


def postgres_cpu(directory):
    """CPU seconds of the processes of the Postgres below `directory`."""
    total = 0
    owners = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, line = int(stat.parent.name), (stat.parent / "cmdline").read_bytes()
            owners[pid] = (int(stat.read_text().rpartition(")")[2].split()[1]), line)
        except (FileNotFoundError, ProcessLookupError):
            continue
    postmasters = [pid for pid, (_, line) in owners.items() if b"postgres\0-D" in line and str(directory).encode() in line]
    for pid, (parent, _) in owners.items():
        if pid in postmasters or parent in postmasters:
            try:
                total += cpu(pid, pid in postmasters)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended; its parent counts it
    return total


class Program:
    """A started program and the CPU that it uses."""

    def __init__(self, arguments, port, environment, directory):
        self.port = port
        self.directory = directory
        self.said = directory / f"said-{port}"
        with open(self.said, "w") as output:
            self.process = subprocess.Popen(
                list(map(str, arguments)), env=environment, cwd=directory, stdout=output, stderr=subprocess.DEVNULL, text=True
            )
        # Also where the measuring fails.
        atexit.register(self.process.terminate)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.002)
        sys.exit(f"{arguments} does not listen")

    def load(self, path, *, header=None, script=None, connections=16, environment=None, seconds=SECONDS):
        """Drives the program; answers requests a second, p50, p99 and CPU microseconds per request, here and in Postgres."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{self.port}{path}"]
        if header:
            command += ["-H", header]
        if script:
            command += ["-s", str(script)]
        before = cpu(self.process.pid), postgres_cpu(self.directory)
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
        after = cpu(self.process.pid), postgres_cpu(self.directory)
        if "Non-2xx" in text:
            sys.exit(f"errors under load: {text}")
        requests = int(re.search(r"(\d+) requests in", text)[1])
        return {
            "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
            "p50": re.search(r"\n\s+50%\s+(\S+)", text)[1],
            "p99": re.search(r"\n\s+99%\s+(\S+)", text)[1],
            "cpu": (after[0] - before[0]) / requests * 1e6,
            "postgres": (after[1] - before[1]) / requests * 1e6,
        }

    def is_ready(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz"):
                    return
            except OSError:
                time.sleep(0.002)
        sys.exit("the server does not get ready")

    def memory(self):
        """MiB of resident memory."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait()


def postgres_program(name):
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else shutil.which(name) or sys.exit(f"{name} is missing")


def database_of(directory):
    return f"postgresql://tollgate@/tollgate?host={directory}/.tollgate/postgres/run"


def query(directory, sql):
    command = [postgres_program("psql"), "-XAtqc", sql, database_of(directory)]
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def post(port, path, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)
