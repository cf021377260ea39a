"""The OAuth workloads of `run`: clients, a signed-in browser, codes to redeem, and the statements of redeeming one."""

import base64
import hashlib
import http.client
import json
import re
import secrets
import urllib.parse

SECRET = secrets.token_urlsafe(36)
VERIFIER = secrets.token_urlsafe(48)
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CALLBACK = "https://client.example/callback"
SECONDS = 2
# More than can be redeemed meanwhile.
CODES = 3200
PEOPLE = 16


def register(port, administrator):
    """A client for itself, and one that signs people in without asking them."""
    own = {"token_endpoint_auth_method": "client_secret_post", "grant_types": ["client_credentials"], "scope": "users:read"}
    app = {
        "token_endpoint_auth_method": "client_secret_post", "redirect_uris": [CALLBACK], "first_party": True,
        "grant_types": ["authorization_code", "refresh_token"], "scope": "openid profile email",
    }
    for name, metadata in [("machine", own), ("app", app)]:
        body = json.dumps({"client_id": name, "client_secret": SECRET, "metadata": metadata})
        status, _, text = exchange(port, "POST", "/v1/clients", body, {"Content-Type": "application/json", "Authorization": administrator})
        assert status == 201, text


def exchange(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.headers, text


def form(**fields):
    return urllib.parse.urlencode(fields)


class Browser:
    """Somebody who is signed in at the pages."""

    def __init__(self, port, issuer, account):
        self.port = port
        self.authorize = "/oauth/authorize?" + form(
            client_id="app", response_type="code", redirect_uri=CALLBACK, scope="openid profile email",
            code_challenge=CHALLENGE, code_challenge_method="S256",
        )
        status, headers, _ = exchange(port, "GET", self.authorize)
        page = headers["Location"]
        status, headers, text = exchange(port, "GET", page)
        cookie = headers["Set-Cookie"].split(";")[0]
        hidden = dict(re.findall(r'name="(csrf|request)" value="([^"]*)"', text))
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": issuer, "Cookie": cookie}
        status, headers, text = exchange(port, "POST", "/oauth/sign-in", form(**hidden, **account), headers)
        assert status == 303, text
        self.cookie = headers["Set-Cookie"].split(";")[0]

    def codes(self, count):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        for _ in range(count):
            connection.request("GET", self.authorize, headers={"Cookie": self.cookie})
            response = connection.getresponse()
            response.read()
            query = urllib.parse.urlsplit(response.headers["Location"]).query
            yield dict(urllib.parse.parse_qsl(query))["code"]
        connection.close()


def redeem(**code):
    return form(grant_type="authorization_code", client_id="app", client_secret=SECRET, code_verifier=VERIFIER, redirect_uri=CALLBACK, **code)


def tokens(port, browser):
    [code] = browser.codes(1)
    status, _, text = exchange(port, "POST", "/oauth/token", redeem(code=code), {"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 200, text
    return json.loads(text)


def redeem_all(server, browsers, scripts, environment):
    """Redeems many codes of several people, some at the same time."""
    files = {"CODES": server.directory / "codes", "FORM": server.directory / "form"}
    codes = zip(*(browser.codes(CODES // len(browsers)) for browser in browsers))
    files["CODES"].write_text("".join(code + "\n" for some in codes for code in some))
    files["FORM"].write_text(redeem())
    environment = environment | {name: str(path) for name, path in files.items()}
    return server.load("/oauth/token", script=scripts / "redeem.lua", environment=environment, seconds=SECONDS)


# What redeeming can't do without: to find and hold the code, to read whose it is, to write down the session, the event and the use.
STATEMENTS = """begin;
select authorization_codes.*, users.disabled, sessions.ended_at from users
    join authorization_codes on authorization_codes.user_id = users.id join sessions on sessions.id = authorization_codes.page_id
    where authorization_codes.id = (:codes::bytea[])[:client_id + 1] for update;
select users.*, array(select roles.name || ' ' || array_to_string(roles.scopes, ' ')
    from user_roles join roles on roles.name = user_roles.role where user_roles.user_id = users.id) from users where id = (:users::uuid[])[:client_id + 1];
insert into sessions (id, user_id, client_id, scopes, rotated_at, refresh_exp, absolute_exp, auth_time, acr, amr)
    values (gen_random_uuid(), (:users::uuid[])[:client_id + 1], 'app', '{openid}', now(), now() + interval '1 hour', now() + interval '1 hour', now(), '1', '{pwd}')
    returning *;
insert into audit_events (id, action, actor_id, subject_id, client_id, details)
    values (gen_random_uuid(), 'session.created', (:users::uuid[])[:client_id + 1], (:users::uuid[])[:client_id + 1], 'app', '{}');
update authorization_codes set session_id = gen_random_uuid()
    where id = (:codes::bytea[])[:client_id + 1];
commit;
"""
# A code for each of pgbench's clients, and whose it is.
SOME_CODES = "select array_agg(id), array_agg(user_id) from (select distinct on (user_id) id, user_id from authorization_codes order by user_id limit 4) as few"


def script(path, body, header="application/x-www-form-urlencoded"):
    """A script for wrk that posts the same body again and again."""
    path.write_text(f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "{header}"\nwrk.body = [[{body}]]\n')
    return path
