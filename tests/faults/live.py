"""What becomes of those who follow over WebSockets while things break: nothing may be lost, and nothing told twice.

Each picture is built only from a list and what was told after it; at the end it must be what the table shows the same user. What was
told must be what the feed has, change by change, so that nothing hides behind a later version.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import re
import resource
import socket
import subprocess
import threading
import time
import urllib.parse

import faults
from faults import behind_haproxy, fault, taken_in
from harness import CLIENT_PATIENCE, Client, Failure, Link, check, percentile, program, until
from websocket import Follower, Speaker, Swarm, cut_some, frame, opening

FOLLOWERS = 200
SETTLE = 20  # seconds after the last write until every picture must be right; clients may just wait to come back

ORDERS = {
    "type_name": "LiveOrder",
    "schema": {
        "type": "object",
        "required": ["n", "price", "status"],
        "additionalProperties": False,
        "properties": {
            "n": {"type": "integer"},
            "at": {"type": "number"},
            "price": {"type": "integer"},
            "status": {"enum": ["open", "paid", "sent"]},
            "note": {"type": "string", "x-readable": "record.owner == auth.sub || 'staff' in auth.roles"},
        },
    },
    "indexes": [["price"], ["status"]],
    "rules": {
        "list": "record.owner == auth.sub || record.status == 'open' || 'staff' in auth.roles",
        "read": "record.owner == auth.sub || record.status == 'open' || 'staff' in auth.roles",
        "create": "auth.sub != null",
        "update": "record.owner == auth.sub || 'staff' in auth.roles",
        "delete": "record.owner == auth.sub || 'staff' in auth.roles",
    },
}
# For what is only told fast: everybody sees everything.
TICKS = {
    "type_name": "LiveTick",
    "schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
    "rules": {"list": "true", "read": "true", "create": "auth.sub != null", "update": "auth.sub != null"},
}
NAMESPACES = """[
    { name = "log", subscribe = "has(auth.sub)", publish = "has(auth.sub)", history = "has(auth.sub)", history_size = 10000 },
    { name = "news", subscribe = "has(auth.sub)", publish = "has(auth.sub)" },
]"""
SETTINGS = {"TOLLGATE_REALTIME__NAMESPACE": NAMESPACES}


def fetch(address, path, token):
    """Reads, again and again while a replica restarts. Returns the document and the headers."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    begun = time.monotonic()
    while True:
        trouble = None
        connection = http.client.HTTPConnection(*address, timeout=CLIENT_PATIENCE)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            if response.status == 200:
                return json.loads(body), response.headers
            trouble = f"{response.status} {body[:200]}"
            check(response.status >= 500, f"{path}: {trouble}")
        except (OSError, http.client.HTTPException) as error:
            trouble = error
        finally:
            connection.close()
        check(time.monotonic() - begun < 15, f"{path}: {trouble}")
        time.sleep(0.2)


def listing(address, token, collection, filter=None):
    """All records that somebody is shown, by id, and the position of the first page."""
    query = {"limit": 200} | ({"filter": filter} if filter else {})
    records, position = {}, None
    while True:
        page, headers = fetch(address, f"/v1/data/{collection}?{urllib.parse.urlencode(query)}", token)
        position = position or headers["Feed-Position"]
        records |= {record["id"]: record for record in page["items"]}
        if not page.get("next_cursor"):
            epoch, _, offset = position.partition("/")
            return records, epoch, int(offset)
        query["cursor"] = page["next_cursor"]


def changes(address, token, collection, filter, epoch, offset):
    """What the feed tells the same reader: (offset, type, id, version)."""
    query = {"collection": collection, "limit": 200, "wait": 0} | ({"filter": filter} if filter else {})
    told, position = [], f"{epoch}/{offset}"
    while True:
        page, _ = fetch(address, f"/v1/changes?{urllib.parse.urlencode(query | {'since': position})}", token)
        told += [(int(one["position"].partition("/")[2]), one["type"], one["id"], one["version"]) for one in page["items"]]
        position = page["position"]
        if not page["more"]:
            return told


