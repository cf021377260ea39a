"""What becomes of what no channel keeps while NATS breaks, over which replicas tell it where it is configured."""

import collections
import contextlib
import json
import pathlib
import re
import signal
import subprocess
import time
import urllib.request

from faults import fault
from harness import CLIENT_PATIENCE, Link, Skipped, check, free_port, program, until
from live import NAMESPACES, SETTINGS, Listener, Publisher, judge, sign_in, some, working
from websocket import Follower, Speaker, Swarm

ROOM = '{ name = "room", subscribe = "has(auth.sub)", presence = "has(auth.sub)", join_leave = true }'
CHANNELS = ["news:a", "news:b"]
SETTLE = 20


class Porter(Follower):
    """Hears who comes and goes."""

    def __init__(self, address, token):
        super().__init__(address, token, "room:hall")
        self.seen = []

    def hear(self, publication):
        self.wrong.append(f"nobody published {publication}")

    async def _take(self, line):
        push = line.get("push", {})
        self.seen += [(kind, push[kind]["info"]["client"]) for kind in ("join", "leave") if kind in push]
        await super()._take(line)


CONFIGURATION = """
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
authorization: {{ users: [
    {{ user: "tollgate", password: "a/b@c" }}
    # It may not hear what it tells.
    {{ user: "deaf", password: "a/b@c", permissions: {{ publish: ["tollgate.>"], subscribe: ["_INBOX.>"] }} }}
] }}
"""


