"""Live updates by the centrifuge client for Python, unchanged: the same program as node/live.mjs."""

import asyncio
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

from centrifuge import Client, ClientEventHandler, ClientState, SubscriptionEventHandler

ISSUER, REALTIME, STAGE = (os.environ[name] for name in ("ISSUER", "REALTIME", "STAGE"))
FILTER = "price >= 10"
PATIENCE = 40


def ask_now(method, address, body=None, token=None):
    headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    # So that whoever asks again does nothing twice.
    if method == "POST":
        headers["Idempotency-Key"] = str(uuid.uuid4())
    data = None if body is None else json.dumps(body).encode()
    begun = time.monotonic()
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, data, headers, method=method), timeout=250) as answer:
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as refusal:
            # On a machine with much else to do, the server may have no turn for everybody.
            if refusal.code != 503 or "Retry-After" not in refusal.headers or time.monotonic() - begun > PATIENCE:
                raise
            time.sleep(1)


async def ask(*arguments):
    return await asyncio.to_thread(ask_now, *arguments)


async def wish(what):
    await ask("POST", f"{STAGE}/{what}")


async def until(condition, what, patience=PATIENCE):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < patience, f"{what} did not come"
        await asyncio.sleep(0.02)


class Person:
    renewals = 0

    async def sign_up(self):
        account = {"email": f"{uuid.uuid4()}@example.com", "password": "correct horse battery staple"}
        await ask("POST", f"{ISSUER}/v1/users", account)
        self.session = await ask("POST", f"{ISSUER}/v1/sessions", account)
        return self

    async def renew(self):
        self.session = await ask("POST", f"{ISSUER}/v1/tokens", {"refresh_token": self.session["refresh_token"]})
        self.renewals += 1
        return self.session["access_token"]

    async def call(self, method, path, body=None):
        return await ask(method, ISSUER + path, body, self.session["access_token"])

    async def order(self, title, price):
        return await self.call("POST", "/v1/data/orders", {"title": title, "price": price, "status": "open"})

    async def change(self, order, **patch):
        return await self.call("PATCH", f"/v1/data/orders/{order}", patch)

    async def remove(self, order):
        await self.call("DELETE", f"/v1/data/orders/{order}")


class Told(SubscriptionEventHandler):
    def __init__(self):
        self.changes, self.offsets, self.subscribed = [], [], []

    async def on_subscribed(self, context):
        self.subscribed.append(context)

    async def on_publication(self, context):
        self.changes.append(context.pub.data)
        self.offsets.append(context.pub.offset)


class Line(ClientEventHandler):
    def __init__(self):
        self.connected, self.errors, self.ended = [], [], None

    async def on_connected(self, context):
        self.connected.append(context)

    async def on_error(self, context):
        self.errors.append(context)

    async def on_disconnected(self, context):
        self.ended = context.code, time.monotonic()


async def main():
    ada, eve = await Person().sign_up(), await Person().sign_up()
    told, line = Told(), Line()
    client = Client(
        REALTIME, events=line, token=ada.session["access_token"], get_token=ada.renew,
        min_reconnect_delay=0.05, max_reconnect_delay=0.5, proxy=None,
    )
    orders = client.new_subscription("data:orders", events=told, data={"filter": FILTER})
    await client.connect()
    await orders.subscribe()
    await until(lambda: told.subscribed, "the subscription")
    assert told.subscribed[0].recoverable and told.subscribed[0].positioned, told.subscribed

    # Exactly what its user may see, through the filter.
    expected = []

    def seen(kind, record):
        expected.append({"type": kind, "id": record["id"], "version": record["version"], "record": record})

    async def story(title):
        order = (await ada.order(title, 5))["id"]
        await eve.renew()  # her token lives a minute, too
        await eve.order("somebody else's", 50)
        seen("enter", await ada.change(order, price=12))
        seen("update", await ada.change(order, price=13))
        version = (await ada.change(order, price=2))["version"]
        expected.append({"type": "leave", "id": order, "version": version})
        seen("enter", await ada.change(order, price=20))
        await ada.remove(order)
        expected.append({"type": "delete", "id": order, "version": version + 2})
        seen("enter", await ada.order(f"{title}, and it stays", 30))

    async def heard(what):
        await until(lambda: len(told.changes) >= len(expected), f"{what}: {told.changes}")
        assert told.changes == expected, (what, told.changes, expected)
        assert len({(change["id"], change["version"]) for change in told.changes}) == len(told.changes), (what, told.changes)
        assert told.offsets == sorted(set(told.offsets)), (what, told.offsets)

    await story("live")
    await heard("live")

    # Others go on while the line is cut, and while the replica is down.
    for begin, end in [("cut", "mend"), ("stop", "start")]:
        before = len(told.subscribed)
        await wish(begin)
        await story(f"missed by {begin}")
        await wish(end)
        await heard(f"after {begin}")
        since = told.subscribed[before:]
        assert since and all(context.recovered for context in since), (begin, since)

    # The token lives a minute; the client renews it on the same line.
    lines, failures = len(line.connected), len(line.errors)
    await until(lambda: ada.renewals, "the renewal", 90)
    await story("with a new token")
    await heard("with a new token")
    assert (len(line.connected), line.errors[failures:]) == (lines, []), (line.connected, line.errors)

    # What was told makes the table.
    copy = {}
    for change in told.changes:
        if "record" in change:
            copy[change["id"]] = change["record"]
        else:
            copy.pop(change["id"])
    table = await ada.call("GET", f"/v1/data/orders?order_by=id&limit=100&filter={urllib.parse.quote(FILTER)}")
    assert [copy[order] for order in sorted(copy)] == table["items"], (copy, table)

    # The session ends, and that is all.
    await ada.call("DELETE", f"/v1/sessions/{ada.session['session_id']}")
    begun = time.monotonic()
    await until(lambda: line.ended, "the end")
    code, at = line.ended
    assert code == 3503 and at - begun < 1, (code, at - begun)
    await asyncio.sleep(1)
    assert (client.state, len(line.connected)) == (ClientState.DISCONNECTED, lines), (client.state, line.connected)
    await heard("at the end")
    print(max(0, round((at - begun) * 1000)))


asyncio.run(main())
