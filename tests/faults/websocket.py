"""A client of live updates that resumes as the Centrifuge libraries do, and just enough of RFC 6455 under it."""

import asyncio
import base64
import collections
import contextlib
import hashlib
import itertools
import json
import os
import random
import threading
import time

from harness import CLIENT_PATIENCE, check

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
STAY_AWAY = 3500  # codes of closing from which on clients do not come back
ANEW = 2500  # codes of ended subscriptions from which on clients subscribe anew
SHORTEST, LONGEST = 0.5, 2.0  # seconds until clients come back; libraries go up to 20 where nobody says otherwise


class Gone(Exception):
    """The connection has ended; without a code it was cut."""

    def __init__(self, code=None):
        super().__init__(f"closed with {code}" if code else "cut")
        self.code = code


def opening(address, key):
    host = f"{address[0]}:{address[1]}"
    return (
        f"GET /v1/realtime HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


def frame(code, payload):
    """A message of a client, whole and masked."""
    length = len(payload)
    head = bytes([0x80 | code])
    head += bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2, "big")
    mask = os.urandom(4)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return head + mask + mixed.to_bytes(length, "big")


class Socket:
    """A WebSocket to the server."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, address):
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(*address), CLIENT_PATIENCE)
        except (OSError, TimeoutError):
            raise Gone from None
        socket = cls(reader, writer)
        key = base64.b64encode(os.urandom(16)).decode()
        try:
            writer.write(opening(address, key))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CLIENT_PATIENCE)
        except (OSError, EOFError, TimeoutError):
            socket.abort()
            raise Gone from None
        status = head.split(b" ", 2)[1]
        accept = base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest())
        if status != b"101" or accept not in head:
            socket.abort()
            raise Gone(int(status))
        return socket

    def abort(self):
        """Ends it as a lost network would."""
        self.writer.transport.abort()

    def send(self, *lines):
        self.writer.write(frame(1, b"\n".join(json.dumps(line).encode() for line in lines)))

    async def receive(self):
        """The next lines; pings of WebSockets are answered, those of Centrifuge are a line."""
        try:
            while True:
                head = await self.reader.readexactly(2)
                length = head[1] & 0x7F
                if length > 125:
                    length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
                payload = await self.reader.readexactly(length)
                check(head[0] in (0x81, 0x88, 0x89, 0x8A) and not head[1] & 0x80, f"a frame begins with {head.hex()}")
                code = head[0] & 0x0F
                if code == 1:
                    return [json.loads(line) for line in payload.split(b"\n") if line.strip()]
                if code == 8:
                    self.writer.write(frame(8, payload[:2]))
                    self.writer.close()
                    raise Gone(int.from_bytes(payload[:2], "big"))
                if code == 9:
                    self.writer.write(frame(10, payload))
        except (OSError, EOFError):
            self.abort()
            raise Gone from None


class Swarm:
    """A loop of its own for many clients."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        async def end():
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        with contextlib.suppress(TimeoutError):
            self.run(end(), within=10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout=5)

    def start(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine, within=60):
        return self.start(coroutine).result(within)


def backoff(step):
    """Seconds until a library comes back after so many failures: the same formula."""
    return min(LONGEST, SHORTEST + random.uniform(0, min(LONGEST, SHORTEST * 2**step)))


