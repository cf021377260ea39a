"""The server with a database of its own, and the origins whose pages talk to it."""

import asyncio
import contextlib
import functools
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid


def free_port(wanted=0):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        return probe.getsockname()[1]


class Server:
    """Tollgate as a developer starts it, with a private Postgres, and with `more` settings."""

    def __init__(self, binary, directory, more={}):
        self.directory = pathlib.Path(directory)
        # Postgres runs as another user when we are root; it must be able to enter.
        self.directory.mkdir(mode=0o755)
        self.port = free_port()
        self.address = f"http://localhost:{self.port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        environment.pop("DATABASE_URL", None)
        environment |= {"TOLLGATE_LISTEN": self.address.removeprefix("http://"), "TOLLGATE_LIMITS__ENABLED": "true"} | more
        self.binary, self.environment = binary, environment
        self.log = open(self.directory / "log", "w+")
        self.process = subprocess.Popen(
            [binary, "serve"], cwd=self.directory, env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True
        )

    def wait(self):
        for line in self.process.stdout:
            if found := re.search(r"admin@localhost, password (\S+)", line):
                self.password = found[1]
            if "Ctrl-C" in line:
                return
        self.log.seek(0)
        sys.exit(f"the server did not start: {self.log.read()}")

    def command(self, *arguments):
        """Runs a command beside it, as its operator would."""
        command = [self.binary, *arguments]
        done = subprocess.run(command, cwd=self.directory, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")

    def call(self, method, path, token=None, body=None, form=None, agent=None):
        """Asks past the browser: what is really so."""
        headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json"}
        headers |= ({"Authorization": f"Bearer {token}"} if token else {}) | ({"User-Agent": agent} if agent else {})
        # So that whoever asks again does nothing twice.
        headers |= {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        data = form.encode() if form else json.dumps(body).encode() if body is not None else None
        begun = time.monotonic()
        while True:
            request = urllib.request.Request(self.address + path, data, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as refusal:
                # On a machine with much else to do, it may have no turn for everybody.
                if refusal.code != 503 or time.monotonic() - begun > 15:
                    raise
                time.sleep(float(refusal.headers.get("Retry-After", 1)))

    def sign_in(self, email, password, **more):
        return self.call("POST", "/v1/sessions", body={"email": email, "password": password} | more)

    def postgres(self, number):
        """Sends a signal to the private Postgres, to all of its processes."""
        (file,) = self.directory.rglob("postmaster.pid")
        postmaster = int(file.read_text().split()[0])
        children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in [postmaster, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def stop(self):
        if self.process.poll() is None:
            with contextlib.suppress(Exception):
                self.postgres(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        # An empty page, for scripts from outside.
        if self.path != "/blank":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>blank</title><body>")

    def do_POST(self):
        # An app that gets its answer in a form.
        self.do_GET()


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass


def serve(directory, port):
    """Serves files, until this process ends."""
    server = Quiet(("127.0.0.1", port), functools.partial(Handler, directory=directory))
    threading.Thread(target=server.serve_forever, daemon=True).start()


def certificate(directory):
    """What a server with TLS has; browsers are told not to look."""
    key, chain = (str(pathlib.Path(directory) / name) for name in ("key.pem", "chain.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=site.test",
         "-days", "2", "-keyout", key, "-out", chain],
        check=True, stderr=subprocess.DEVNULL,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    return context


def serve_tls(port, upstream, context):
    """Puts TLS in front of another port, until this process ends."""

    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while block := await reader.read(1 << 16):
                writer.write(block)
                await writer.drain()
        writer.close()

    async def accept(reader, writer):
        try:
            inner_reader, inner_writer = await asyncio.open_connection("localhost", upstream)
        except OSError:
            return writer.close()
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async def listen():
        await (await asyncio.start_server(accept, "127.0.0.1", port, ssl=context)).serve_forever()

    threading.Thread(target=lambda: asyncio.run(listen()), daemon=True).start()
