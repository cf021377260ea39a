"""Requests that two parsers may read differently. Most hide a second request, to /problems/smuggled, in a body."""

import re
import typing

REFUSED = (400,)

# Chunks in which proxies take for an end of line what is none (RFC 9112 section 7.1): they see two requests, and send two
# on, each with a length of its own, so that replicas see the same two.
LENIENT = ("chunk size: a space within", "chunk size: bare LF", "chunk size: extension with bare LF", "chunk that ends with LF")


class Case(typing.NamedTuple):
    name: str
    data: bytes
    # What a server that is asked directly may say.
    direct: tuple
    # Where one request ends is in doubt, so a server that refuses it must read no further.
    doubtful: bool = True


class Response(typing.NamedTuple):
    status: int
    head: bytes
    body: bytes


def responses(received):
    """The final responses in the bytes that came; one that is cut off counts."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        if not status:
            # Not a response: what follows can't be told apart any more.
            found.append(Response(0, head, rest))
            break
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        if re.search(rb"(?im)^transfer-encoding: *chunked", head):
            end = rest.find(b"0\r\n\r\n")
            size = len(rest) if end < 0 else end + 5
        else:
            size = int(length[1]) if length else 0 if status[1] in (b"100", b"101", b"204", b"304") else len(rest)
        if status[1] != b"100":
            found.append(Response(int(status[1]), head, rest[:size]))
        received = rest[size:]
    return found


def cases(host):
    smuggled = f"GET /problems/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    size = len(smuggled)
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (size, smuggled)
    found = []

    def post(name, headers, body, direct=REFUSED, version="1.1", method="POST", target="/v1/tokens", doubtful=True):
        head = f"{method} {target} HTTP/{version}\r\nHost: {host}\r\nContent-Type: application/json\r\n".encode()
        headers = headers.encode("latin-1") if isinstance(headers, str) else headers
        found.append(Case(name, head + headers + b"\r\n" + body, direct, doubtful))

    def get(name, text, direct=REFUSED):
        text = text.encode("latin-1") if isinstance(text, str) else text
        found.append(Case(name, text, direct))

    te, end = "Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"
    # Two lengths.
    post("CL.TE", f"Content-Length: {5 + size}\r\n{te}", end + smuggled)
    post("TE.CL", f"{te}Content-Length: 4\r\n", chunk)
    post("Content-Length: 0 and chunked", f"Content-Length: 0\r\n{te}", chunk)
    post("two Content-Lengths, the first 0", f"Content-Length: 0\r\nContent-Length: {size}\r\n", smuggled)
    post("two Content-Lengths, the second 0", f"Content-Length: {size}\r\nContent-Length: 0\r\n", smuggled)
    post("the same Content-Length twice", f"Content-Length: {size}\r\n" * 2, smuggled)
    for value in (f"0, {size}", f"{size}, {size}", "+0", f"+{size}", "-1", "0x0", "1 0", "", "18446744073709551616", f"{size}.0", "\x0b0"):
        post(f"Content-Length: {value!r}", f"Content-Length: {value}\r\n", smuggled)
    post("Content-Length : 0", "Content-Length : 0\r\n", smuggled)
    # Is it chunked?
    for line in (
        "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: chunked, chunked",
        'Transfer-Encoding: "chunked"', "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\x0c",
        "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: identity", "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "\0Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked\0",
    ):  # fmt: skip
        post(f"{line!r}", f"{line}\r\n", chunk)
        post(f"{line!r}, Content-Length: {size}", f"Content-Length: {size}\r\n{line}\r\n", smuggled)
    post("chunked in HTTP/1.0", te, chunk, version="1.0")
    # The first line of the header starts with a space.
    get("space before the first header", f"GET /problems/not-found HTTP/1.1\r\n Host: {host}\r\n\r\n")
    # Where does a chunk end?
    for name, body in (
        ("0x", b"0x0\r\n\r\n"), ("+", b"+0\r\n\r\n"), ("-", b"-1\r\n\r\n"), ("none", b"\r\n\r\n"), ("a word", b"zero\r\n\r\n"),
        ("17 digits", b"10000000000000000\r\n\r\n"), ("a space before", b" 0\r\n\r\n"), ("a space within", b"0 0\r\n\r\n"),
        ("NUL", b"0\0\r\n\r\n"), ("bare LF", b"2\nab\r\n0\r\n\r\n"), ("bare CR", b"2\rab\r\n0\r\n\r\n"),
        ("extension with bare LF", b"2;\nab\r\n0\r\n\r\n"), ("extension with bare CR", b"2;x\ry\r\nab\r\n0\r\n\r\n"),
    ):  # fmt: skip
        post(f"chunk size: {name}", te, body + smuggled)
    post("chunk longer than its size", te, b"2\r\nabcd\r\n0\r\n\r\n" + smuggled)
    post("chunk that ends with LF", te, b"2\r\nab\n0\r\n\r\n" + smuggled)
    post("chunk that ends with CR CR", te, b"2\r\nab\r\r0\r\n\r\n" + smuggled)
    # Lengths that are right: one request, whatever it carries.
    right = {"doubtful": False}
    post("body that looks like a request", f"Content-Length: {size}\r\n", smuggled, **right)
    post("chunk that looks like a request", te, chunk, **right)
    post("trailers that look like headers", te, b"2\r\n{}\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n", (400, 401, 422), **right)
    post("body where there is no route", f"Content-Length: {size}\r\n", smuggled, (404,), target="/nowhere", **right)
    post("Expect with a body", f"Expect: 100-continue\r\nContent-Length: {size}\r\n", smuggled, **right)
    right |= {"direct": (200, 400), "method": "GET", "target": "/problems/not-found"}
    post("GET with a body", f"Content-Length: {size}\r\n", smuggled, **right)
    post("GET with chunks", te, chunk, **right)
    upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: {size}\r\n"
    post("WebSocket with a body", upgrade, smuggled, **right)
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    found.append(
        Case("h2c", f"GET /problems/not-found HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n".encode(), (200, 400))
    )
    # Heads, with nothing behind them: whoever understands them would rightly answer that too. A server may take a bare LF
    # for the end of a line (RFC 9112 section 2.2).
    plain = f"GET /problems/not-found HTTP/1.1\nHost: {host}\n\n".encode()
    found.append(Case("bare LF", plain, (200, 400)))
    found.append(Case("bare LF after one header", plain.replace(b"\n", b"\r\n").replace(b"1.1\r\n", b"1.1\r\nX: y\n"), (200, 400)))
    line = f"GET /problems/not-found HTTP/1.1\r\nHost: {host}\r\n"
    get("obs-fold", f"{line}X: y\r\n z\r\n\r\n")
    get("NUL in a value", f"{line}X: y\0z\r\n\r\n")
    get("NUL in a name", f"{line}X\0: y\r\n\r\n")
    get("CR in a value", f"{line}X: y\rz\r\n\r\n")
    get("no colon", f"{line}X\r\n\r\n")
    get("no name", f"{line}: y\r\n\r\n")
    get("space in a name", f"{line}X Y: z\r\n\r\n")
    get("space after a name", f"{line}X : z\r\n\r\n")
    get("NUL in the path", line.replace("not-found", "not\0found") + "\r\n")
    get("space in the path", line.replace("not-found", "not found") + "\r\n")
    get("two spaces", line.replace("GET ", "GET  ") + "\r\n")
    get("tab", line.replace("GET ", "GET\t") + "\r\n")
    get("HTTP/0.9", "GET /problems/not-found\r\n")
    get("HTTP/1.1 without Host", "GET /problems/not-found HTTP/1.1\r\n\r\n")
    get("HTTP/1.2", line.replace("HTTP/1.1", "HTTP/1.2") + "\r\n", (400, 505))
    get("HTTP/2.0", line.replace("HTTP/1.1", "HTTP/2.0") + "\r\n", (400, 505))
    get("HTTP/1.10", line.replace("HTTP/1.1", "HTTP/1.10") + "\r\n", (400, 505))
    # Whose request is it? What is refused for its Host need not end the connection.
    foreign = (400, 404, 421)
    for name, lines in (
        ("two Hosts", f"/ HTTP/1.1\r\nHost: {host}\r\nHost: evil.example"),
        ("the same Host twice", f"/ HTTP/1.1\r\nHost: {host}\r\nHost: {host}"),
        ("Host with a space", f"/ HTTP/1.1\r\nHost: {host} evil.example"),
        ("Host with a slash", f"/ HTTP/1.1\r\nHost: {host}/evil.example"),
        ("Host with a name of a user", f"/ HTTP/1.1\r\nHost: {host}@evil.example"),
        ("Host with a port that is none", f"/ HTTP/1.1\r\nHost: {host}:evil"),
        ("Host: two names", f"/ HTTP/1.1\r\nHost: {host}, evil.example"),
        ("Host: empty", "/ HTTP/1.1\r\nHost:"),
    ):
        found.append(Case(name, f"GET {lines.replace('/ ', '/problems/not-found ', 1)}\r\n\r\n".encode(), REFUSED, False))
    found.append(Case("absolute form, foreign", f"GET http://evil.example/problems/not-found HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), foreign))
    found.append(Case("absolute form, foreign Host", f"GET http://{host}/problems/not-found HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode(), (200, *foreign)))
    found.append(Case("CONNECT", f"CONNECT evil.example:443 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), (400, 404, 405, 421, 501)))
    return found