class Watcher(Follower):
    """Keeps a copy of what somebody is shown of a collection."""

    def __init__(self, address, name, token, collection, filter=None, record=None):
        channel = f"data:{collection}:{record}" if record else f"data:{collection}"
        super().__init__(address, token, channel, {"filter": filter} if filter else None)
        self.name = f"{name} {channel} {filter or ''}".strip()
        self.collection, self.record = collection, record
        self.filter = f'id == "{record}"' if record else filter
        self.picture = {}
        self.told = []
        self.heard = []  # when each of them came
        self.latest = {}  # the last version that was told of each record
        self.known = 0  # changes that the list had already
        self.doubles = []
        self.beginning = None

    async def prepare(self):
        await self._list()
        self.recover, self.beginning = True, (self.epoch, self.offset)

    async def start_over(self):
        epoch, offset = self.epoch, self.offset
        await self._list()
        self.latest.clear()
        # The subscription has a place already, before that of the list.
        self.epoch, self.offset = epoch, offset

    async def _list(self):
        self.picture, self.epoch, self.offset = await asyncio.to_thread(
            listing, self.address, self.token, self.collection, self.filter
        )
        self.had = {id: record["version"] for id, record in self.picture.items()}
        self.listed = time.monotonic()

    def hear(self, publication):
        event, offset = publication["data"], publication["offset"]
        id, version = event["id"], event["version"]
        if self.told and offset <= self.told[-1][0] or version <= self.latest.get(id, 0):
            self.doubles.append((offset, event["type"], id, version))
        self.told.append((offset, event["type"], id, version))
        self.heard.append((time.monotonic(), (event.get("record") or {}).get("n"), offset))
        self.latest[id] = version
        if version <= self.had.get(id, 0):
            self.known += 1
            return
        if event["type"] in ("enter", "update"):
            if version > self.picture.get(id, {}).get("version", 0):
                self.picture[id] = event["record"]
        elif version >= self.picture.get(id, {}).get("version", 0):
            self.picture.pop(id, None)

    @property
    def asks(self):
        """Those who ask alike are shown the same."""
        return self.token, self.collection, self.filter


class Listener(Follower):
    """Hears a channel."""

    def __init__(self, address, name, token, channel):
        super().__init__(address, token, channel)
        self.name = f"{name} {channel}"
        self.told = []  # offset, by whom, number
        self.heard = []
        self.doubles = []

    def hear(self, publication):
        data, offset = publication["data"], publication.get("offset")
        if offset and self.told and offset <= self.told[-1][0]:
            self.doubles.append((offset, data["by"], data["n"]))
        self.told.append((offset, data["by"], data["n"]))
        self.heard.append((time.monotonic(), data["at"], offset))


class Writer:
    """Makes, changes and deletes records over HTTP, and keeps a ledger of what was acknowledged. Nothing is sent twice."""

    numbers = iter(range(1, 1 << 60))

    def __init__(self, addresses, token, others, rate, collection="liveorders"):
        self.addresses, self.token, self.others, self.rate = addresses, token, others, rate
        self.path = f"/v1/data/{collection}"
        self.mine = []  # ids
        self.acknowledged = []  # id, version (of deleted records none), when it was sent and when answered
        self.sent = {}  # when each number was
        self.lost = collections.Counter()  # requests without a good answer
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        clients = [Client(address) for address in self.addresses]
        due = time.monotonic() + random.uniform(0, 1 / self.rate)
        turn = 0
        while not self.over.is_set():
            time.sleep(max(0, due - time.monotonic()))
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            turn += 1
            self._write(clients[turn % len(clients)])
        for client in clients:
            client.close()

    def _write(self, client):
        number, begun = next(Writer.numbers), time.monotonic()
        document = {"n": number, "price": random.randrange(100), "status": random.choice(["open", "open", "paid", "sent"])}
        self.sent[number] = begun
        kind = random.random()
        # Those who change what others made have nothing of their own.
        others = [id for other in self.others for id in other.mine[-20:]]
        mine = others or self.mine
        if not mine and self.others:
            return
        if not mine or kind < 0.3 and not self.others:
            document |= {"note": f"note {number}"}
            answer, record = client.call("write", "POST", self.path, document, self.token)
            if answer.is_good:
                self.mine.append(record["id"])
        else:
            id = random.choice(mine)
            if kind < 0.9 or self.others:
                answer, record = client.call("write", "PATCH", f"{self.path}/{id}", document, self.token, (200, 404, 412))
            else:
                with contextlib.suppress(ValueError):
                    self.mine.remove(id)
                answer, record = client.call("write", "DELETE", f"{self.path}/{id}", token=self.token, expected=(204, 404))
                record = {"id": id, "version": None}
        if answer.is_good:
            self.acknowledged.append((record["id"], record["version"], begun, time.monotonic()))
        elif answer.wrong:
            self.lost[answer.wrong] += 1


@contextlib.contextmanager
def working(*workers):
    """Threads of writers, while that lasts."""
    for worker in workers:
        worker.thread.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.over.set()
        for worker in workers:
            worker.thread.join(timeout=3 * CLIENT_PATIENCE)


class Publisher(Speaker):
    """The same over HTTP, in a thread."""

    def __init__(self, *about):
        super().__init__(*about)
        self.lost = collections.Counter()
        self.answered = collections.defaultdict(list)  # the numbers that were acknowledged and when, by channel
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        client = Client(self.address)
        due = time.monotonic()
        while not self.over.is_set():
            time.sleep(max(0, due - time.monotonic()))
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            self.sent = number = self.sent + 1
            channel = self.channels[number % len(self.channels)]
            data = {"by": self.name, "n": number, "at": time.monotonic(), **self.more}
            answer, _ = client.call("publish", "POST", f"/v1/channels/{channel}/publications", {"data": data}, self.token)
            if answer.is_good:
                self.acknowledged[channel].append(number)
                self.answered[channel].append((number, time.monotonic()))
            else:
                self.lost[answer.wrong] += 1
        client.close()

    more = {}


