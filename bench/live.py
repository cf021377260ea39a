"""The workloads of live updates of `run`: what it costs to tell many, how long that takes, and what those need who are told nothing."""

import http.client
import json
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import programs
from programs import Program, cpu, free_port, post, postgres_cpu

SUBSCRIBERS = 1_000
IDLE = 10_000
OF_EACH = 100  # sockets of each user
AT_ONCE = 25  # publications or changes a second
SIZES = [1, 10, 100, 1_000]
RATE, LISTENERS = 200, 10  # of the latency
STARTS = 7
PASSWORD = "correct horse battery staple"
DATA = {"text": "x" * 120, "number": 12345}
PUBLICATION = json.dumps({"push": {"channel": "news:all", "pub": {"data": DATA}}}, separators=(",", ":"))
NAMESPACES = '[{ name = "news", subscribe = "has(auth.sub)", publish = "has(auth.sub)" }]'
TICKS = {
    "type_name": "Tick",
    "schema": {
        "type": "object", "required": ["n", "price"], "additionalProperties": False,
        "properties": {"n": {"type": "integer"}, "price": {"type": "number"}},
    },
    "rules": {"list": "true", "read": "true", "create": "auth.sub != null"},
}


class Listeners:
    """Many sockets, in a process of their own that only counts."""

    def __init__(self, floor, program, commands):
        file = program.directory / "commands"
        file.write_text("".join("\t".join(map(json.dumps, some)) + "\n" for some in commands))
        arguments = list(map(str, [floor, "listen", program.port, file]))
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.count = len(commands)
        if self.process.stdout.readline() != "ready\n":
            sys.exit("the listeners could not subscribe")

    def told(self):
        """The least and the most messages that one was told, and the bytes of all."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        least, most, size, over = map(int, self.process.stdout.readline().split())
        if over:
            sys.exit(f"{over} sockets have ended")
        return least, most, size

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Sender:
    """Sends the same again and again over one connection."""

    def __init__(self, program, path, body, bearer=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", program.port)
        self.path, self.body = path, body
        self.headers = {"Content-Type": "application/json"} | ({"Authorization": bearer} if bearer else {})

    def send(self):
        self.connection.request("POST", self.path, self.body, self.headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 201:
            sys.exit(f"{self.path}: {response.status} {text}")


def tell(program, listeners, sender):
    """Sends for a while, and waits until everybody was told everything; CPU microseconds for each thing sent, and the bytes of one delivery."""
    count = AT_ONCE * programs.SECONDS
    before, bytes_before = listeners.told()[0] if listeners else 0, listeners.told()[2] if listeners else 0
    spent = cpu(program.process.pid), postgres_cpu(program.directory)
    begun = time.monotonic()
    for index in range(count):
        time.sleep(max(0, begun + index / AT_ONCE - time.monotonic()))
        sender.send()
    deadline = time.monotonic() + 30
    while listeners and listeners.told()[0] < before + count and time.monotonic() < deadline:
        time.sleep(0.02)
    # Whatever comes twice has come by then, too.
    time.sleep(0.3)
    after = cpu(program.process.pid), postgres_cpu(program.directory)
    size = 0
    if listeners:
        least, most, size = listeners.told()
        if {least, most} != {before + count}:
            sys.exit(f"{count} were sent; after {before} one was told {least - before}, another {most - before}")
        size = (size - bytes_before) / count / listeners.count
    return {"cpu": (after[0] - spent[0]) / count * 1e6, "postgres": (after[1] - spent[1]) / count * 1e6, "bytes": size}


def subscribe(bearers, count, channel=None, filter_of=None):
    """Commands of so many sockets, of several people: to connect, and to subscribe where there is a channel."""
    for index in range(count):
        commands = [{"id": 1, "connect": {"token": bearers[index % len(bearers)]}}]
        if channel:
            data = {"data": {"filter": filter_of(index)}} if filter_of else {}
            commands.append({"id": 2, "subscribe": {"channel": channel} | data})
        yield commands


class Live:
    """A server with many people, and the floor."""

    def __init__(self, tollgate, floor, environment):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < IDLE + 1_000:
            sys.exit(f"{IDLE} sockets need more files than {hard} (ulimit -n)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.tollgate, self.floor = tollgate, floor
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tollgate-bench-"))
        self.directory.chmod(0o755)
        self.port, bare_port = free_port(), free_port()
        self.environment = environment | {
            "TOLLGATE_LISTEN": f"127.0.0.1:{self.port}",
            "TOLLGATE_REALTIME__NAMESPACE": NAMESPACES,
            "TOLLGATE_LIMITS__CONNECTIONS_PER_ADDRESS": str(2 * IDLE),
            "TOLLGATE_TOKENS__ACCESS_LIFETIME": "1h",
        }
        self.server = self.start()
        administrator = {"email": "admin@localhost", "password": re.search(r"admin@localhost, password (\S+)", self.server.said.read_text())[1]}
        people = [{"email": f"person-{index}@example.com", "password": PASSWORD} for index in range(IDLE // OF_EACH)]
        for person in people:
            post(self.port, "/v1/users", person)
        self.people = [post(self.port, "/v1/sessions", person)["access_token"] for person in people]
        self.bearer = "Bearer " + self.people[0]
        self.declare("Bearer " + post(self.port, "/v1/sessions", administrator)["access_token"])
        # What it takes to make people is not to be measured.
        self.server.stop()
        self.server = self.start()
        self.bare = Program([floor, "broadcast", bare_port], bare_port, environment, self.directory)

    def start(self):
        server = Program([self.tollgate, "serve"], self.port, self.environment, self.directory)
        server.is_ready()
        return server

    def declare(self, administrator):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/collections/ticks", json.dumps(TICKS).encode(),
            {"Content-Type": "application/json", "Authorization": administrator}, method="PUT",
        )
        with urllib.request.urlopen(request) as response:
            assert response.status == 201

    def stop(self):
        for program in (self.bare, self.server):
            program.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def starts(self):
        """Milliseconds until another is ready beside the first, on its database, and those of its CPU: in the middle of several."""
        port = free_port()
        environment = self.environment | {"TOLLGATE_LISTEN": f"127.0.0.1:{port}", "TOLLGATE_DATABASE__URL": programs.database_of(self.directory)}
        taken = []
        for _ in range(STARTS):
            begun = time.monotonic()
            one = Program([self.tollgate, "serve"], port, environment, self.directory)
            one.is_ready()
            taken.append(((time.monotonic() - begun) * 1000, cpu(one.process.pid) * 1000))
            one.stop()
        return [statistics.median(column) for column in zip(*taken)]

    def idle(self):
        """Milliseconds of CPU a second while nothing happens, here and in Postgres."""
        before = cpu(self.server.process.pid), postgres_cpu(self.directory)
        time.sleep(2 * programs.SECONDS)
        after = cpu(self.server.process.pid), postgres_cpu(self.directory)
        return [(now - then) / (2 * programs.SECONDS) * 1000 for now, then in zip(after, before)]

    def memory(self, channel):
        """KiB of resident memory that each of many idle sockets takes, of a server that had none before."""
        self.server.stop()
        self.server = self.start()
        return self.memory_of(self.server, subscribe(self.people, IDLE, channel))

    def memory_of(self, program, commands):
        time.sleep(2)
        before = program.memory()
        listeners = Listeners(self.floor, program, list(commands))
        # Long enough for what connecting needed to be given back.
        time.sleep(12)
        taken = (program.memory() - before) * 1024 / IDLE
        listeners.told()
        listeners.close()
        return taken

    def latency(self):
        """Milliseconds from when a record was sent, and from its answer, until it is told: p50, p99, p50, p99."""
        file = self.directory / "latency"
        file.write_text("".join("\t".join(map(json.dumps, some)) + "\n" for some in subscribe(self.people, LISTENERS, "data:ticks")))
        command = [self.floor, "latency", self.port, file, self.people[0], RATE, programs.SECONDS]
        return list(map(float, subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout.split()))

    def fan_out(self):
        """The costs of one change, by how many are told and whether each has a filter of its own."""
        sender = Sender(self.server, "/v1/data/ticks", json.dumps({"n": 1, "price": 10}), self.bearer)
        costs = {(0, False): tell(self.server, None, sender)}
        for size in SIZES:
            for is_own in (False, True):
                filter_of = (lambda index: f"price >= -{index + 1}") if is_own else (lambda _index: "price >= 0")
                listeners = Listeners(self.floor, self.server, list(subscribe(self.people, size, "data:ticks", filter_of)))
                costs[size, is_own] = tell(self.server, listeners, sender)
                listeners.close()
        return costs


def measure(rounds, tollgate, floor, environment):
    """Everything, alternating with the floors; what `show` shows."""
    live = Live(tollgate, floor, environment)
    time.sleep(2)
    found = {"memory": live.server.memory(), "start": live.starts(), "idle": live.idle()}
    found["socket"] = live.memory(None)
    found["subscribed"] = live.memory("news:idle")
    found["bare socket"] = live.memory_of(live.bare, ([] for _ in range(IDLE)))
    told = Listeners(floor, live.server, list(subscribe(live.people, SUBSCRIBERS, "news:all")))
    told_bare = Listeners(floor, live.bare, [[] for _ in range(SUBSCRIBERS)])
    found |= {"published": [], "bare": [], "latency": []}
    for _ in range(rounds):
        found["bare"].append(tell(live.bare, told_bare, Sender(live.bare, "/publish", PUBLICATION)))
        publisher = Sender(live.server, "/v1/channels/news:all/publications", json.dumps({"data": DATA}), live.bearer)
        found["published"].append(tell(live.server, told, publisher))
    sizes = {one["bytes"] for one in found["published"] + found["bare"]}
    if sizes != {len(PUBLICATION)}:
        sys.exit(f"the floor tells something else: {sizes}")
    told.close()
    told_bare.close()
    found["latency"] = [live.latency() for _ in range(rounds)]
    found["costs"] = [live.fan_out() for _ in range(max(1, rounds // 2))]
    live.stop()
    return found


def per_second(one):
    """Messages that are delivered for a second of the server's CPU."""
    return SUBSCRIBERS / one["cpu"] * 1e6


