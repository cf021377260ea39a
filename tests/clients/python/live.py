"""The centrifuge client for Python, unchanged: what it is told, with its line cut, the server restarted, its token renewed and revoked."""

import asyncio
import json
import os
import sys
import urllib.request
import uuid

from centrifuge import Client, ClientEventHandler, SubscriptionEventHandler

ISSUER = os.environ["ISSUER"]
HOST, PORT = ISSUER.removeprefix("http://").split(":")
LINES = set()


def call_now(method, path, body=None, token=None):
    patches = method == "PATCH"
    headers = {"Content-Type": "application/merge-patch+json" if patches else "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(ISSUER + path, data, headers, method=method)) as answer:
        text = answer.read()
    return json.loads(text) if text else None


async def call(*arguments):
    return await asyncio.to_thread(call_now, *arguments)


async def until(condition, what, seconds=20):
    for _ in range(seconds * 50):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what} did not come")


async def pump(reader, writer):
    LINES.add(writer)
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    finally:
        LINES.discard(writer)
        writer.close()


async def join(reader, writer):
    try:
        far_reader, far_writer = await asyncio.open_connection(HOST, int(PORT))
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


def cut():
    for line in list(LINES):
        line.transport.abort()


class Person:
    renewals = -1

    async def sign_up(self):
        account = {"email": f"{uuid.uuid4()}@example.com", "password": "correct horse battery staple"}
        await call("POST", "/v1/users", account)
        self.session = await call("POST", "/v1/sessions", account)
        return self

    async def renew(self):
        self.renewals += 1
        if self.renewals:
            self.session = await call("POST", "/v1/tokens", {"refresh_token": self.session["refresh_token"]})
        return self.session["access_token"]

    async def order(self, title, price):
        body = {"title": title, "price": price, "status": "open"}
        return (await call("POST", "/v1/data/orders", body, self.session["access_token"]))["id"]

    async def change(self, order, **patch):
        await call("PATCH", f"/v1/data/orders/{order}", patch, self.session["access_token"])

    async def remove(self, order):
        await call("DELETE", f"/v1/data/orders/{order}", None, self.session["access_token"])


class Told(SubscriptionEventHandler):
    def __init__(self):
        self.seen, self.offsets, self.subscribed = [], [], []

    async def on_subscribed(self, context):
        self.subscribed.append(context)

    async def on_publication(self, context):
        data = context.pub.data
        self.seen.append((data["type"], data.get("record", {}).get("title")))
        self.offsets.append(context.pub.offset)


class Ended(ClientEventHandler):
    code = None

    async def on_disconnected(self, context):
        self.code = context.code


async def main():
    ada, eve = await Person().sign_up(), await Person().sign_up()
    proxy = await asyncio.start_server(join, "127.0.0.1", 0)
    told, ended = Told(), Ended()
    address = f"ws://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/v1/realtime"
    client = Client(address, events=ended, get_token=ada.renew, min_reconnect_delay=0.05, max_reconnect_delay=0.5, proxy=None)
    orders = client.new_subscription("data:orders", events=told, data={"filter": "price >= 10"})
    await client.connect()
    await orders.subscribe()
    await until(lambda: told.subscribed, "the subscription")
    expected = []

    async def story(name):
        order = await ada.order(name, 5)
        await eve.order("somebody else's", 50)
        for price in (12, 13, 2, 20):
            await ada.change(order, price=price)
        await ada.remove(order)
        expected.extend([("enter", name), ("update", name), ("leave", None), ("enter", name), ("delete", None)])

    async def heard(what):
        await until(lambda: len(told.seen) >= len(expected), what)
        assert told.seen == expected, (what, told.seen)
        assert told.offsets == sorted(set(told.offsets)), (what, told.offsets)

    await story("live")
    await heard("live")
    cut()
    await story("while the line was cut")
    await heard("after the line was cut")
    await ada.order("before the restart", 10)
    expected.append(("enter", "before the restart"))
    print("restart", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await story("after the restart")
    await heard("after the restart")
    assert all(context.recovered for context in told.subscribed[1:]), told.subscribed
    await until(lambda: ada.renewals >= 1, "the renewal", 90)
    await story("with a new token")
    await heard("with a new token")
    await call("DELETE", f"/v1/sessions/{ada.session['session_id']}", None, ada.session["access_token"])
    await until(lambda: ended.code is not None, "the end", 5)
    assert ended.code == 3503, ended.code
    print("done", flush=True)


asyncio.run(main())
