"""Drives Chromium over the DevTools protocol, on a pipe: no port that a page could reach, no package to install."""

import base64
import fcntl
import json
import os
import pathlib
import queue
import subprocess
import threading
import time

PATIENCE = 30  # seconds, on a machine that has much else to do


class Failure(Exception):
    """The page did not do what it must."""


class Browser:
    """A headless Chromium with a profile of its own; `mapped` names resolve to this machine, any certificate is good."""

    def __init__(self, program, directory, mapped):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        # Above 9, so that taking 3 and 4, which Chromium wants, closes neither.
        read, write = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out))
        command = [
            program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={directory}/profile",
            "--host-resolver-rules=" + ", ".join(f"MAP {name} 127.0.0.1" for name in mapped),
            "--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
            "--disable-extensions", "--disable-gpu", "--ignore-certificate-errors", "--disable-dev-shm-usage", "--force-device-scale-factor=1",
        ]
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3</dev/fd/{read} 4>/dev/fd/{write}', "sh", *command],
            pass_fds=(read, write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(pathlib.Path(directory) / "chromium.log", "w"),
        )
        for end in (theirs_in, theirs_out, read, write):
            os.close(end)
        self.incoming, self.outgoing = os.fdopen(ours_in, "rb", 0), os.fdopen(ours_out, "wb", 0)
        self.number, self.answers, self.pages = 0, {}, {}
        self.lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        pending = b""
        while block := self.incoming.read(1 << 16):
            *messages, pending = (pending + block).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.answers[message["id"]].put(message)
                elif page := self.pages.get(message.get("sessionId")):
                    page.hear(message["method"], message["params"])

    def send(self, method, parameters={}, session=None):
        with self.lock:
            self.number += 1
            number = self.number
            answer = self.answers[number] = queue.Queue()
            message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
            self.outgoing.write(json.dumps(message).encode() + b"\0")
        try:
            got = answer.get(timeout=PATIENCE)
        except queue.Empty:
            raise Failure(f"the browser does not answer {method}") from None
        finally:
            del self.answers[number]
        if "error" in got:
            raise Failure(f"{method}: {got['error']['message']}")
        return got["result"]

    def person(self):
        """Somebody with cookies and storage of their own."""
        return self.send("Target.createBrowserContext")["browserContextId"]

    def page(self, address, person):
        return Page(self, address, person)

    def cookies(self, person):
        return self.send("Storage.getCookies", {"browserContextId": person})["cookies"]

    def stop(self):
        try:
            self.send("Browser.close")
        except (Failure, OSError):
            self.process.kill()
        self.process.wait(timeout=PATIENCE)


class Page:
    """A tab."""

    def __init__(self, browser, address, person):
        self.browser, self.person = browser, person
        self.said, self.requests, self.answers, self.loads = [], [], [], 0
        self.cookies_sent, self.cookies_set = [], []
        self.target = browser.send("Target.createTarget", {"url": "about:blank", "browserContextId": person})["targetId"]
        attached = browser.send("Target.attachToTarget", {"targetId": self.target, "flatten": True})
        self.session = attached["sessionId"]
        browser.pages[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.go(address)

    def send(self, method, **parameters):
        return self.browser.send(method, parameters, self.session)

    def hear(self, method, said):
        if method == "Log.entryAdded":
            self.said.append(said["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.said.append(" ".join(str(one.get("value", one.get("description"))) for one in said["args"]))
        elif method == "Runtime.exceptionThrown":
            self.said.append(said["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif method == "Network.requestWillBeSent":
            self.requests.append(said["request"] | {"id": said["requestId"]})
        elif method == "Network.responseReceived":
            self.answers.append(said["response"] | {"id": said["requestId"], "kind": said["type"]})
        elif method == "Network.requestWillBeSentExtraInfo":
            self.cookies_sent += [one["cookie"]["name"] for one in said["associatedCookies"] if not one["blockedReasons"]]
        elif method == "Network.responseReceivedExtraInfo":
            names = {name.lower(): value for name, value in said["headers"].items()}
            if "set-cookie" in names:
                self.cookies_set.append(names["set-cookie"])
        elif method == "Page.loadEventFired":
            self.loads += 1

    def go(self, address):
        self.loading(lambda: self.send("Page.navigate", url=address), address)

    def loading(self, act, what):
        """Does what loads a page, and waits until it is loaded."""
        before = self.loads
        act()
        until(lambda: self.loads > before, f"{what} loads")

    def run(self, script, world=None):
        """What a script says, promises awaited; throws what it throws."""
        how = {"awaitPromise": True, "returnByValue": True, "userGesture": True} | ({"contextId": world} if world else {})
        got = self.send("Runtime.evaluate", expression=script, **how)
        if "exceptionDetails" in got:
            raise Failure(f"{script[:80]}: {got['exceptionDetails'].get('exception', {}).get('description')}")
        return got["result"].get("value")

    def world(self, *scripts):
        """A world beside the page's own, with `scripts` in it: no policy forbids what runs there, and no page notices."""
        frame = self.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = self.send("Page.createIsolatedWorld", frameId=frame, worldName="tests")["executionContextId"]
        for script in scripts:
            self.run(script, world)
        return world

    def wait(self, script, what):
        until(lambda: self.run(script), what, lambda: self.run("document.body.innerText"))

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector):
        """Presses where a user would see it."""
        place = self.run(f"""(() => {{
            const target = document.querySelector({json.dumps(selector)});
            target.scrollIntoView({{ block: "center", behavior: "instant" }});
            const box = target.getBoundingClientRect();
            const at = {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }};
            const there = document.elementFromPoint(at.x, at.y);
            return target === there || target.contains(there) ? at : null;
        }})()""")
        if not place:
            raise Failure(f"nobody could click {selector}: it is not to be seen")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def type(self, selector, text):
        """Replaces what stands in an input."""
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.send("Input.insertText", text=text)

    def press(self, key):
        """Presses a key, wherever the focus is."""
        code, text = {"Tab": (9, {}), "Enter": (13, {"text": "\r"})}[key]
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def answers_of(self, address):
        return [one for one in self.answers if one["url"].startswith(address)]

    def body(self, answer):
        return self.send("Network.getResponseBody", requestId=answer["id"])["body"]

    def appear(self, width, height, scheme):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def shoot(self, place, width, height, scheme):
        self.appear(width, height, scheme)
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        pathlib.Path(place).write_bytes(base64.b64decode(shot["data"]))
        self.send("Emulation.clearDeviceMetricsOverride")

    def close(self):
        self.browser.send("Target.closeTarget", {"targetId": self.target})
        self.browser.pages.pop(self.session)


def until(condition, what, context=lambda: ""):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {PATIENCE} s {context()}")
        time.sleep(0.02)
