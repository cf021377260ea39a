"""A signed-in user without a browser: keeps cookies, follows redirects, fills the forms of Tollgate's pages as their HTML has them."""

import html.parser
import os
import urllib.parse
import uuid

import requests

ISSUER = os.environ["ISSUER"]
PASSWORD = "correct horse battery staple"


def sign_up():
    account = {"email": f"{uuid.uuid4()}@example.com", "password": PASSWORD, "name": "Ada Lovelace"}
    answer = requests.post(f"{ISSUER}/v1/users", json=account, timeout=10)
    assert answer.status_code == 201, answer.text
    return account | answer.json()


class Forms(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.forms, self.current = [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "form":
            self.current = {"action": given.get("action"), "method": given.get("method", "get"), "fields": {}, "buttons": []}
            self.forms.append(self.current)
        elif tag == "input" and self.current is not None and given.get("name"):
            self.current["fields"][given["name"]] = given.get("value") or ""
        elif tag == "button" and self.current is not None and given.get("name"):
            self.current["buttons"].append((given["name"], given.get("value") or ""))

    def handle_endtag(self, tag):
        if tag == "form":
            self.current = None


def asks(form):
    return {"password", "user_code"} & form["fields"].keys() or any(name == "decision" for name, _ in form["buttons"])


class Browser:
    def __init__(self, user):
        self.user, self.session = user, requests.Session()

    def open(self, address):
        """Where the user is sent out of the server's origin at last, or the text of the page where nothing is left to press."""
        answer = self.go("GET", address)
        for _ in range(20):
            if isinstance(answer, str):
                return answer
            form = next(filter(asks, Forms(answer.text).forms), None)
            if not form:
                return answer.text
            fields = form["fields"]
            if "password" in fields:
                fields |= {"email": self.user["email"], "password": PASSWORD}
            if ("decision", "allow") in form["buttons"]:
                fields["decision"] = "allow"
            answer = self.go("POST", urllib.parse.urljoin(answer.url, form["action"] or ""), fields)
        raise AssertionError("the pages go round in circles")

    def go(self, method, address, fields=None):
        for _ in range(20):
            if not address.startswith(f"{ISSUER}/"):
                return address
            headers = {"Origin": ISSUER, "Sec-Fetch-Site": "same-origin"} if method == "POST" else {}
            answer = self.session.request(method, address, data=fields, headers=headers, allow_redirects=False, timeout=10)
            if "location" not in answer.headers:
                assert answer.status_code < 400, f"{address} {answer.status_code} {answer.text[:500]}"
                return answer
            method, fields, address = "GET", None, urllib.parse.urljoin(address, answer.headers["location"])
        raise AssertionError("too many redirects")