class Nats:
    """A server of its own, with passwords."""

    def __init__(self, directory):
        if not program("nats-server"):
            raise Skipped("no nats-server here")
        self.port, self.monitor = free_port(), free_port()
        self.configuration = pathlib.Path(directory) / "nats.conf"
        self.configuration.write_text(CONFIGURATION.format(port=self.port, monitor=self.monitor))
        self.process = None

    def url(self, user, port=None):
        return f"nats://{user}:a%2Fb%40c@127.0.0.1:{port or self.port}"

    def start(self):
        command = [program("nats-server"), "--config", self.configuration]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def messages(self):
        """How many have come to it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/varz", timeout=CLIENT_PATIENCE) as answer:
            return json.load(answer)["in_msgs"]


@contextlib.contextmanager
def running(bench):
    nats = Nats(bench.directory)
    nats.start()
    try:
        yield nats
    finally:
        nats.kill()


def is_used(replica):
    with urllib.request.urlopen(f"http://127.0.0.1:{replica.port}/metrics", timeout=CLIENT_PATIENCE) as answer:
        return re.search(r"^tollgate_realtime_nats (\d)$", answer.read().decode(), re.MULTILINE)[1] == "1"


def await_use(replicas, expected):
    words = "over NATS" if expected else "over the database"
    until(lambda: all(is_used(one) == expected for one in replicas), 30, f"all replicas tell {words}")


def await_told(listeners, speakers, since):
    """Waits until everybody was told all that was acknowledged since then; says how many that are."""
    expected = {channel: set() for channel in CHANNELS}
    for one in speakers:
        for channel in CHANNELS:
            expected[channel] |= {(one.name, number) for number in one.acknowledged[channel] if number > since[one.name]}
    missing = lambda one: expected[one.channel] - {told[1:] for told in one.told}
    deadline = time.monotonic() + SETTLE
    while any(map(missing, listeners)) and time.monotonic() < deadline:
        time.sleep(0.1)
    lost = {one.name: sorted(missing(one)) for one in listeners if missing(one)}
    check(not lost, f"{len(lost)} of {len(listeners)} were not told all: {some(list(lost.items()))}")
    check(min(map(len, expected.values())) > 5, "next to nothing was published")
    return sum(map(len, expected.values()))


def spell(listeners, speakers, seconds):
    """A time in which nothing that is acknowledged may get lost."""
    since = {one.name: one.sent for one in speakers}
    time.sleep(seconds)
    return await_told(listeners, speakers, since)


def compare(listeners):
    """Nobody is told anything twice."""
    for one in listeners:
        twice = [told for told, times in collections.Counter(told[1:] for told in one.told).items() if times > 1]
        check(not twice, f"{one.name}: {len(twice)} were told twice: {some(twice)}")


def with_an_odd_one(bench, swarm, replicas, people, listeners, speakers, settings):
    """A fourth replica that does not hear the others over NATS, nor they it: all is told over the database."""
    odd = bench.server(settings=settings)
    late = [Listener(odd.address, people[0].email, people[0].access, channel) for channel in CHANNELS]
    runs = [swarm.start(one.run()) for one in late]
    until(lambda: all(one.subscribed or one.wrong for one in late), 30, "those of the fourth replica are subscribed")
    await_use(replicas, False)
    told = spell(listeners + late, speakers, 3)
    judge(late)
    compare(late)
    for run in runs:
        run.cancel()
    odd.terminate()
    await_use(replicas, True)
    return told


def come_and_go(swarm, replicas, people):
    """Who comes to one replica and goes is told by another."""
    porter = Porter(replicas[0].address, people[0].access)
    standing = swarm.start(porter.run())
    until(lambda: porter.is_subscribed, 20, "the porter is there")
    guests = [Porter(one.address, person.access) for one, person in zip(replicas[1:], people[1:])]
    runs = [swarm.start(one.run()) for one in guests]
    count = lambda kind: len({client for what, client in porter.seen if what == kind})
    # Perhaps the porter is told of their own coming.
    until(lambda: count("join") >= len(guests), 20, "the porter is told who comes")
    for run in runs:
        run.cancel()
    until(lambda: count("leave") == len(guests), 20, "the porter is told who goes")
    wrong = [words for one in (porter, *guests) for words in one.wrong]
    check(not wrong, f"{len(wrong)} × wrong: {some(wrong)}")
    for client in {client for what, client in porter.seen if what == "leave"}:
        order = [what for what, who in porter.seen if who == client]
        check(order == ["join", "leave"], f"of one was told: {order}")
    standing.cancel()


@fault
def f26(bench, loads):
    """NATS dies, is silent, and is heard by some"""
    with running(bench) as nats, Swarm() as swarm, contextlib.ExitStack() as stack:
        namespaces = f"{NAMESPACES.rstrip().removesuffix(']')}{ROOM}]"
        without = SETTINGS | {"TOLLGATE_REALTIME__NAMESPACE": namespaces}
        settings = without | {"TOLLGATE_REALTIME__NATS_URL": nats.url("tollgate")}
        line = stack.enter_context(contextlib.closing(Link(nats.port)))
        cut_off = settings | {"TOLLGATE_REALTIME__NATS_URL": nats.url("tollgate", line.port)}
        replicas = [bench.server(settings=settings), bench.server(settings=settings), bench.server(settings=cut_off)]
        people = sign_in(bench, replicas[0], 6)
        listeners = [Listener(replicas[number % 3].address, people[number % 6].email, people[number % 6].access, CHANNELS[number // 3 % 2]) for number in range(12)]
        for one in listeners:
            swarm.start(one.run())
        until(lambda: all(one.subscribed or one.wrong for one in listeners), 30, "everybody is subscribed")
        over_http = [Publisher(one.address, person.access, f"http {person.email}", CHANNELS, 20) for one, person in zip(replicas, people)]
        over_sockets = [Speaker(one.address, person.access, f"socket {person.email}", CHANNELS, 20) for one, person in zip(replicas, people[3:])]
        speakers = over_http + over_sockets
        await_use(replicas, True)
        for one in over_sockets:
            swarm.start(one.run())
        with working(*over_http):
            until(lambda: all(one.sent > 3 for one in speakers), 20, "everybody publishes")
            stored = lambda: int(bench.postgres.sql("select count(*) from channel_entries where channel ~ '^(news|room):'", "tollgate"))
            before, kept = nats.messages(), stored()
            calm = spell(listeners, speakers, 3)
            come_and_go(swarm, replicas, people)
            check(nats.messages() - before >= calm, f"{nats.messages() - before} of {calm} went over NATS")
            check(stored() == kept, f"{stored() - kept} of {calm} went over the database all the same")
            nats.kill()
            await_use(replicas, False)
            dead = spell(listeners, speakers, 3)
            come_and_go(swarm, replicas, people)
            nats.start()
            await_use(replicas, True)
            again = spell(listeners, speakers, 3)
            nats.process.send_signal(signal.SIGSTOP)
            try:
                await_use(replicas, False)
                silent = spell(listeners, speakers, 3)
            finally:
                nats.process.send_signal(signal.SIGCONT)
            await_use(replicas, True)
            line.cut()
            try:
                await_use(replicas, False)
                cut = spell(listeners, speakers, 3)
            finally:
                line.mend()
            await_use(replicas, True)
            odd = [with_an_odd_one(bench, swarm, replicas, people, listeners, speakers, without | more) for more in (
                {},  # one whose setting is not rolled out yet
                {"TOLLGATE_REALTIME__NATS_URL": nats.url("deaf")},
                {"TOLLGATE_REALTIME__NATS_URL": nats.url("tollgate"), "TOLLGATE_REALTIME__NATS_SUBJECT": "tollgate.others"},
            )]
        for one in over_sockets:
            one.over = True
        judge(listeners)
        compare(listeners)
        wrong = [words for one in over_sockets for words in one.wrong] + [words for one in over_http for words in one.lost if words]
        check(not wrong, f"{len(wrong)} were refused: {some(wrong)}")
        return f"calm {calm}, dead {dead}, back {again}, silent {silent}, one cut off {cut}, one deaf or elsewhere {odd}: none of these lost, none told twice"
