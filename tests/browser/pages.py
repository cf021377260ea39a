"""Every page of the server's own, in every state that people meet: for each language, scheme, window and hand."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.parse

from devtools import Failure, until
from places import free_port, serve

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = pathlib.Path(os.environ.get("BROWSER_WORK", ROOT / "target" / "browser"))
PAGES = ROOT / "src" / "pages"
PASSWORD = "correct horse battery staple"
PHONE, DESK = (360, 740), (1280, 800)
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
RESOURCE = "https://orders.example.com"
FEW = "openid profile account:read"
MANY = (
    "openid profile email address phone offline_access account:read account:write sessions:self records:read "
    "records:write orders:approve-without-a-second-look-whatever-they-cost"
)
# Nobody goes there: only its button is shown.
UPSTREAM = '{ id = "local", name = "Keycloak", issuer = "http://localhost:9", client_id = "tollgate" }'
SETTINGS = {
    "TOLLGATE_LIMITS__ENABLED": "false",
    "TOLLGATE_TOKENS__AUDIENCES": f'[{{ id = "{RESOURCE}", algorithm = "RS256" }}]',
    "TOLLGATE_OAUTH__REGISTRATION": "open",
    "TOLLGATE_OAUTH__REGISTERED_SCOPES": json.dumps(MANY.split()),
    "TOLLGATE_OAUTH__UPSTREAM": f"[{UPSTREAM}]",
}
# What takes room: a word without a place to break it, and an address of 100 characters.
LONG_APP = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
LONG_EMAIL = "wolfeschlegelsteinhausenbergerdorff.the.elder.of.1904@web.the-university-of-philadelphia.example.com"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/26.0 Safari/605.1.15"
LONG_AGENT = "AcmeTelevisionSetTopBoxBrowserWithoutAnySpaces/2026.11"


class Case:
    """Somebody with a language, who signs in to one app."""

    name, agent, asked = "Ada Lovelace", "Notes/1.0", None

    def __init__(self, title, language, header, email, **more):
        self.title, self.language, self.header, self.email = title, language, header, email
        vars(self).update(more)


APPS = {"shop": "The shop", "long": LONG_APP}
SHORT = {"app": "shop", "scope": FEW}
LONG = {
    "app": "long", "scope": MANY, "name": "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Sr.", "agent": LONG_AGENT,
}
ENGLISH, KOREAN = "en-GB,en;q=0.9,ko;q=0.8", "ko-KR,ko;q=0.9,en;q=0.8"
CASES = [
    Case("English", "en", ENGLISH, "ada@example.com", **SHORT),
    Case("Korean", "ko", KOREAN, "eve@example.com", **SHORT),
    Case("English, all long", "en", ENGLISH, LONG_EMAIL, **LONG),
    Case("Korean, all long", "ko", KOREAN, "k" + LONG_EMAIL[1:], **LONG),
    Case("Korean by ui_locales", "ko", ENGLISH, "ada+ko@example.com", asked="ko", **SHORT),
]


def checker():
    """HTML_CodeSniffer as pinned, fetched anew only when the pin changes."""
    place, pins = WORK / "node", (HERE / "node" / "package-lock.json").read_text()
    stamp = place / "pins"
    if not stamp.exists() or stamp.read_text() != pins:
        place.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "node" / name, place)
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=place, check=True)
        stamp.write_text(pins)
    return (place / "node_modules" / "html_codesniffer" / "build" / "HTMLCS.js").read_text()


def latin(text):
    return re.findall(r"[A-Za-z][A-Za-z@.]*", text)


def latin_of_korean():
    """The Latin words that stand in the Korean texts of the table."""
    table = "".join(path.read_text() for path in (PAGES / "view" / "words").glob("*.rs"))
    texts = [text for text in re.findall(r'"((?:[^"\\]|\\.)*)"', table) if re.search("[가-힣]", text)]
    return {word for text in texts for word in latin(re.sub(r"\{\w+\}", "", text))}


def templates():
    """What is a page, rather than a part of one."""
    every = {path.stem: path.read_text() for path in (PAGES / "templates").glob("*.html")}
    return {name for name, text in every.items() if '{% extends "base.html" %}' in text}


def scope_words(scopes):
    return [word for scope in scopes for word in ("--scope", scope)]


class Stand:
    """The server with its apps, and what looks at its pages."""

    def __init__(self, check, browser, server, directory, shots):
        self.check, self.browser, self.server, self.shots = check, browser, server, shots
        self.scripts = (checker() + "\n;0", (HERE / "look.js").read_text() + "\n;0")
        self.seen = set()
        place = directory / "apps"
        place.mkdir()
        script = "<script>document.title = 'scripted'</script>"
        (place / "callback.html").write_text(f"<!doctype html><title>The app</title>{script}")
        port = free_port()
        serve(str(place), port)
        self.host = f"localhost:{port}"
        self.callback = f"http://{self.host}/callback.html"
        self.register()

    def register(self):
        server = self.server
        server.command("role", "set", "user", *scope_words(scope for scope in MANY.split() if ":" in scope))
        for id, scope in (("shop", FEW), ("long", MANY)):
            common = ["--public", "--name", APPS[id], *scope_words(scope.split())]
            server.command("client", "create", "--id", id, *common, "--redirect-uri", self.callback)
            server.command("client", "create", "--id", f"{id}-tv", *common, "--grant", "device_code")
        # Nobody vouches for an app that registers itself.
        self.stranger = server.call("POST", "/oauth/register", body={
            "client_name": "Field Notes", "client_uri": "https://notes.example.com/", "scope": FEW,
            "redirect_uris": [self.callback], "token_endpoint_auth_method": "none",
        })["client_id"]

    def asking(self, client, scope=FEW, **more):
        query = {
            "response_type": "code", "client_id": client, "redirect_uri": self.callback, "scope": scope,
            "state": "of the app", "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        }
        return f"{self.server.address}/oauth/authorize?{urllib.parse.urlencode(query | more)}"

    def visit(self, header):
        """A tab of somebody whose browser asks for these languages."""
        page = self.browser.page("about:blank", self.browser.person())
        page.send("Network.setExtraHTTPHeaders", headers={"Accept-Language": header})
        page.send("Emulation.setFocusEmulationEnabled", enabled=True)
        page.appear(*PHONE, "light")
        return page

    def device(self, case):
        """A code that a device shows."""
        body = urllib.parse.urlencode({"client_id": f"{case.app}-tv", "scope": case.scope})
        return self.server.call("POST", "/oauth/device_authorization", form=body, agent=case.agent)["user_code"]


class Walk:
    """One person who comes past every page, and what is wrong with what they see."""

    KINDS = {
        "sniff": "HTML_CodeSniffer finds no error (WCAG 2 AA)",
        "language": "every page says that it is in this language, and is",
        "scheme": "light is light, and dark is dark",
        "faint": "text and fields stand out from what is behind them",
        "cramped": "nothing is cut off, sticks out or needs sideways scrolling",
        "small": "every control is at least 24 x 24 pixels",
        "keyboard": "Tab comes to every control, in the order in which they stand, and plainly shows where it is",
        "console": "no word on the console",
    }

    def __init__(self, stand, case):
        self.stand, self.case = stand, case
        self.wrong = {kind: [] for kind in self.KINDS}
        self.looks = 0
        self.page = stand.visit(case.header)
        self.names = latin_of_korean() | {case.email, case.name, case.agent, APPS[case.app], RESOURCE}
        self.names |= {"Tollgate", "Keycloak", "Field Notes", "notes.example.com", stand.host}
        self.names |= {"UTC", "Chrome", "Linux", "Safari", "macOS"}

    def go(self, path):
        self.page.go(path if path.startswith("http") else self.stand.server.address + path)

    def press(self, selector):
        self.page.loading(lambda: self.page.click(selector), selector)

    def fill(self, **fields):
        """Fills a form in; what browsers would hold back is sent all the same, as by one that does not know how."""
        for name, text in fields.items():
            self.page.type(f"[name={name}]:not([type=hidden], [hidden])", text)
        self.page.run("for (const form of document.forms) form.noValidate = true")

    def look(self, template, state):
        """Looks at the page that is there from all sides."""
        name = f"{template}, {state}"
        self.looks += 1
        self.stand.seen.add(template)
        world = self.page.world(*self.stand.scripts)

        def ask(kind, script, where=""):
            self.wrong[kind] += [f"{name}{where}: {one}" for one in self.page.run(script, world)]

        self.words(name, world)
        if self.case.asked:
            return
        for scheme in ("light", "dark"):
            self.page.appear(*PHONE, scheme)
            ask("sniff", "look.sniff()", f", {scheme}")
            ask("faint", "look.faint()", f", {scheme}")
            if (self.page.run("look.light()", world) > 0.5) != (scheme == "light"):
                self.wrong["scheme"].append(f"{name}, {scheme}")
        for width, height in (DESK, PHONE):
            self.page.appear(width, height, "light")
            ask("cramped", f"look.cramped({width})", f", {width} wide")
            ask("keyboard", "look.astray()", f", {width} wide")
        ask("small", "look.small()")
        self.tab(name, world)
        self.shoot(template, state)

    def words(self, name, world):
        said = self.page.run("look.language()", world)
        if said != self.case.language:
            self.wrong["language"].append(f"{name}: it says {said}")
        for text in self.page.run("look.words()", world):
            rest = text
            for known in sorted(self.names, key=len, reverse=True):
                rest = rest.replace(known, "")
            if latin(rest) if self.case.language == "ko" else re.search("[가-힣]", text):
                self.wrong["language"].append(f"{name}: {text.strip()}")

    def tab(self, name, world):
        controls = self.page.run("look.prepare()", world)
        for kind in ("mousePressed", "mouseReleased"):
            self.page.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, x=2, y=2)
        for number, control in enumerate(controls):
            self.page.press("Tab")
            wanted, got = {"at": number, "plain": True, "there": True}, self.page.run("look.focus()", world)
            for _ in range(20):
                if got == wanted:
                    break
                # It may scroll there a moment later.
                time.sleep(0.1)
                got = self.page.run("look.focus()", world)
            if got != wanted:
                self.wrong["keyboard"].append(f"{name}: Tab {number + 1} should plainly be on {control}, but is {got}")

    def shoot(self, template, state):
        if self.stand.shots:
            self.page.run("document.activeElement.blur()")
            file = f"page-{self.case.language}-{self.case.app}-{template}-{state.replace(' ', '-')}"
            for scheme in ("light", "dark"):
                self.page.shoot(self.stand.shots / f"{file}-{scheme}.png", *PHONE, scheme)
            self.page.appear(*PHONE, "light")

    def end(self):
        # Chromium says there which pages came with a status of 4xx, as they must.
        self.wrong["console"] = [said for said in self.page.said if "responded with a status of 4" not in said]
        for kind, what in self.KINDS.items():
            if not self.case.asked or kind == "language":
                wrong = self.wrong[kind]
                otherwise = "\n".join([f"{len(wrong)} times", *wrong])
                self.stand.check(f"{self.case.title}, {self.looks} looks: {what}", not wrong, otherwise)
        self.page.close()


def signing_in(walk):
    stand, case = walk.stand, walk.case
    asked = {"ui_locales": case.asked} if case.asked else {}
    if not case.asked:
        walk.go("/oauth/sign-in")
        walk.look("sign_in", "fresh")
        walk.go("/oauth/sign-up")
        walk.look("sign_up", "fresh")
    walk.go(stand.asking(case.app, case.scope, resource=RESOURCE, **asked))
    walk.look("sign_in", "for an app")
    walk.fill(email=case.email, password="a wrong one")
    walk.press("button.primary")
    walk.look("sign_in", "after a wrong password")
    walk.press("a[href*=sign-up]")
    walk.look("sign_up", "for an app")
    walk.fill(name="W" * 201, email=case.email.replace("@", ""), password="")
    walk.press("button.primary")
    walk.look("sign_up", "with problems")
    walk.fill(name=case.name, email=case.email, password=PASSWORD)
    walk.press("button.primary")
    walk.look("consent", "for an app")
    walk.press("button[value=allow]")
    back_in_the_app(walk)
    walk.go(stand.asking(case.app, case.scope, prompt="select_account", **asked))
    walk.look("select_account", "of one")
    walk.go(stand.asking(case.app, case.scope, prompt="login", **asked))
    walk.look("sign_in", "once more")
    walk.go(stand.asking(stand.stranger, **asked))
    walk.look("consent", "of a stranger")
    walk.press("button[value=allow]")
    back_in_the_app(walk)


def back_in_the_app(walk):
    address = walk.page.run("location.href")
    if not address.startswith(walk.stand.callback) or "code=" not in address:
        raise Failure(f"nobody is back in the app with a code: {address}")


def going_back(walk):
    """Where the app wants its answer in a form, which a script sends, or else the person."""
    walk.page.send("Emulation.setScriptExecutionDisabled", value=True)
    walk.go(walk.stand.asking(walk.case.app, walk.case.scope, resource=RESOURCE, response_mode="form_post"))
    walk.look("form_post", "without scripts")
    walk.press("button.primary")
    walk.page.send("Emulation.setScriptExecutionDisabled", value=False)


def devices(walk):
    stand, case = walk.stand, walk.case
    walk.go("/device")
    walk.look("device_code", "fresh")
    walk.fill(user_code="BCDF-GHJK")
    walk.press("button.primary")
    walk.look("device_code", "with an unknown code")
    for decision in ("allow", "deny"):
        code = stand.device(case)
        walk.names.add(code)
        walk.go(f"/device?user_code={code}")
        walk.press("button.primary")
        if decision == "allow":
            walk.look("device_confirm", "of a device")
        walk.press(f"button[value={decision}]")
        walk.look("device_done", decision)


def errors(walk):
    stand, case = walk.stand, walk.case
    asked = {"ui_locales": case.asked} if case.asked else {}
    walk.go(stand.asking("nobody", **asked))
    walk.look("failure", "unknown client")
    walk.go(stand.asking(case.app, redirect_uri="https://elsewhere.example.com/", **asked))
    walk.look("failure", "unknown address")


def account(walk):
    who = {"email": walk.case.email, "password": PASSWORD}
    for agent in (MAC, walk.case.agent):
        elsewhere = walk.stand.server.call("POST", "/v1/sessions", body=who, agent=agent)
    walk.go("/oauth/account")
    walk.look("account", "with devices and apps")
    walk.fill(name="W" * 201)
    walk.press("section:has(#profile) button")
    walk.look("account", "with a long name")
    walk.fill(current_password="a wrong one", new_password=f"{PASSWORD}!")
    walk.press("section:has(#password) button")
    walk.look("account", "with a wrong password")
    walk.fill(current_password=PASSWORD, new_password="short")
    walk.press("section:has(#password) button")
    walk.look("account", "with a short password")
    walk.press(f"[action*='{elsewhere['session_id']}'] button")
    walk.look("account", "without a device")
    # As where another tab was faster.
    walk.page.run("document.querySelector('[name=client_id]').value = 'withdrawn'")
    walk.press("[action$=revoke] button")
    walk.look("failure", "not found")


def signing_out(walk):
    stand, case = walk.stand, walk.case
    asked = f"&ui_locales={case.asked}" if case.asked else ""
    walk.go(f"/oauth/logout?client_id={stand.stranger}{asked}")
    walk.look("sign_out", "asked by an app")
    walk.press("button.primary")
    walk.look("signed_out", "from an app")
    if not case.asked:
        walk.go("/oauth/signed-out")
        walk.look("signed_out", "from no app")


def take(stand, case):
    walk = Walk(stand, case)
    try:
        parts = [signing_in, errors] if case.asked else [signing_in, going_back, devices, errors, account]
        for part in (*parts, signing_out):
            part(walk)
    finally:
        walk.end()


def without_scripts(stand):
    """By keyboard alone, with scripts switched off, from the sign-in page to the app."""
    page, check = stand.visit("en"), stand.check
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.go(stand.asking("shop", prompt="consent"))
    page.send("Input.insertText", text=CASES[0].email)
    page.press("Tab")
    page.send("Input.insertText", text=PASSWORD)
    page.loading(lambda: page.press("Enter"), "the consent page")
    for _ in range(3):
        page.press("Tab")
    focus = page.run("document.activeElement.value")
    check("signed in by keyboard without scripts, the third stop is Allow", focus == "allow", page.text("body"))
    page.loading(lambda: page.press("Enter"), "the app")
    address = page.run("location.href")
    check("Allow leads back to the app, with a code", address.startswith(f"{stand.callback}?code="), address)
    page.go(stand.asking("shop", response_mode="form_post"))
    page.press("Tab")
    page.loading(lambda: page.press("Enter"), "the app")

    def answers():
        return [one.get("postData", "") for one in page.requests if one["url"] == stand.callback]

    check("the answer in a form, too", len(answers()) == 1 and answers()[0].startswith("code="), answers())
    check("no script has run", page.run("document.title") == "The app", page.run("document.title"))
    page.send("Emulation.setScriptExecutionDisabled", value=False)
    page.go(stand.asking("shop", response_mode="form_post"))
    until(lambda: len(answers()) == 2, "the form sends itself")
    check("where scripts run, the form sends itself", answers()[1].startswith("code="), answers())
    page.close()


def own_language(stand):
    """Who chooses a language in the account is spoken to in it, whatever the browser says."""
    page, language = stand.visit("en"), "document.documentElement.lang"
    page.go(f"{stand.server.address}/oauth/sign-in")
    page.type("[name=email]", CASES[0].email)
    page.type("[name=password]", PASSWORD)
    page.loading(lambda: page.click("button.primary"), "the account")
    page.run("document.querySelector('[name=locale]').value = 'ko'")
    page.loading(lambda: page.click("section:has(#profile) button"), "the account")
    stand.check("the account speaks its owner's language", page.run(language) == "ko", page.text("body"))
    page.loading(lambda: page.click(".top button"), "signed out")
    stand.check("and says so when they have signed out", page.run(language) == "ko", page.text("body"))
    page.close()


def check_pages(check, browser, server, directory, shots):
    """Every part of it, on a server with SETTINGS."""
    stand = Stand(check, browser, server, directory, shots)
    for case in CASES:
        with check.part(f"every page, {case.title}"):
            take(stand, case)
    for name, part in [("without scripts or a mouse", without_scripts), ("in a language of one's own", own_language)]:
        with check.part(f"pages {name}"):
            part(stand)
    # It takes a provider, and tests/oauth/upstream comes by.
    unseen = templates() - stand.seen - {"link"}
    check("no template was left out", not unseen, unseen)