def declare(bench):
    """The collections, and somebody of the staff."""
    bench.declare("liveorders", ORDERS)
    bench.declare("liveticks", TICKS)
    if not getattr(bench, "has_staff", False):
        scopes = [f"--scope={scope}" for scope in ("records:read", "records:write", "channels:read", "channels:write")]
        tollgate(bench, ["role", "set", "staff", *scopes])
        tollgate(bench, ["user", "create", "--email", "staff@example.com", "--password-stdin", "--role", "staff"], "correct horse battery staple\n")
        bench.has_staff = True


def tollgate(bench, arguments, words=""):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TOLLGATE_")}
    environment |= {"DATABASE_URL": bench.url(), "TOLLGATE_MASTER_KEY": bench.master_key, "TOLLGATE_ISSUER": bench.issuer}
    subprocess.run([bench.binary, *arguments], cwd=bench.directory, env=environment, input=words, text=True, check=True, stdout=subprocess.DEVNULL)


def sign_in_staff(address):
    credentials = {"email": "staff@example.com", "password": "correct horse battery staple"}
    client = Client(address)
    answer, pair = client.call("sign in", "POST", "/v1/sessions", credentials)
    client.close()
    check(answer.is_good, f"staff can't sign in: {answer.wrong}")
    return pair["access_token"]


def sign_in(bench, server, count):
    """Some people with tokens that have all of their time left."""
    people = bench.people[:count]
    client = Client(server.address)
    for person in people:
        person.sign_in(client)
    client.close()
    return people


def some(list, most=3):
    return "; ".join(map(str, list[:most]))


def judge(followers):
    """What the server did wrong to single followers, whatever was told."""
    wrong = [f"{one.name}: {words}" for one in followers for words in one.wrong]
    check(not wrong, f"{len(wrong)} × wrong: {some(wrong)}")
    never = [one.name for one in followers if not one.subscribed]
    check(not never, f"{len(never)} never subscribed: {some(never)}")
    doubles = [(one.name, *double) for one in followers if not one.resyncs for double in one.doubles]
    check(not doubles, f"{len(doubles)} × told twice: {some(doubles)}")


def tally(followers):
    """How often they had to come back, and why."""
    closes = sum((one.closes for one in followers), collections.Counter())
    codes = ", ".join(f"{count} × {code or 'cut'}" for code, count in sorted(closes.items(), key=lambda pair: str(pair[0])))
    resumed, resyncs, ended = (sum(getattr(one, name) for one in followers) for name in ("resumed", "resyncs", "ended"))
    return f"{resumed} resumed, {resyncs} resyncs, {ended} subscriptions ended; {codes}"


def failed(writers):
    """How many requests were refused or never answered, and why."""
    kinds = sum((one.lost for one in writers), collections.Counter())
    why = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common(3))
    return f"{kinds.total()} failed{f' ({why})' if why else ''}"


def compare(watchers, address, within=SETTLE):
    """Waits until each picture is the table as the same user sees it, and holds what was told against the feed."""
    tables = {}
    for one in watchers:
        if one.asks not in tables:
            tables[one.asks], *_ = listing(address, *one.asks)
    right = lambda one: one.is_subscribed and one.picture == tables[one.asks]
    begun = time.monotonic()
    while time.monotonic() - begun < within and not all(map(right, watchers)):
        time.sleep(0.1)
    bad = []
    for one in watchers:
        table = tables[one.asks]
        if one.picture != table:
            missing, surplus = table.keys() - one.picture.keys(), one.picture.keys() - table.keys()
            other = [id for id in table.keys() & one.picture.keys() if table[id] != one.picture[id]]
            example = f", such as {one.picture[other[0]]} instead of {table[other[0]]}" if other else ""
            bad.append(f"{one.name}: {len(missing)} missing, {len(surplus)} too many, {len(other)} others of {len(table)}{example}")
        elif not one.is_subscribed:
            bad.append(f"{one.name}: not subscribed")
    check(not bad, f"{len(bad)} of {len(watchers)} pictures are wrong: {some(bad)}")
    feeds = {}
    for one in watchers:
        if one.resyncs or not one.beginning:
            continue
        if one.asks not in feeds:
            first = min(other.beginning[1] for other in watchers if other.asks == one.asks and other.beginning)
            feeds[one.asks] = changes(address, one.token, one.collection, one.filter, one.beginning[0], first)
        due = [change for change in feeds[one.asks] if change[0] > one.beginning[1]]
        if one.told != due:
            lost, more = [change for change in due if change not in set(one.told)], [told for told in one.told if told not in set(due)]
            bad.append(f"{one.name}: {len(lost)} of {len(due)} changes were not told ({some(lost)}), {len(more)} others were ({some(more)}), {len(one.told)} in all")
    check(not bad, f"{len(bad)} of {len(watchers)} were told something else than the feed: {some(bad)}")


