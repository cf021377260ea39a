"""What every fault needs: a Postgres of its own, servers, a link that can be cut, a load that keeps a ledger."""

import asyncio
import base64
import collections
import contextlib
import glob
import http.client
import itertools
import json
import math
import os
import pathlib
import queue
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

CLIENT_PATIENCE = 5  # seconds; an answer that takes longer counts as a hang
STALE = 2  # seconds; an older idle connection is not used again, since the server may just be closing it


class Failure(Exception):
    """The server did not do what the table demands."""


class Skipped(Exception):
    """Something that the fault needs is not on this machine."""


def check(holds, reason):
    if not holds:
        raise Failure(reason)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, within, what, every=0.05):
    """Asks again and again, and returns how many seconds it took until it was so."""
    begun = time.monotonic()
    while not condition():
        check(time.monotonic() - begun < within, f"{what}: not within {within} s")
        time.sleep(every)
    return time.monotonic() - begun


def percentile(times, share):
    return sorted(times)[math.ceil(share * len(times)) - 1] if times else 0.0


def unprivileged():
    """Postgres and PgBouncer refuse to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def program(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Postgres:
    """A cluster of its own, on a port and a socket in a short directory, as durable as a real one."""

    def __init__(self, within=None):
        places = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda place: int(place.split("/")[4]))
        if not places:
            raise Skipped("no Postgres server here")
        self.bin = pathlib.Path(places[-1])
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tgf-", dir=within))
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        self.directory.chmod(0o755)
        self.port = free_port()
        self.process = None
        self.log = open(self.directory / "log", "a")
        command = ["initdb", "--no-locale", "-E", "UTF8", "-U", "postgres", "-A", "trust", "-D", self.directory / "data"]
        self._run(command, stdout=subprocess.DEVNULL)
        with open(self.directory / "data" / "postgresql.conf", "a") as conf:
            conf.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.directory}'\n"
                "fsync = on\nsynchronous_commit = on\nmax_connections = 100\nshared_buffers = 32MB\nlog_line_prefix = '%m [%p] '\n"
            )
        self.start()

    def _run(self, command, **options):
        command = [self.bin / command[0], *command[1:]]
        return subprocess.run(command, cwd=self.directory, check=True, text=True, **unprivileged(), **options)

    def url(self, database, port=None):
        return f"postgres://postgres@127.0.0.1:{port or self.port}/{database}"

    def start(self):
        """Starts it and waits until it accepts."""
        command = [self.bin / "postgres", "-D", self.directory / "data"]
        self.process = subprocess.Popen(command, cwd=self.directory, stdout=self.log, stderr=self.log, **unprivileged())
        until(self.accepts, 30, "Postgres starts", every=0.02)

    def accepts(self):
        # "-t 0" would wait for ever, and starting a client for each look would be slow: a look at the file is enough.
        status = self.directory / "data" / "postmaster.pid"
        with contextlib.suppress(OSError):
            lines = status.read_text().split("\n")
            return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"
        return False

    def pids(self):
        """The postmaster and its children."""
        own = self.process.pid
        children = pathlib.Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def signal_all(self, number):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self):
        """As if the machine lost its power: nobody gets to say goodbye."""
        pids = self.pids()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.process.wait()
        until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids), 5, "Postgres dies")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    def sql(self, statement, database="postgres"):
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-p", str(self.port)]
        # Also while the server's default is to write nothing.
        environment = os.environ | {"PGOPTIONS": "-c default_transaction_read_only=off"}
        command += ["-U", "postgres", "-d", database, "-c", statement]
        return self._run(command, stdout=subprocess.PIPE, env=environment).stdout.strip()

    def session(self, database):
        """A psql that takes statements on its standard input and holds their locks."""
        command = [self.bin / "psql", "-X", "-q", "-A", "-t", "-h", self.directory, "-p", str(self.port), "-U", "postgres", "-d", database]
        return subprocess.Popen(
            command, cwd=self.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, **unprivileged()
        )

    def remove(self):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self.signal_all(signal.SIGCONT)
            self.stop()
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Link:
    """A TCP proxy in front of an address: it can be slow, and it can fall silent without closing anything."""

    def __init__(self, port):
        self.target = port
        self.delay = 0.0  # of each direction
        self.port = free_port()
        self.loop = asyncio.new_event_loop()
        self.flows = asyncio.Event()
        self.flows.set()
        started = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def _serve(self, started):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", self.port))
        started.set()
        self.loop.run_forever()

    async def _accept(self, reader, writer):
        await self.flows.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        pumps = self._pump(reader, far_writer), self._pump(far_reader, writer)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader, writer):
        parts = asyncio.Queue()

        async def read():
            data = True
            while data:
                try:
                    data = await reader.read(65_536)
                except OSError:
                    data = b""
                parts.put_nowait((self.loop.time() + self.delay, data))

        reading = self.loop.create_task(read())
        try:
            while True:
                due, data = await parts.get()
                await asyncio.sleep(max(0, due - self.loop.time()))
                await self.flows.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
        finally:
            reading.cancel()
            writer.close()

    def cut(self):
        self.loop.call_soon_threadsafe(self.flows.clear)

    def mend(self):
        self.loop.call_soon_threadsafe(self.flows.set)

    def close(self):
        self.mend()

        async def end():
            self.server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self.loop.stop()

        asyncio.run_coroutine_threadsafe(end(), self.loop)
        self.thread.join(timeout=5)


class Server:
    """`tollgate serve` as an operator would start it."""

    def __init__(self, bench, url, settings=None, open_files=None, port=None):
        self.bench = bench
        self.port = port or free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        environment |= {
            "DATABASE_URL": url,
            "TOLLGATE_LISTEN": f"127.0.0.1:{self.port}",
            "TOLLGATE_ISSUER": bench.issuer,
            "TOLLGATE_LIMITS__ENABLED": "false",
            "TOLLGATE_MASTER_KEY": bench.master_key,
        } | (settings or {})
        self.log = pathlib.Path(bench.directory) / f"server-{next(bench.numbers)}.log"
        limit = None
        if open_files:
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [bench.binary, "serve"], cwd=bench.directory, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=limit
            )
        bench.servers.append(self)
        guard = threading.Timer(30, self.process.kill)
        guard.start()
        ready = any("Ctrl-C" in line for line in self.process.stdout)
        guard.cancel()
        check(ready, f"the server did not start: {self.log.read_text().strip()[-300:]}")

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def status(self, name):
        """A figure of /proc/PID/status, memory in KiB."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[1])

    def is_ready(self):
        """Whether requests should come: it may serve a moment before."""
        connection = http.client.HTTPConnection(*self.address, timeout=CLIENT_PATIENCE)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        return False

    def sockets(self):
        count = 0
        for one in glob.glob(f"/proc/{self.process.pid}/fd/*"):
            with contextlib.suppress(OSError):
                count += os.readlink(one).startswith("socket:")
        return count

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def terminate(self, within=10):
        """SIGTERM; returns how long the server took, which must be in time and end with 0."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=within + 2)
        except subprocess.TimeoutExpired:
            raise Failure(f"the server did not stop within {within + 2} s of SIGTERM") from None
        took = time.monotonic() - begun
        check(code == 0, f"the server stopped with {code}")
        check(took <= within, f"the server took {took:.1f} s to stop")
        return took

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()


class Answer(collections.namedtuple("Answer", "operation begun ended status problem wrong reused")):
    """One answer: `wrong` says what no fault may bring about; `problem` is what the body of a refusal says."""

    @property
    def slug(self):
        return slug_of(self.problem)

    @property
    def took(self):
        return self.ended - self.begun

    @property
    def is_good(self):
        return self.status is not None and self.status < 300


def slug_of(problem):
    """The kind of a problem."""
    return problem and problem["type"].rpartition("/")[2]


class Client:
    """A keep-alive connection. Nothing is ever sent twice."""

    def __init__(self, address):
        self.address = address
        self.connection = None
        self.used = 0.0

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def call(self, operation, method, path, body=None, token=None, expected=(200, 201)):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        begun = time.monotonic()
        status = problem = wrong = document = None
        if begun - self.used > STALE:
            self.close()
        reused = self.connection is not None
        self.connection = self.connection or http.client.HTTPConnection(*self.address, timeout=CLIENT_PATIENCE)
        try:
            self.connection.request(method, path, body, headers)
            response = self.connection.getresponse()
            data = response.read()
            status = response.status
            kind = (response.headers.get("Content-Type") or "").split(";")[0]
            if kind.endswith("json"):
                document = json.loads(data)
            if kind == "application/problem+json":
                problem = document
            slug = slug_of(problem)
            if status == 503 and 503 not in expected:
                if slug is None:
                    wrong = f"503 without a problem ({kind})"
                elif not response.headers.get("Retry-After"):
                    wrong = f"503 {slug} without Retry-After"
            elif status not in expected:
                wrong = f"{status} {slug or ''}".strip()
            if response.will_close:
                self.close()
        except TimeoutError:
            wrong = "hang"
        except (OSError, http.client.HTTPException, ValueError) as error:
            wrong = type(error).__name__
        if wrong and status is None:
            self.close()
        self.used = time.monotonic()
        if wrong:
            wrong = f"{operation}: {wrong}"
        return Answer(operation, begun, self.used, status, problem, wrong, reused), document


class Person:
    """An account with one session, and what was written to it and made by it: the ledger."""

    def __init__(self, number, address):
        self.email = f"person-{number}@example.com"
        self.password = "correct horse battery staple"
        self.written = 0  # the last number that was sent
        self.acknowledged = 0  # the last number that was answered with 200
        self.sent = 0  # records
        self.made = {}  # the number of each record that was answered with 201, by its id
        client = Client(address)
        credentials = {"email": self.email, "password": self.password}
        answer, _ = client.call("sign up", "POST", "/v1/users", credentials)
        check(not answer.wrong and answer.is_good, f"{answer.wrong or answer.status}")
        self.sign_in(client)
        # A session that has ended: its token must never be let in again.
        _, pair = client.call("sign in", "POST", "/v1/sessions", credentials)
        self.dead = pair["access_token"]
        answer, _ = client.call("sign out", "DELETE", "/v1/sessions/current", token=self.dead, expected=(200, 204))
        check(not answer.wrong, answer.wrong)
        client.close()

    def sign_in(self, client):
        _, pair = client.call("sign in", "POST", "/v1/sessions", {"email": self.email, "password": self.password})
        self.take(pair)

    def take(self, pair):
        self.access, self.refresh = pair["access_token"], pair["refresh_token"]


# What is asked for, and how often. /healthz and /readyz share the last tenth.
MIX = {"me": 30, "token": 19, "dead": 1, "write": 15, "record": 15, "refresh": 10, "healthz": 5, "readyz": 5}
DATABASE = {"me", "write", "record", "refresh"}
WRITES = ("write", "record", "refresh")

# Records that everybody may list, so that one reader sees all.
NOTES = {
    "type_name": "Note",
    "schema": {"type": "object", "required": ["n"], "additionalProperties": False, "properties": {"n": {"type": "integer"}}},
    "rules": {"list": "true", "create": "auth.sub != null"},
}


class Load:
    """An open loop: requests begin by the clock, whether or not those before were answered."""

    def __init__(self, bench, address, rate=200, people=None, mix=None):
        self.bench = bench
        self.address = address
        self.rate = rate
        self.people = people or bench.people
        self.mix = dict(mix or MIX)
        if not bench.has_healthz:
            self.mix.pop("healthz", None)
        self.answers = []
        self.late = 0  # requests that found every worker busy: the loop was not open
        self.permits = lambda answer: False  # what a fault may do to the connection itself
        self.due = queue.SimpleQueue()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(person,), daemon=True) for person in self.people]
        self.clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self):
        for thread in [*self.threads, self.clock]:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if not self.over.is_set():
            self.over.set()
            self.clock.join()
            for _ in self.threads:
                self.due.put(None)
            for thread in self.threads:
                thread.join(timeout=3 * CLIENT_PATIENCE)

    def _tick(self):
        names, weights = list(self.mix), list(self.mix.values())
        begun, sent = time.monotonic(), 0
        while not self.over.is_set():
            while sent < (time.monotonic() - begun) * self.rate:
                sent += 1
                # What nobody had time for is dropped: it would only measure this program's own queue.
                if self.due.qsize() < 20:
                    self.due.put(random.choices(names, weights)[0])
                else:
                    self.late += 1
            time.sleep(0.005)

    def _work(self, person):
        client = Client(self.address)
        while operation := self.due.get():
            self.answers.append(self._ask(client, person, operation))
        client.close()

    def _ask(self, client, person, operation):
        if operation == "me":
            return client.call("me", "GET", "/v1/users/me", token=person.access)[0]
        if operation == "token":
            return client.call("token", "GET", "/v1/tokens/current", token=person.access)[0]
        if operation == "dead":
            return client.call("dead token", "GET", "/v1/tokens/current", token=person.dead, expected=(401,))[0]
        if operation == "refresh":
            answer, pair = client.call("refresh", "POST", "/v1/tokens", {"refresh_token": person.refresh})
            if answer.is_good:
                person.take(pair)
            return answer
        if operation == "write":
            person.written = number = person.written + 1
            answer, _ = client.call("write", "PATCH", "/v1/users/me", {"user_metadata": {"n": number}}, person.access)
            if answer.is_good:
                person.acknowledged = number
            return answer
        if operation == "record":
            person.sent = number = person.sent + 1
            answer, record = client.call("record", "POST", "/v1/data/notes", {"n": number}, person.access)
            if answer.is_good:
                person.made[record["id"]] = number
            return answer
        return client.call(operation, "GET", f"/{operation}", expected=(200, 503) if operation == "readyz" else (200,))[0]

    def between(self, begun, ended=math.inf):
        """The answers to what was sent in that time."""
        return [answer for answer in list(self.answers) if begun <= answer.begun < ended]

    def run_for(self, seconds):
        time.sleep(seconds)

    def recovered(self, since, within):
        """Waits for a second in which everything is well, and that must have begun in time. Returns how long it took."""
        while True:
            now = time.monotonic()
            bad = [answer.begun for answer in self.between(since) if not well(answer)]
            last = max(bad, default=since)
            check(last - since <= within, f"not back within {within} s: {self.last_bad(since)}")
            good = [answer for answer in self.between(last, now) if well(answer) and answer.operation in DATABASE]
            if now - last > 1 and len(good) > min(10, self.rate / 10):
                return last - since
            check(now - since < within + CLIENT_PATIENCE + 5, f"no good answers {now - since:.0f} s after: {self.last_bad(since)}")
            time.sleep(0.05)

    def last_bad(self, since):
        bad = [answer for answer in self.between(since) if not well(answer)]
        return describe(bad[-1]) if bad else "no answer at all"


def well(answer):
    """Whether it would have looked like this without a fault."""
    return not answer.wrong and answer.status != 503


def describe(answer):
    return f"{answer.wrong or f'{answer.operation}: {answer.status} {answer.slug or str()}'.strip()} after {answer.took:.2f} s"


def settle(load):
    """Ends the load, and re-reads what was written. The server must be well again. Returns the number of lost writes."""
    load.stop()
    lost = []
    client = Client(load.address)
    for person in load.people:
        # A "503" may still be on its way in the database, and must not overtake what was acknowledged later.
        answer, document = client.call("me", "GET", "/v1/users/me", token=person.access)
        check(not answer.wrong and answer.is_good, f"re-reading: {describe(answer)}")
        stored = document["user_metadata"].get("n", 0)
        if not person.acknowledged <= stored <= person.written:
            lost.append(f"{person.email} has {stored}, acknowledged {person.acknowledged}, sent {person.written}")
        answer, pair = client.call("refresh", "POST", "/v1/tokens", {"refresh_token": person.refresh})
        check(not answer.wrong and answer.is_good, f"signed out: {describe(answer)}")
        person.take(pair)
        person.acknowledged, person.written = stored, max(stored, person.written)
    lost += lost_records(client, load.bench, load.people[0])
    client.close()
    return lost


def pages(client, person, path, further):
    """All items of a list, or of the feed; `further` says where the next page is, if there is one."""
    items = []
    while path:
        answer, page = client.call("list", "GET", path, token=person.access)
        check(not answer.wrong and answer.is_good, f"re-reading {path}: {describe(answer)}")
        items += page["items"]
        path = further(page)
    return items


def lost_records(client, bench, reader):
    """What is wrong with records: those that were acknowledged are there, and the feed tells once of each that is there."""
    path, feed = "/v1/data/notes?limit=200", "/v1/changes?collection=notes&limit=200"
    cursor = lambda page: page.get("next_cursor") and f"{path}&cursor={page['next_cursor']}"
    since = lambda page: page["more"] and f"{feed}&since={page['position']}"
    listed = {record["id"]: record["n"] for record in pages(client, reader, path, cursor)}
    made = [(id, number, person.email) for person in bench.people for id, number in person.made.items()]
    lost = [f"record {number} of {email}" for id, number, email in made if listed.get(id) != number]
    read = lambda: [change["id"] for change in pages(client, reader, f"{feed}&since={bench.begin}", since)]
    until(lambda: len(read()) >= len(listed), 5, "the feed tells of every record")
    told = read()
    if sorted(told) != sorted(listed):
        lost.append(f"the feed tells {len(told)} times of {len(set(told))} records of {len(listed)}")
    return lost


class Bench:
    """What all faults share: one cluster, one database, people who are signed in."""

    def __init__(self, binary, is_long, people=128, postgres=None):
        self.binary = binary
        self.is_long = is_long
        self.numbers = itertools.count(1)
        self.servers = []
        self.issuer = f"http://localhost:{free_port()}"
        self.master_key = base64.b64encode(os.urandom(32)).decode()
        self.postgres = postgres or Postgres()
        self.others = []  # what single faults leave behind
        self.directory = tempfile.mkdtemp(prefix="tollgate-faults-")
        self.postgres.sql("create database tollgate")
        server = Server(self, self.url(), {"TOLLGATE_PASSWORDS__QUEUE": "1000"})
        client = Client(server.address)
        self.has_healthz = client.call("healthz", "GET", "/healthz")[0].status != 404
        self.people = self.make_people(server, people)
        self.declare("notes", NOTES)
        self.begin = client.call("changes", "GET", "/v1/changes")[1]["position"]
        client.close()
        server.end()

    def make_people(self, server, count):
        made, faults, numbers = [], [], iter(range(count))
        lock = threading.Lock()

        def work():
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None or faults:
                    return
                try:
                    made.append(Person(f"{number}", server.address))
                except Exception as fault:
                    faults.append(fault)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]
        return made

    def declare(self, name, declaration):
        file = pathlib.Path(self.directory) / f"{name}.json"
        file.write_text(json.dumps(declaration))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TOLLGATE_")}
        environment |= {"DATABASE_URL": self.url(), "TOLLGATE_MASTER_KEY": self.master_key, "TOLLGATE_ISSUER": self.issuer}
        command = [self.binary, "collection", "apply", file]
        subprocess.run(command, cwd=self.directory, env=environment, check=True, stdout=subprocess.DEVNULL)

    def url(self, port=None):
        return self.postgres.url("tollgate", port)

    def server(self, url=None, **options):
        return Server(self, url or self.url(), **options)

    def seconds(self, short, long):
        return long if self.is_long else short

    def end_servers(self):
        while self.servers:
            self.servers.pop().end()
        while self.others:
            self.others.pop().close()

    def logs(self, count=3):
        """The last words of each server of this fault."""
        lines = []
        for server in self.servers:
            text = re.sub(r"\x1b\[[0-9;]*m", "", server.log.read_text(errors="replace"))
            words = [line for line in text.splitlines() if " WARN " in line or " ERROR " in line or "panicked" in line]
            lines += [f"{server.log.name}: {line.strip()[:200]}" for line in words[-count:]]
        return lines

    def remove(self):
        self.end_servers()
        self.postgres.remove()
        shutil.rmtree(self.directory, ignore_errors=True)
