"""A single-page app on another origin signs in with oidc-client-ts, in a real browser, through the real pages.

Usage: spa.py DIRECTORY, where oidc-client-ts is installed. Everything else comes from the environment, as `run` sets it.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "browser"))

from devtools import Browser, Failure, until
from places import serve

ISSUER, SPA, IS_REFERENCE = os.environ["ISSUER"], os.environ["SPA"], os.environ.get("REFERENCE") == "1"
PASSWORD = "correct horse battery staple"
SCOPE = "openid profile email offline_access account:read"


def step(name, holds, otherwise=""):
    if not holds:
        print(f"FAILED  {name}: {str(otherwise)[:2000]}", flush=True)
        raise SystemExit(1)
    print(f"ok      {name}", flush=True)


def ask(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(ISSUER + path, json.dumps(body).encode() if body else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None


def soon(page, script, what):
    """Waits for what a page says, though it goes from address to address meanwhile."""

    def holds():
        try:
            return page.run(script)
        except Failure:
            return False

    def context():
        try:
            return page.run("location.href + ' ' + document.body.innerText"), page.said
        except Failure as error:
            return error

    until(holds, what, context)


def home(page, state):
    soon(page, f"location.href.startsWith({json.dumps(SPA + '/')}) && document.body.dataset.done === 'yes' && document.querySelector('#state').innerText.startsWith({json.dumps(state)})", f"the app says {state}")


def sign_in_by_page(page, email):
    soon(page, "document.querySelector('[name=password]') && document.readyState === 'complete'", "the sign-in page")
    step("the sign-in page is the server's", page.run("location.origin") == ISSUER, page.run("location.href"))
    page.type("[name=email]", email)
    page.type("[name=password]", PASSWORD)
    page.click("form:has([name=password]) button:not([type=button])")


def allow(page):
    soon(page, "document.querySelector('button[name=decision][value=allow]') && document.readyState === 'complete'", "the consent page")
    page.click("button[name=decision][value=allow]")


def back_or_asked(page, path):
    """The server may send the user back at once, or ask first."""
    back, asked = f"location.href.startsWith({json.dumps(SPA + path)})", "document.querySelector('button[name=decision][value=allow]')"
    soon(page, f"{back} || ({asked} && document.readyState === 'complete')", "back, or asked")
    if not page.run(back):
        page.click("button[name=decision][value=allow]")


def at_once(*pages):
    """Lets tabs renew at the same time; what each got."""
    got, gate = {}, threading.Barrier(len(pages))

    def renew(number, page):
        gate.wait()
        got[number] = page.run("app.manager.signinSilent().then((user) => ({ access: user.access_token, refresh: user.refresh_token }), (error) => ({ error: String(error) }))")

    threads = [threading.Thread(target=renew, args=one) for one in enumerate(pages)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [got.get(number, {"error": "no answer"}) for number in range(len(pages))]


def quiet(*pages):
    return [said for page in pages for said in page.said]


def drive(browser):
    email = f"{uuid.uuid4()}@example.com"
    status, user = ask("POST", "/v1/users", {"email": email, "password": PASSWORD, "name": "Ada Lovelace"})
    step("a user", status == 201, status)
    person = browser.person()
    page = browser.page(f"{SPA}/", person)
    home(page, "signed out")

    page.click("#sign-in")
    sign_in_by_page(page, email)
    allow(page)
    home(page, f"signed in as {email}")
    step("signed in by redirect, with consent, and back with the app's own state", page.run("sessionStorage.getItem('from')") == "the test")
    first = page.run("app.user()")
    profile = first["profile"]
    step("the profile: ID token and userinfo together", profile["sub"] == user["id"] and profile["email"] == email and profile["name"] == "Ada Lovelace", profile)
    me = page.run("app.me()")
    step("/v1/users/me across origins", me["status"] == 200 and me["body"]["id"] == user["id"], me)
    step("the access token is no longer than a cookie or a header may be", 0 < len(first["access"]) < 3500 and first["refresh"])

    page.run("app.manager.signinSilent().then(() => true)")
    second = page.run("app.user()")
    step("renewed by the refresh token", second["access"] != first["access"] and page.run("app.me()")["status"] == 200, second)
    step("a renewal keeps profile and ID token", second["profile"]["email"] == email and second["id"], second["profile"])

    page.run("app.manager.signinSilent({ forceIframeAuth: true }).then(() => true)")
    third = page.run("app.user()")
    step("renewed in a hidden frame, prompt=none", third["access"] != second["access"] and page.run("app.me()")["status"] == 200, third)

    page.go(f"{SPA}/?renew={third['expires_in'] - 2}")
    home(page, "signed in")
    soon(page, f"app.user().then((user) => user.access !== {json.dumps(third['access'])})", "renewed by its timer")
    step("renewed by itself before the token ends", page.run("app.me()")["status"] == 200)
    page.go(f"{SPA}/")
    home(page, "signed in")

    other = browser.page(f"{SPA}/", person)
    home(other, f"signed in as {email}")
    step("a second tab is signed in as well", other.run("app.me()")["status"] == 200)
    for number in range(5):
        got = at_once(page, other)
        step(f"two tabs renew at once, {number + 1} of 5", all("error" not in one for one in got), got)
        step("both are signed in", all(tab.run("app.me()")["status"] == 200 for tab in (page, other)))
    for tab in (page, other):
        tab.run("app.manager.signinSilent().then(() => true)")
    step("and each renews afterwards", all(tab.run("app.me()")["status"] == 200 for tab in (page, other)))
    page.go(f"{SPA}/")
    home(page, f"signed in as {email}")
    step("a reload stays signed in", True)

    token = page.run("app.user()")["access"]
    page.click("#sign-out")
    back_or_asked(page, "/signed-out.html")
    home(page, "signed out: bye & thanks")
    step("signed out, on the app's own page, with its state", page.run("location.pathname") == "/signed-out.html", page.run("location.href"))
    status, _ = ask("GET", "/v1/users/me", token=token)
    step("the old access token is dead", status == 401, status)
    kept = page.run("Object.keys(localStorage).filter((name) => name.startsWith('oidc.'))")
    step("nothing is kept in the browser's storage", kept == [], kept)

    step("no word on the console, on any page", quiet(page, other) == [], quiet(page, other))
    step("the authorization endpoint has no CORS", not any("access-control-allow-origin" in {name.lower() for name in one["headers"]} for one in page.answers if "/oauth/authorize" in one["url"]))

    page.go(f"{SPA}/")
    home(page, "signed out")
    page.click("#sign-in")
    sign_in_by_page(page, email)
    back_or_asked(page, "/")
    home(page, f"signed in as {email}")
    step("signing in again asks for the password", True)

    page.run("app.manager.revokeTokens()")
    page.run("app.manager.removeUser()")
    step("tokens are revoked across origins", quiet(page) == [], quiet(page))


def prove(browser):
    """The same app with DPoP: its key never leaves the browser."""
    email = f"{uuid.uuid4()}@example.com"
    _, user = ask("POST", "/v1/users", {"email": email, "password": PASSWORD, "name": "Ada Lovelace"})
    page = browser.page(f"{SPA}/", browser.person())
    home(page, "signed out")
    page.run("localStorage.setItem('proves', 'yes')")
    page.go(f"{SPA}/")
    home(page, "signed out")
    page.click("#sign-in")
    sign_in_by_page(page, email)
    back_or_asked(page, "/")
    home(page, "signed in")
    asked = [one for one in page.requests if one["url"] == f"{ISSUER}/oauth/token" and one["method"] == "POST"]
    step("DPoP: the nonce is read across origins, and sent", len(asked) == 2, [one["headers"] for one in asked])
    step("DPoP: the token is bound", page.run("app.manager.getUser().then((user) => user.token_type)") == "DPoP")
    if not IS_REFERENCE:
        me = page.run("app.me()")
        step("DPoP: /v1/users/me across origins", me["status"] == 200 and me["body"]["id"] == user["id"], me)
        token = page.run("app.user()")["access"]
        status, _ = ask("GET", "/v1/users/me", token=token)
        step("DPoP: the token alone opens nothing", status == 401, status)
    before = page.run("app.user()")["access"]
    page.run("app.manager.signinSilent().then(() => true)")
    step("DPoP: renewed with a proof", page.run("app.user()")["access"] != before)
    # Chromium says on the console which requests were refused, as those without a nonce are.
    odd = [said for said in quiet(page) if "status of 400" not in said and "status of 401" not in said]
    step("DPoP: no other word on the console", odd == [], odd)


def main():
    place = pathlib.Path(sys.argv[1])
    shutil.copy(place / "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js", place / "spa")
    (place / "spa" / "settings.json").write_text(json.dumps({"authority": ISSUER, "clients": {"bearer": "spa", "dpop": "spa-dpop"}, "scope": SCOPE}))
    serve(place / "spa", urllib.parse.urlsplit(SPA).port)
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    directory = tempfile.mkdtemp(prefix="tollgate-spa-")
    browser = Browser(program, directory, [])
    try:
        drive(browser)
        prove(browser)
    except Failure as error:
        print(f"FAILED  {error}", flush=True)
        raise SystemExit(1)
    finally:
        browser.stop()
        shutil.rmtree(directory, ignore_errors=True)


main()