def hold_against_ledger(watcher, writers):
    """Whoever sees everything was told everything that was written since and acknowledged."""
    told = {(id, None if kind == "delete" else version) for _, kind, id, version in watcher.told}
    acknowledged = [(id, version) for writer in writers for id, version, sent, _ in writer.acknowledged if sent > watcher.listed]
    lost = [one for one in acknowledged if one not in told]
    check(not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes were told to nobody: {some(lost)}")
    return len(acknowledged)


@fault
def f14s(bench, loads):
    """rolling restart under 200 WebSockets"""
    declare(bench)
    replicas = [bench.server(settings=SETTINGS) for _ in range(3)]
    people = sign_in(bench, replicas[0], 6)
    staff = sign_in_staff(replicas[0].address)
    with behind_haproxy(bench, replicas) as address, Swarm() as swarm:
        writers = [Writer([address], person.access, [], 10) for person in people]
        writers.append(Writer([address], staff, writers[:], 15))
        with working(*writers):
            # Something is there before anybody comes.
            until(lambda: all(writer.mine for writer in writers[:-1]), 10, "there are records")
            asks = []
            for person in people:
                asks += [(person.email, person.access, filter) for filter in (None, None, "price >= 70", 'status == "paid"')]
            asks += [("staff", staff, filter) for filter in (None, None, None, "price >= 90", 'status == "sent" && price < 50')]
            asks += [("a visitor", None, filter) for filter in (None, "price < 20")]
            hot = [(person.email, person.access, writer.mine[0]) for person, writer in zip(people, writers)]
            watchers = [Watcher(address, *asks[number % len(asks)][:2], "liveorders", asks[number % len(asks)][2]) for number in range(FOLLOWERS - 2 * len(hot))]
            watchers += [Watcher(address, name, token, "liveorders", record=id) for name, token, id in 2 * hot]
            for one in watchers:
                swarm.start(one.run())
            until(lambda: all(one.subscribed or one.wrong for one in watchers), 30, "everybody is subscribed")
            judge(watchers)
            begun, written = time.monotonic(), sum(len(writer.acknowledged) for writer in writers)
            cutting = swarm.start(cut_some(watchers, every=1, share=0.02))
            rounds, stopping = 0, []
            while not rounds or time.monotonic() - begun < bench.seconds(0, 60):
                for number, old in enumerate(replicas):
                    stopping.append(old.terminate(within=10))
                    replicas[number] = bench.server(port=old.port, settings=SETTINGS)
                    taken_in(bench, replicas[number])
                rounds += 1
            # One that says nothing any more.
            replicas[0].process.kill()
            replicas[0].process.wait()
            replicas[0] = bench.server(port=replicas[0].port, settings=SETTINGS)
            time.sleep(2)
            cutting.cancel()
            took = time.monotonic() - begun
        rate = (sum(len(writer.acknowledged) for writer in writers) - written) / took
        judge(watchers)
        compare(watchers, bench.server(settings=SETTINGS).address)
        judge(watchers)
        resyncs = [one.name for one in watchers if one.resyncs]
        check(not resyncs, f"{len(resyncs)} were told to list anew though nothing was dropped: {some(resyncs)}")
        everything = next(one for one in watchers if one.token == staff and not one.filter)
        acknowledged = hold_against_ledger(everything, writers)
        told, known = sum(len(one.told) for one in watchers), sum(one.known for one in watchers)
        # With less nothing would be tested.
        check(rate >= bench.seconds(20, 47), f"only {rate:.0f} writes a second")
        return (
            f"{3 * rounds} restarts (at most {max(stopping):.1f} s) and a kill; {acknowledged} writes, {rate:.0f}/s, {failed(writers)}; "
            f"{told} told, {known} of them in the list, none twice; {tally(watchers)}"
        )


def compare_channels(listeners, speakers, address, token):
    """One order for all: nobody missed anything that was acknowledged, and nobody was told anything twice."""
    count = 0
    for channel in {one.channel for one in listeners}:
        hearing = [one for one in listeners if one.channel == channel]
        history = lambda limit, since: fetch(address, f"/v1/channels/{channel}/history?limit={limit}{since}", token)[0]
        order, since = [], f"&since={urllib.parse.quote(hearing[0].start)}"
        while True:
            page = history(200, since)
            order += [(one["offset"], one["data"]["by"], one["data"]["n"]) for one in page["items"]]
            if len(page["items"]) < 200:
                break
            since = f"&since={urllib.parse.quote(page['epoch'] + '/' + str(order[-1][0]))}"
        sent = [tuple(one[1:]) for one in order]
        check(len(set(sent)) == len(sent), f"{channel}: something was published twice")
        until(lambda: all(len(one.told) >= len(order) or one.resyncs for one in hearing), SETTLE, f"everybody is told {len(order)} publications of {channel}")
        bad = [f"{one.name} {len(one.told)} of {len(order)}" for one in hearing if one.told != order and not one.resyncs]
        check(not bad, f"{channel}: {len(bad)} of {len(hearing)} were told something else than was kept: {some(bad)}")
        for speaker in speakers:
            numbers = [number for _, by, number in order if by == speaker.name]
            lost = set(speaker.acknowledged[channel]) - set(numbers)
            check(not lost, f"{channel}: {len(lost)} publications of {speaker.name} are lost: {some(sorted(lost))}")
            acknowledged = set(speaker.acknowledged[channel])
            mine = [number for number in numbers if number in acknowledged]
            check(mine == sorted(mine), f"{channel}: what {speaker.name} published is not in its order")
        count += len(order)
    return count


@fault
def f14c(bench, loads):
    """rolling restart under a kept channel"""
    replicas = [bench.server(settings=SETTINGS) for _ in range(3)]
    people = sign_in(bench, replicas[0], 6)
    channels = ["log:a", "log:b"]
    with behind_haproxy(bench, replicas) as address, Swarm() as swarm:
        listeners = [Listener(address, people[number % 6].email, people[number % 6].access, channels[number % 2]) for number in range(60)]
        for one in listeners:
            swarm.start(one.run())
        until(lambda: all(one.subscribed or one.wrong for one in listeners), 30, "everybody is subscribed")
        judge(listeners)
        for one in listeners:
            one.start = min(f"{other.epoch}/{other.offset}" for other in listeners if other.channel == one.channel)
        over_http = [Publisher(address, person.access, f"http {person.email}", channels, 10) for person in people[:3]]
        over_sockets = [Speaker(address, person.access, f"socket {person.email}", channels, 10) for person in people[3:]]
        for one in over_sockets:
            swarm.start(one.run())
        with working(*over_http):
            begun = time.monotonic()
            cutting = swarm.start(cut_some(listeners, every=1, share=0.05))
            rounds = 0
            while not rounds or time.monotonic() - begun < bench.seconds(0, 60):
                for number, old in enumerate(replicas):
                    old.terminate(within=10)
                    replicas[number] = bench.server(port=old.port, settings=SETTINGS)
                    taken_in(bench, replicas[number])
                rounds += 1
            replicas[0].process.kill()
            replicas[0].process.wait()
            replicas[0] = bench.server(port=replicas[0].port, settings=SETTINGS)
            time.sleep(2)
            cutting.cancel()
            took = time.monotonic() - begun
        for one in over_sockets:
            one.over = True
        time.sleep(1)
        speakers = over_http + over_sockets
        judge(listeners)
        count = compare_channels(listeners, speakers, bench.server(settings=SETTINGS).address, people[0].access)
        judge(listeners)
        wrong = [words for one in over_sockets for words in one.wrong]
        check(not wrong, f"{len(wrong)} × wrong: {some(wrong)}")
        resyncs = [one.name for one in listeners if one.resyncs]
        check(not resyncs, f"{len(resyncs)} were told that something is missing though all was kept: {some(resyncs)}")
        sent, acknowledged = sum(one.sent for one in speakers), sum(len(some) for one in speakers for some in one.acknowledged.values())
        return (
            f"{3 * rounds} restarts and a kill; {sent} sent, {acknowledged} acknowledged, {count} kept, {count / took:.0f}/s; "
            f"{sum(len(one.told) for one in listeners)} told, none twice; {tally(listeners)}"
        )


def lose_lines(bench, port, lose, mend):
    """A replica has no lines to Postgres for 10 s, while records are written and publications made."""
    declare(bench)
    away = 10
    if not bench.postgres.sql("select 1 from pg_roles where rolname = 'lines'"):
        bench.postgres.sql("create role lines superuser login")
    direct = bench.url(port).replace("postgres@", "lines@")
    here = bench.server(settings=SETTINGS | {"TOLLGATE_DATABASE__DIRECT_URL": direct})
    there = bench.server(settings=SETTINGS)
    people = sign_in(bench, here, 4)
    staff = sign_in_staff(here.address)
    lines = lambda: int(bench.postgres.sql("select count(*) from pg_stat_activity where usename = 'lines'"))
    with Swarm() as swarm:
        writers = [Writer([here.address, there.address], person.access, [], 15) for person in people]
        publishers = [Publisher(address, people[0].access, f"http {number}", ["log:c", "news:c"], 10) for number, address in enumerate([here.address, there.address])]

        def watch(address, name):
            asks = [("staff", staff, None), ("staff", staff, "price >= 50"), (people[0].email, people[0].access, None), ("a visitor", None, None)]
            return [Watcher(address, f"{name} {who}", token, "liveorders", filter) for who, token, filter in asks]

        def listen(address, name, count):
            return [Listener(address, name, people[1].access, channel) for channel in ("log:c", "news:c") for _ in range(count)]

        near, far = [one for _ in range(4) for one in watch(here.address, "here")], watch(there.address, "there")
        near_channels, far_channels = listen(here.address, "here", 5), listen(there.address, "there", 2)
        everybody = [*near, *far, *near_channels, *far_channels]
        for one in everybody:
            swarm.start(one.run())
        until(lambda: all(one.subscribed or one.wrong for one in everybody), 30, "everybody is subscribed")
        judge(everybody)
        for one in near_channels + far_channels:
            one.start = f"{one.epoch}/{min(other.offset for other in near_channels + far_channels if other.channel == 'log:c')}"
        with working(*writers, *publishers):
            time.sleep(2)
            count = lines()
            check(count >= 3, f"there are {count} lines")
            lose()
            lost = time.monotonic()
            try:
                time.sleep(away / 2)
                # Who comes meanwhile is let in, and misses nothing either.
                late = watch(here.address, "late") + listen(here.address, "late", 1)
                for one in late:
                    swarm.start(one.run())
                time.sleep(away / 2)
                # What was under way when they were lost may be told a moment later.
                behind = [one.name for one in near if any(number and sent_at(writers, number) > lost + 1 for _, number, _ in list(one.heard))]
                check(not behind, f"the lines were not away: {some(behind)}")
            finally:
                mend()
            back = time.monotonic()
            time.sleep(5 + faults.SLACK)
        slow = [at - sent_at(writers, number) for one in far for at, number, _ in one.heard if number and lost < at < back]
        check(slow, "the other replica told nothing")
        usual = percentile(slow, 0.99)
        # What was written before must be told within 2 s, on a machine where nothing is late anyway.
        looked = back + 2 + faults.SLACK + 2 * usual
        due = {(id, version) for writer in writers for id, version, sent, at in writer.acknowledged if version and sent > near[0].listed and at < back}
        waiting, late_by = [], []
        for one in near[::4]:
            told = {(id, version): at for (_, _, id, version), (at, _, _) in zip(one.told, one.heard)}
            late_by.append(max((told[some] - back for some in due if some in told), default=0))
            if missing := [some for some in due if told.get(some, looked) >= looked]:
                waiting.append(f"{one.name}: {len(missing)} of {len(due)}")
        for one in near_channels:
            published = {(publisher.name, number) for publisher in publishers for number, at in publisher.answered[one.channel] if at < back}
            told = {(by, number): at for (_, by, number), (at, _, _) in zip(one.told, one.heard)}
            late_by.append(max((told[some] - back for some in published if some in told), default=0))
            if not one.ended and (missing := [some for some in published if told.get(some, looked) >= looked]):
                waiting.append(f"{one.name}: {len(missing)} of {len(published)}")
        caught_up = max(late_by)
        check(not waiting, f"not told {looked - back:.1f} s after the lines were back: {some(waiting)}")
        address = there.address
        watchers, listeners = near + far + late[:4], near_channels + far_channels
        compare(watchers, address)
        hold_against_ledger(near[0], writers)
        kept = [one for one in listeners if one.channel == "log:c"]
        published = compare_channels(kept, publishers, address, people[0].access)
        for one in (one for one in listeners if one.channel == "news:c" and not one.ended):
            for publisher in publishers:
                told = [number for _, by, number in one.told if by == publisher.name]
                gone = set(publisher.acknowledged["news:c"]) - set(told)
                check(not gone, f"{one.name}: {len(gone)} publications of {publisher.name} are lost: {some(sorted(gone))}")
                check(len(set(told)) == len(told), f"{one.name} was told something twice")
        judge(everybody + late)
        check(usual < 2, f"the other replica told late: p99 {usual:.2f} s")
        return (
            f"{count} lines away {away} s; told {caught_up:.2f} s after; {len(due)} writes and {published} publications, {failed(writers + publishers)}; "
            f"the other replica's p99 {usual * 1000:.0f} ms; {tally(everybody + late)}"
        )


@fault
def f23(bench, loads):
    """the lines of a replica are ended for 10 s"""

    def lose():
        bench.postgres.sql("alter role lines nologin")
        bench.postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'lines'")

    return lose_lines(bench, None, lose, lambda: bench.postgres.sql("alter role lines login"))


@fault
def f23s(bench, loads):
    """the lines of a replica are silent for 10 s"""
    link = Link(bench.postgres.port)
    try:
        return lose_lines(bench, link.port, link.cut, link.mend)
    finally:
        bench.end_servers()
        link.close()


@fault
def f23p(bench, loads):
    """Postgres restarts, and is killed, under WebSockets"""
    declare(bench)
    replicas = [bench.server(settings=SETTINGS) for _ in range(2)]
    people = sign_in(bench, replicas[0], 4)
    staff = sign_in_staff(replicas[0].address)
    place = lambda number: replicas[number % 2].address
    with Swarm() as swarm:
        writers = [Writer([place(number)], person.access, [], 10) for number, person in enumerate(people)]
        asks = [(person.access, filter) for person in people for filter in (None, "price >= 50")] + 2 * [(staff, None)]
        watchers = [Watcher(place(number), f"{number}", token, "liveorders", filter) for number, (token, filter) in enumerate(asks)]
        listeners = [Listener(place(number), person.email, person.access, "log:c") for number, person in enumerate(people)]
        everybody = watchers + listeners
        for one in everybody:
            swarm.start(one.run())
        until(lambda: all(one.subscribed or one.wrong for one in everybody), 30, "everybody is subscribed")
        for one in listeners:
            one.start = min(f"{other.epoch}/{other.offset}" for other in listeners)
        publishers = [Publisher(place(number), person.access, f"http {person.email}", ["log:c"], 10) for number, person in enumerate(people)]
        with working(*writers, *publishers):
            for end in (bench.postgres.stop, bench.postgres.kill):
                time.sleep(2)
                before = sum(len(one.acknowledged) for one in writers)
                try:
                    end()
                    time.sleep(1)
                finally:
                    bench.postgres.start()
                until(lambda: sum(len(one.acknowledged) for one in writers) > before + 20, 20, "records are written again")
            time.sleep(1)
        judge(everybody)
        compare(watchers, replicas[0].address)
        count = compare_channels(listeners, publishers, replicas[0].address, people[0].access)
        judge(everybody)
        resyncs = [one.name for one in everybody if one.resyncs]
        check(not resyncs, f"{len(resyncs)} were told that something is missing though nothing was lost: {some(resyncs)}")
        acknowledged = hold_against_ledger(watchers[-1], writers)
        return f"{acknowledged} writes, {failed(writers)}; {count} publications, {failed(publishers)}; {tally(everybody)}"


def sent_at(writers, number):
    return next((writer.sent[number] for writer in writers if number in writer.sent), 0)


def stall(address, token):
    """Subscribes to what is busy, and never reads again."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    one.settimeout(20)
    one.connect(address)
    one.sendall(opening(address, "c3RhbGxlZCByZWFkZXJzLg=="))
    head = one.recv(1024)
    check(head.startswith(b"HTTP/1.1 101"), f"a stalled reader got {head[:40]}")
    say = lambda *commands: one.sendall(frame(1, b"\n".join(json.dumps(command).encode() for command in commands)))
    wanted = {2: "data:liveticks", 3: "news:busy"}
    say({"id": 1, "connect": {"token": token}}, *({"id": id, "subscribe": {"channel": channel}} for id, channel in wanted.items()))
    stream = one.makefile("rb", buffering=0)

    def read(count):
        data = b""
        while len(data) < count:
            part = stream.read(count - len(data))
            check(part, "a stalled reader was cut off before it stalled")
            data += part
        return data

    while wanted:
        length = read(2)[1]
        payload = read(int.from_bytes(read(2), "big") if length == 126 else length)
        for answer in map(json.loads, payload.splitlines()):
            if answer.get("id") in wanted:
                if "error" in answer:
                    # So many at once are more than the database can serve.
                    check(answer["error"].get("temporary"), f"a stalled reader got {answer}")
                    time.sleep(0.3)
                    say({"id": answer["id"], "subscribe": {"channel": wanted[answer["id"]]}})
                else:
                    del wanted[answer["id"]]
    return one


def closes(server):
    """The sockets that a replica has closed, by code."""
    connection = http.client.HTTPConnection(*server.address, timeout=CLIENT_PATIENCE)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    found = (re.match(r'tollgate_realtime_closes_total\{code="(\d+)"\} (\d+)', line) for line in lines)
    return collections.Counter({int(one[1]): int(one[2]) for one in found if one})


def in_kernel(server):
    """Bytes that the kernel holds for a server's connections and that nobody has taken; 0 where `ss` is missing."""
    if not program("ss"):
        return 0
    listed = subprocess.run([program("ss"), "-tmnH", "sport", "=", f":{server.port}"], capture_output=True, text=True)
    return sum(map(int, re.findall(r",w(\d+),", listed.stdout)))


class Ticker:
    """Writes records of about a kibibyte, steadily."""

    def __init__(self, address, token, rate):
        self.address, self.token, self.rate = address, token, rate
        self.sent = 0
        self.lost = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        client = Client(self.address)
        due = time.monotonic()
        while not self.over.is_set():
            time.sleep(max(0, due - time.monotonic()))
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            self.sent += 1
            document = {"n": self.sent, "at": time.monotonic(), "text": "x" * 900}
            answer, _ = client.call("tick", "POST", "/v1/data/liveticks", document, self.token)
            self.lost += not answer.is_good
        client.close()


class Tick(Listener):
    """Hears how long a record was on its way."""

    def hear(self, publication):
        record = publication["data"]["record"]
        self.told.append((publication["offset"], "record", record["n"]))
        self.heard.append((time.monotonic(), record["at"], publication["offset"]))


@fault
def f24(bench, loads):
    """1,000 WebSockets that read nothing"""
    count, patience = 1_000, 40
    rate = bench.seconds(50, 100)  # events a second, of records and on the channel each
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 3 * count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3 * count), hard))
    declare(bench)
    server = bench.server(settings=SETTINGS)
    people = sign_in(bench, server, 14)
    channel = "news:busy"
    with Swarm() as swarm:
        # A socket for each of the healthy, the two ways of being told in turn.
        healthy = [(Tick, Listener)[number % 2](server.address, "healthy", people[-1].access, ("data:liveticks", channel)[number % 2]) for number in range(6)]
        for one in healthy:
            swarm.start(one.run())
        until(lambda: all(one.subscribed for one in healthy), 20, "the healthy are subscribed")
        # Several, since each waits for its answers.
        writers = [Ticker(server.address, people[-1].access, rate / 5) for _ in range(5)]
        publishers = [Publisher(server.address, people[-1].access, f"busy {number}", [channel], rate / 5) for number in range(5)]
        for one in publishers:
            one.more = {"text": "x" * 900}
        stalled = []
        try:
            with working(*writers, *publishers):
                time.sleep(4)
                calm = [at - sent for one in healthy for at, sent, _ in one.heard[-200:]]
                before, sockets = server.status("VmRSS"), server.sockets()
                base = closes(server)
                most, begun = before, time.monotonic()
                watching = threading.Event()
                seen = []

                def watch():
                    while not watching.wait(0.25):
                        with contextlib.suppress(OSError):
                            seen.append((server.status("VmRSS"), server.sockets(), in_kernel(server)))

                thread = threading.Thread(target=watch, daemon=True)
                thread.start()
                try:
                    with concurrent.futures.ThreadPoolExecutor(16) as pool:
                        stalled += pool.map(lambda number: stall(server.address, people[number % 12].access), range(count))
                    opened = time.monotonic()
                    until(lambda: server.sockets() <= sockets + 20, patience + bench.seconds(0, 20), "all who read nothing are given up", every=0.5)
                    closed = time.monotonic()
                    time.sleep(bench.seconds(2, 20))
                    by_code = closes(server) - base
                finally:
                    watching.set()
                    thread.join()
                ended = time.monotonic()
                during = {kind: [at - sent for one in healthy if type(one) is kind for at, sent, _ in one.heard if sent > begun] for kind in (Tick, Listener)}
        finally:
            for one in stalled:
                one.close()
        # What was refused or never answered may have been told all the same.
        least = sum(one.sent - one.lost for one in writers), sum(len(one.acknowledged[channel]) for one in publishers)
        with contextlib.suppress(Failure):
            until(lambda: all(len(one.told) >= least[type(one) is Listener] for one in healthy), SETTLE, "the healthy are told everything")
        most, open_at_once, kernels = (max(figures) for figures in zip(*seen))
        grown, kernels = (most - before) / 1024, kernels / 1_048_576
        sent = sum(one.sent for one in writers), sum(one.sent for one in publishers)
        figures = (
            f"{count} opened in {opened - begun:.0f} s, at most {open_at_once - sockets} at once, all gone {closed - opened:.0f} s later with {dict(by_code)}; "
            f"+{grown:.0f} MiB, in the kernel {kernels:.0f} MiB; records p50 {percentile(during[Tick], 0.5) * 1000:.0f} p99 {percentile(during[Tick], 0.99) * 1000:.0f} ms, "
            f"publications p50 {percentile(during[Listener], 0.5) * 1000:.0f} p99 {percentile(during[Listener], 0.99) * 1000:.0f} ms "
            f"(before {percentile(calm, 0.99) * 1000:.0f}); {sent[0]} and {sent[1]} sent; {tally(healthy)}"
        )
        wrong = [words for one in healthy for words in one.wrong]
        check(not wrong, f"{some(wrong)}; {figures}")
        check(not sum((one.closes for one in healthy), collections.Counter()), f"a healthy reader was cut off; {figures}")
        check(grown < 200, f"the memory grew; {figures}")
        check(kernels < 256, f"what the kernel holds for them grew; {figures}")
        for kind in during:
            # Within 1 s, on a machine where nothing is late anyway.
            check(during[kind] and percentile(during[kind], 0.99) < 1 + faults.SLACK + 2 * percentile(calm, 0.99), f"the healthy waited; {figures}")
        check(by_code[3008] >= 0.9 * count, f"few were closed as slow; {figures}")
        for one in healthy:
            number = type(one) is Listener
            check(least[number] <= len(one.told) <= sent[number], f"a healthy reader was told {len(one.told)} of {least[number]}; {figures}")
            check(len(set(one.told)) == len(one.told), f"a healthy reader was told something twice; {figures}")
        return figures