class Follower:
    """One client with one subscription. What it is told goes to `hear`; what the server does wrong to `wrong`."""

    def __init__(self, address, token, channel, data=None):
        self.address, self.token = address, token
        self.channel, self.data = channel, data
        self.epoch, self.offset, self.recover = "", 0, False
        self.ids = itertools.count(1)
        self.socket = None
        self.subscribed = 0  # how often
        self.is_subscribed = False
        self.resumed = 0  # how often it came back, and nothing was missing
        self.resyncs = 0  # how often it came back, and was told that something may be
        self.ended = 0  # how often the subscription ended and the socket did not
        self.closes = collections.Counter()
        self.wrong = []

    async def prepare(self):
        """What comes before the first subscription."""

    async def start_over(self):
        """What comes where not everything was told."""

    def hear(self, publication):
        raise NotImplementedError

    async def run(self):
        step = 0
        try:
            await self.prepare()
            while True:
                before = self.subscribed
                try:
                    self.socket = await Socket.open(self.address)
                    await self._talk(self.socket)
                except Gone as gone:
                    self.closes[gone.code] += 1
                    if gone.code and gone.code >= STAY_AWAY:
                        self.wrong.append(f"{gone}: it may not come back")
                        return
                finally:
                    self.is_subscribed = False
                    if self.socket:
                        self.socket.abort()
                step = 0 if self.subscribed > before else step + 1
                await asyncio.sleep(backoff(step))
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            self.wrong.append(f"{type(fault).__name__}: {fault}")

    async def _answer(self, id):
        """The answer to a command while nothing else can come but pushes."""
        while True:
            for line in await asyncio.wait_for(self.socket.receive(), 2 * CLIENT_PATIENCE):
                if line.get("id") == id:
                    return line
                await self._take(line)

    async def _talk(self, socket):
        id = next(self.ids)
        socket.send({"id": id, "connect": {"token": self.token} if self.token else {}})
        try:
            answer = await self._answer(id)
        except TimeoutError:
            self.wrong.append("connect is not answered")
            raise Gone from None
        if "error" in answer:
            self.closes[f"connect {answer['error']['code']}"] += 1
            raise Gone
        self._ask()
        while True:
            for line in await socket.receive():
                await self._take(line)

    def _ask(self):
        subscribe = {"channel": self.channel}
        if self.data is not None:
            subscribe["data"] = self.data
        if self.recover:
            subscribe |= {"recover": True, "epoch": self.epoch, "offset": self.offset}
        self.socket.send({"id": next(self.ids), "subscribe": subscribe})

    async def _ask_again(self, socket):
        await asyncio.sleep(backoff(0))
        if self.socket is socket and not self.is_subscribed:
            self._ask()

    async def _take(self, line):
        if not line:
            self.socket.send({})
        elif subscribed := line.get("subscribe"):
            await self._begin(subscribed)
        elif error := line.get("error"):
            self.closes[f"subscribe {error['code']}"] += 1
            if not error.get("temporary"):
                self.wrong.append(f"subscribe is refused: {error}")
            asyncio.get_running_loop().create_task(self._ask_again(self.socket))
        elif push := line.get("push"):
            if push.get("channel") != self.channel or not self.is_subscribed:
                self.wrong.append(f"told without being subscribed: {str(line)[:200]}")
            elif publication := push.get("pub"):
                self._hear(publication)
            elif end := push.get("unsubscribe"):
                self.is_subscribed = False
                self.ended += 1
                if end["code"] < ANEW:
                    self.wrong.append(f"the subscription ended: {end}")
                asyncio.get_running_loop().create_task(self._ask_again(self.socket))

    async def _begin(self, subscribed):
        if self.recover:
            if not subscribed.get("was_recovering"):
                self.wrong.append("the server does not know that somebody comes back")
            if subscribed.get("recovered"):
                self.resumed += 1
            else:
                self.resyncs += 1
        missed = self.recover and not subscribed.get("recovered")
        self.subscribed += 1
        self.is_subscribed = True
        self.recover = subscribed.get("recoverable", False)
        self.epoch, self.offset = subscribed.get("epoch", ""), subscribed.get("offset", 0)
        publications = subscribed.get("publications") or []
        if publications and publications[-1]["offset"] > self.offset:
            self.wrong.append(f"what was missed goes to {publications[-1]['offset']}, the offset is {self.offset}")
        if missed:
            await self.start_over()
        for publication in publications:
            self._hear(publication)

    def _hear(self, publication):
        if publication.get("offset"):
            self.offset = publication["offset"]
        self.hear(publication)


async def cut_some(followers, every, share):
    """Cuts connections as bad networks do."""
    while True:
        await asyncio.sleep(every)
        for follower in random.sample(followers, max(1, round(len(followers) * share))):
            if follower.is_subscribed:
                follower.socket.abort()


class Speaker:
    """A client that publishes, one thing after the other, and keeps a ledger."""

    def __init__(self, address, token, name, channels, rate):
        self.address, self.token, self.name, self.channels, self.rate = address, token, name, channels, rate
        self.sent = 0
        self.acknowledged = collections.defaultdict(list)  # numbers, by channel
        self.wrong = []
        self.over = False

    async def run(self):
        while not self.over:
            socket = None
            with contextlib.suppress(Gone, TimeoutError):
                socket = await Socket.open(self.address)
                ids = itertools.count(1)
                await self._ask(socket, next(ids), {"connect": {"token": self.token}})
                while not self.over:
                    begun = time.monotonic()
                    self.sent = number = self.sent + 1
                    channel = self.channels[number % len(self.channels)]
                    publish = {"channel": channel, "data": {"by": self.name, "n": number, "at": begun}}
                    answer = await self._ask(socket, next(ids), {"publish": publish})
                    if "error" not in answer:
                        self.acknowledged[channel].append(number)
                    elif not answer["error"].get("temporary"):
                        self.wrong.append(f"publish is refused: {answer['error']}")
                    await asyncio.sleep(max(0, begun + 1 / self.rate - time.monotonic()))
            if socket:
                socket.abort()
            if not self.over:
                await asyncio.sleep(backoff(0))

    async def _ask(self, socket, id, command):
        socket.send({"id": id, **command})
        while True:
            for line in await asyncio.wait_for(socket.receive(), CLIENT_PATIENCE):
                if line.get("id") == id:
                    return line
                if not line:
                    socket.send({})