def show(found):
    print("\nlive updates; CPU in microseconds per delivery\n")
    print(f"{'':44} {'messages/CPU s':>19} {'':9} {'server':>10} {'Postgres':>10} {'ratio':>8}")
    ratio = statistics.median(per_second(one) / per_second(other) for one, other in zip(found["published"], found["bare"]))
    middle = lambda rounds, what: statistics.median(one[what] for one in rounds) / SUBSCRIBERS
    published, bare = found["published"], found["bare"]
    name = f"W7 a publication to {SUBSCRIBERS} sockets"
    print(
        f"{name:44} {statistics.median(map(per_second, published)):19.0f} {'':9} "
        f"{middle(published, 'cpu'):10.2f} {middle(published, 'postgres'):10.2f} {ratio:8.2f}"
    )
    name = f"   floor: bare actix-ws, the same {len(PUBLICATION)} bytes"
    print(f"{name:44} {statistics.median(map(per_second, bare)):19.0f} {'':9} {middle(bare, 'cpu'):10.2f}")

    print(f"\n{'one change, CPU in microseconds':44} {'the same filter':>19} {'':9} {'its own filter':>21}")
    print(f"{'subscribers':44} {'server':>9} {'delivery':>9} {'Postgres':>9} {'server':>10} {'delivery':>10} {'Postgres':>9}")
    middle = lambda size, is_own, what: statistics.median(costs[size, is_own][what] for costs in found["costs"])
    alone = middle(0, False, "cpu")
    print(f"{'0':44} {alone:9.0f} {'':9} {middle(0, False, 'postgres'):9.0f}")
    for size in SIZES:
        cells = []
        for is_own in (False, True):
            spent = middle(size, is_own, "cpu")
            cells.append(f"{spent:9.0f} {(spent - alone) / size:9.2f} {middle(size, is_own, 'postgres'):9.0f}")
        print(f"{size:<44} {'  '.join(cells)}")

    p50, p99, p50_after, p99_after = (statistics.median(column) for column in zip(*found["latency"]))
    print(f"\nfrom a write to {LISTENERS} sockets, {RATE} a second: p50 {p50:.1f} ms, p99 {p99:.1f} ms; from its answer p50 {p50_after:.1f} ms, p99 {p99_after:.1f} ms")
    ready, used = found["start"]
    print(
        f"W8 {IDLE} idle sockets take {found['socket']:.1f} KiB each, subscribed {found['subscribed']:.1f} KiB; of bare actix-ws {found['bare socket']:.1f} KiB\n"
        f"W8 an idle server takes {found['memory']:.0f} MiB, and {found['idle'][0]:.1f} ms of CPU a second, Postgres {found['idle'][1]:.1f}; it is ready after {ready:.0f} ms ({used:.0f} of CPU) on a database that is there"
    )
