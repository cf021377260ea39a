"""The faults to survive, each a function; its name is the id in the table. It raises Failure, or returns a note.

Of every answer the harness checks by itself that it is a success or a 503 as it should be, and that it comes at all;
of every account, that no acknowledged write is lost and nobody is signed out.
"""

import contextlib
import pathlib
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import (
    DATABASE, WRITES, Bench, Client, Failure, Link, Load, Postgres, Skipped, check, describe, free_port, percentile, program, unprivileged, until, well,
)

SLACK = 1.0  # seconds that the machine of the test may take for itself; 0.3 with --long, which has it to itself
FAULTS = {}


def fault(function):
    if function.__name__.upper() in FAULTS:
        raise ValueError(f"{function.__name__} is taken")
    FAULTS[function.__name__.upper()] = function
    return function


def begin(bench, loads, server, warm=1.0, **options):
    """Puts load on a server, and waits until it runs and everything is well."""
    until(server.is_ready, 30, "the server is ready")
    load = Load(bench, server.address, **options)
    loads.append(load)
    load.__enter__()
    # On a machine with much else to do it takes a while.
    for _ in range(5):
        begun = time.monotonic()
        time.sleep(warm)
        bad = [answer for answer in load.between(begun) if not well(answer)]
        if not bad:
            return load
    raise Failure(f"already before the fault: {describe(bad[0])}")


def in_time(answers, limit, what="503"):
    """No refusal takes longer than that."""
    slow = [answer for answer in answers if answer.status == 503 and answer.took > limit + SLACK]
    if slow:
        worst = max(slow, key=lambda answer: answer.took)
        raise Failure(f"{len(slow)} × {what} later than {limit} s, the worst: {describe(worst)}")


def of(answers, *operations):
    return [answer for answer in answers if answer.operation in operations]


@fault
def f01(bench, loads):
    """kill -9 of Postgres"""
    load = begin(bench, loads, bench.server())
    begun = time.monotonic()
    bench.postgres.kill()
    try:
        time.sleep(bench.seconds(2, 5))
    finally:
        bench.postgres.start()
    accepts = time.monotonic()
    took = load.recovered(accepts, within=5)
    good = [answer.ended for answer in load.between(begun) if answer.operation in DATABASE and answer.is_good and answer.ended > accepts]
    in_time(load.between(begun), 1)
    check(min(good) - accepts <= 1 + SLACK, f"the first 200 came {min(good) - accepts:.1f} s after Postgres accepted")
    return f"first 200 after {min(good) - accepts:.2f} s, all well after {took:.2f} s"


@fault
def f02(bench, loads):
    """fast restart of Postgres"""
    load = begin(bench, loads, bench.server())
    begun = time.monotonic()
    try:
        bench.postgres.stop()
    finally:
        bench.postgres.start()
    accepts = time.monotonic()
    load.recovered(accepts, within=5)
    busy = [answer for answer in load.between(begun) if answer.status == 503]
    if not busy:
        return f"down {accepts - begun:.1f} s, nobody noticed"
    spell = max(answer.begun for answer in busy) - min(answer.begun for answer in busy)
    check(spell <= 2 + SLACK, f"{spell:.1f} s of 503; Postgres was down {accepts - begun:.1f} s; the last: {describe(busy[-1])}")
    return f"down {accepts - begun:.1f} s, {spell:.1f} s of 503"


def silence(bench, load, server, fall_silent, speak):
    """Postgres, or the way to it, falls silent without closing anything."""
    sockets, threads = server.sockets(), server.status("Threads")
    begun = time.monotonic()
    fall_silent()
    try:
        time.sleep(bench.seconds(7, 30))
        grown = server.sockets() - sockets, server.status("Threads") - threads
    finally:
        speak()
    spoke = time.monotonic()
    took = load.recovered(spoke, within=2 + SLACK)
    during = load.between(begun, spoke)
    in_time(during, 3, "answer")
    slow = [answer for answer in during if answer.took > 3 + SLACK]
    check(not slow, f"{len(slow)} answers later than 3 s, the worst: {describe(max(slow, key=lambda one: one.took)) if slow else ''}")
    check(all(answer.is_good for answer in of(during, "healthz", "token")), "/healthz or what needs no database failed")
    check(load.bench.has_healthz, "there is no /healthz")
    unready = [answer.begun - begun for answer in of(during, "readyz") if answer.status == 503]
    check(unready, "/readyz never said 503")
    check(min(unready) <= 2 + SLACK, f"/readyz said 503 only {min(unready):.1f} s after")
    return took, sockets, threads, grown


@fault
def f03(bench, loads):
    """SIGSTOP of Postgres"""
    server = bench.server()
    load = begin(bench, loads, server)
    stop = lambda: bench.postgres.signal_all(signal.SIGSTOP)
    go_on = lambda: bench.postgres.signal_all(signal.SIGCONT)
    begun = time.monotonic()
    took, *_ = silence(bench, load, server, stop, go_on)
    # Who has no turn because nobody is answered, from the first that waited in vain on, is told what the matter is.
    late = [answer for answer in load.answers if begun + 4 < answer.begun < answer.ended < begun + 7]
    check(any(answer.slug == "database-unavailable" for answer in late), "nobody was refused, so nothing was tested")
    busy = [answer for answer in late if answer.slug == "overloaded"]
    check(not busy, f"{len(busy)} of {len(late)} were told that others are served: {describe(busy[0]) if busy else ''}")
    return f"all well {took:.2f} s after SIGCONT"


@fault
def f04(bench, loads):
    """black hole on the way to Postgres"""
    link = Link(bench.postgres.port)
    try:
        server = bench.server(bench.url(link.port))
        load = begin(bench, loads, server)
        took, sockets, threads, grown = silence(bench, load, server, link.cut, link.mend)
        load.stop()
        # The clients' connections close with the load; threads that only wait end after 10 s.
        until(lambda: server.sockets() <= sockets, 15, f"sockets go back to {sockets} (now and {grown[0]} more in the hole)")
        until(lambda: server.status("Threads") <= threads + 2, 20, f"threads go back to {threads} ({grown[1]} more in the hole)")
        return f"all well after {took:.2f} s, at most {grown[0]} sockets and {grown[1]} threads more"
    finally:
        link.close()


@fault
def f05(bench, loads):
    """every connection ended each second"""
    load = begin(bench, loads, bench.server())
    begun = time.monotonic()
    seconds = bench.seconds(6, 20)
    ended = 0
    for number in range(seconds):
        time.sleep(max(0, begun + number - time.monotonic()))
        ended += int(bench.postgres.sql(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        ))
    time.sleep(1)
    over = time.monotonic()
    load.recovered(over, within=1)
    answers = load.between(begun, over)
    in_time(answers, 1)
    share = sum(map(well, answers)) / len(answers)
    by_kind = ", ".join(
        f"{name} {sum(map(well, some)) / len(some):.1%}" for name in sorted(DATABASE) if (some := of(answers, name))
    )
    check(share >= 0.99, f"{share:.2%} went well ({by_kind}); {ended} connections ended")
    return f"{share:.2%} went well ({by_kind}); {ended} connections ended"


@fault
def f06(bench, loads):
    """every connection waits for a lock"""
    load = begin(bench, loads, bench.server(), warm=2, rate=250)
    calm = percentile([answer.took for answer in of(load.answers, "token")], 0.99)
    holder = bench.postgres.session("tollgate")
    holder.stdin.write("begin;\nlock table users in access exclusive mode;\n\\echo locked\n")
    check(holder.stdout.readline().strip() == "locked", "the table could not be locked")
    begun = time.monotonic()
    time.sleep(bench.seconds(4, 15))
    # Whoever comes now, comes before the lock is let go.
    holder.communicate("rollback;\n", timeout=10)
    over = time.monotonic()
    took = load.recovered(over, within=2)
    during = load.between(begun, over - 1)
    # A hundred and more wait for the few that have a turn; who has one waits for the lock itself, a second at most.
    refused = [answer for answer in during if answer.slug == "overloaded"]
    turned_away = [answer for answer in refused if "held what this needs" not in answer.problem["detail"]]
    in_time(turned_away, 1)
    in_time(during, 2)
    bearer = percentile([answer.took for answer in of(during, "token")], 0.99)
    # Who waited for the lock along with the others would wait for a second and more.
    check(bearer < max(bench.seconds(0.3, 0.05), 2 * calm), f"what needs no database: p99 {bearer * 1000:.0f} ms, before {calm * 1000:.0f} ms")
    check(turned_away or any(answer.status == 503 for answer in during), "nobody was turned away, so nothing was tested")
    return f"without database p99 {bearer * 1000:.0f} ms (before {calm * 1000:.0f}), all well {took:.2f} s after"


@fault
def f07(bench, loads):
    """Postgres is far away"""
    link = Link(bench.postgres.port)
    try:
        server = bench.server(bench.url(link.port))
        few = begin(bench, loads, server, rate=5)
        # There and back 200 ms; half of that where other tests want the machine, too.
        link.delay = bench.seconds(0.05, 0.1)
        begun = time.monotonic()
        time.sleep(bench.seconds(4, 15))
        few.stop()
        answers = few.between(begun)
        bad = [answer for answer in answers if not well(answer)]
        check(not bad, f"{len(bad)} of {len(answers)} at 5 a second: {describe(bad[0]) if bad else ''}")
        slow = percentile([answer.took for answer in answers], 0.99)
        check(slow < 2, f"p99 {slow:.2f} s at 5 a second")
        many = Load(bench, server.address)
        loads.append(many)
        with many:
            time.sleep(bench.seconds(4, 15))
        shed = sum(answer.status == 503 for answer in many.answers) / len(many.answers)
        in_time(many.answers, 2)
        over = percentile([answer.took for answer in many.answers], 0.99)
        check(over < 2 + SLACK, f"p99 {over:.2f} s at 200 a second")
        return f"p99 {slow:.2f} s at 5 a second, {over:.2f} s at 200 with {shed:.0%} shed"
    finally:
        link.close()


@fault
def f08(bench, loads):
    """Postgres only reads"""
    load = begin(bench, loads, bench.server())
    try:
        bench.postgres.sql("alter system set default_transaction_read_only = on")
        bench.postgres.sql("select pg_reload_conf()")
        # Every backend reads its configuration anew before its next statement.
        time.sleep(0.5)
        begun = time.monotonic()
        time.sleep(bench.seconds(4, 15))
        ended = time.monotonic()
    finally:
        bench.postgres.sql("alter system reset default_transaction_read_only")
        bench.postgres.sql("select pg_reload_conf()")
    over = time.monotonic()
    took = load.recovered(over, within=5)
    during = load.between(begun, ended - 0.2)
    reads = of(during, "me", "token", "healthz")
    bad = [answer for answer in reads if not answer.is_good]
    check(not bad, f"{len(bad)} of {len(reads)} reads failed: {describe(bad[0]) if bad else ''}")
    writes = of(during, *WRITES)
    through = [answer for answer in writes if answer.status != 503]
    check(not through, f"{len(through)} of {len(writes)} writes were not refused with 503: {describe(through[0]) if through else ''}")
    in_time(writes, 1)
    return f"all well {took:.2f} s after"


def small_disk(stack, mebibytes):
    """A disk that is easily filled, until the stack is unwound."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="tgd-"))
    stack.callback(place.rmdir)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=755", "tmpfs", place]
    if subprocess.run(mounting, stderr=subprocess.DEVNULL).returncode:
        raise Skipped("nothing can be mounted here")
    stack.callback(subprocess.run, ["umount", "-l", place], check=True)
    return place


def fill(place):
    """Leaves no byte on a disk; returns what to delete."""
    ballast = place / "ballast"
    with open(ballast, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


@fault
def f10(bench, loads):
    """the disk of Postgres is full"""
    stack = contextlib.ExitStack()
    bench.others.append(stack)
    place = small_disk(stack, 384)
    small = Bench(bench.binary, bench.is_long, people=32, postgres=Postgres(place))
    stack.callback(small.remove)
    load = begin(small, loads, small.server(), rate=100)
    begun = time.monotonic()
    ballast = fill(place)
    refused = lambda: [answer for answer in of(load.between(begun), "record") if answer.status == 503]
    until(refused, 20, "records are refused")
    time.sleep(bench.seconds(3, 15))
    through = [answer for answer in load.between(begun) if not answer.wrong]
    reads = of(through, "token", "healthz")
    check(reads and all(answer.is_good for answer in reads), "what needs no database failed")
    in_time(load.between(begun), 2)
    count = len(refused())
    ballast.unlink()
    has_ended = small.postgres.process.poll() is not None
    if has_ended:
        # Where its log can't go on, Postgres ends, and somebody has to start it.
        small.postgres.start()
    took = load.recovered(time.monotonic(), within=5)
    made = sum(len(person.made) for person in small.people)
    return f"{count} records refused, {made} made, all well {took:.2f} s after{', Postgres had ended' if has_ended else ''}"


@fault
def f13(bench, loads):
    """SIGTERM under load"""
    # Postgres is so far away that many requests are under way at any moment.
    link = Link(bench.postgres.port)
    idle = []
    try:
        server = bench.server(bench.url(link.port), settings={"TOLLGATE_DATABASE__POOL_SIZE": "40"})
        load = begin(bench, loads, server, warm=2, rate=100)
        link.delay = 0.1
        time.sleep(1)
        for _ in range(200):
            one = socket.create_connection(server.address)
            one.sendall(b"GET /v1/tokens/current HTTP/1.1\r\nHost: localhost\r\n\r\n")
            one.settimeout(5)
            one.recv(4096)
            idle.append(one)
        begun = time.monotonic()
        # Whoever sends when the door is closed may be refused, or find the connection closed; and nothing else.
        load.permits = lambda answer: answer.begun > begun - 0.02 and answer.status is None and not answer.wrong.endswith("hang")
        took = server.terminate(within=10)
        load.stop()
        before = [answer for answer in load.between(0, begun - 0.02) if answer.ended > begun]
        check(before, "no request was under way, so nothing was tested")
        failed = [answer for answer in before if not answer.is_good and answer.operation not in ("dead", "dead token")]
        check(not failed, f"{len(failed)} of {len(before)} requests under way failed: {describe(failed[0]) if failed else ''}")
        served = [answer for answer in load.between(begun + 1) if answer.status]
        check(not served, f"{len(served)} requests were served a second and more after SIGTERM")
        return f"stopped after {took:.1f} s, {len(before)} under way"
    finally:
        for one in idle:
            one.close()
        link.close()


HAPROXY = """
global
    maxconn 2000
    stats socket {place}
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 10s
    timeout tunnel 1h
    # On a machine with much else to do an answer may take its time; one that is gone refuses at once.
    timeout check 4s
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response
frontend all
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    # Only what is safe to repeat is repeated.
    http-request disable-l7-retry unless METH_GET or {{ method HEAD }}
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 200ms fall 1 rise 1
{replicas}
"""


@contextlib.contextmanager
def behind_haproxy(bench, replicas):
    """HAProxy in front of replicas, as long as it is needed; its address."""
    haproxy = program("haproxy")
    if not haproxy:
        raise Skipped("no haproxy here")
    port = free_port()
    lines = "\n".join(f"    server replica{one.port} 127.0.0.1:{one.port}" for one in replicas)
    configuration = pathlib.Path(bench.directory) / "haproxy.cfg"
    place = pathlib.Path(bench.directory) / "haproxy.socket"
    configuration.write_text(HAPROXY.format(port=port, place=place, replicas=lines))
    log = open(pathlib.Path(bench.directory) / "haproxy.log", "w")
    proxy = subprocess.Popen([haproxy, "-db", "-f", configuration], stdout=log, stderr=log)
    try:
        time.sleep(1)
        check(proxy.poll() is None, f"haproxy did not start: {pathlib.Path(log.name).read_text()[-300:]}")
        for replica in replicas:
            taken_in(bench, replica)
        yield ("127.0.0.1", port)
    finally:
        proxy.kill()
        proxy.wait()


def taken_in(bench, replica):
    """Waits until HAProxy sends requests to a replica again."""
    time.sleep(0.7)  # it looks five times a second, so that it has seen by now that the one before is gone

    def is_up():
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(pathlib.Path(bench.directory) / "haproxy.socket"))
            one.sendall(b"show stat\n")
            answer = one.makefile().read()
        status = answer.partition("\n")[0].split(",").index("status")
        return any(f",replica{replica.port}," in line and line.split(",")[status] == "UP" for line in answer.splitlines())

    until(is_up, 30, "HAProxy sends requests to a replica again")


@fault
def f14(bench, loads):
    """rolling restart of 3 replicas behind HAProxy"""
    replicas = [bench.server() for _ in range(3)]
    with behind_haproxy(bench, replicas) as address:
        # Three of them and all that starts anew need much of a machine.
        load = Load(bench, address, rate=bench.seconds(100, 200))
        loads.append(load)
        # What is not safe to repeat may meet a connection that is just being closed; it is counted all the same.
        lost = lambda answer: answer.operation in WRITES and answer.wrong and answer.status in (None, 502, 503)
        load.permits = lost
        load.__enter__()
        time.sleep(1)
        begun = time.monotonic()
        rounds = 0
        while not rounds or time.monotonic() - begun < bench.seconds(0, 60):
            for number, old in enumerate(replicas):
                old.terminate(within=10)
                replicas[number] = bench.server(port=old.port)
                taken_in(bench, replicas[number])
            rounds += 1
        time.sleep(1)
        load.stop()
        failed = [answer for answer in load.answers if answer.operation not in WRITES and not well(answer)]
        check(not failed, f"{len(failed)} of {len(load.answers)} failed: {describe(failed[0]) if failed else ''}")
        unsafe = [answer for answer in load.answers if answer.operation in WRITES and not well(answer)]
        example = f", such as {describe(unsafe[0])}" if unsafe else ""
        return f"{3 * rounds} restarts; {len(unsafe)} writes failed{example}"


@fault
def f21(bench, loads):
    """login flood"""
    # On a machine with much else to do, who comes last in a long queue would wait too long.
    server = bench.server(settings=None if bench.is_long else {"TOLLGATE_PASSWORDS__QUEUE": "16"})
    quiet = begin(bench, loads, server, warm=2, rate=50, mix={"token": 1}, people=bench.people[:8])
    quiet_took = [answer.took for answer in quiet.answers]
    before = server.status("VmRSS")
    over = threading.Event()
    answers = []

    def flood(person, is_right):
        client = Client(server.address)
        body = {"email": person.email, "password": person.password if is_right else "something quite wrong"}
        while not over.is_set():
            answers.append(client.call("sign in", "POST", "/v1/sessions", body, expected=(201, 401, 429))[0])
            if answers[-1].status == 503:
                time.sleep(0.5)
        client.close()

    # As many at once as make some 200 a second together, since those who are turned away come again soon.
    threads = [threading.Thread(target=flood, args=(person, number % 2 == 0)) for number, person in enumerate(bench.people[8:])]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    most = 0
    while time.monotonic() - begun < bench.seconds(6, 20):
        most = max(most, server.status("VmRSS"))
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join()
    took = quiet_took_during = [answer.took for answer in quiet.between(begun, time.monotonic())]
    rate = len(answers) / (time.monotonic() - begun)
    quiet.answers += answers
    kinds = {status: sum(answer.status == status for answer in answers) for status in (201, 401, 429, 503)}
    calm, loaded = percentile(quiet_took, 0.99), percentile(took, 0.99)
    grown = (most - before) / 1024
    check(kinds[503] + kinds[429], f"nobody was turned away at {rate:.0f} a second: {kinds}")
    check(grown < 128, f"the memory grew by {grown:.0f} MiB")
    figures = f"{rate:.0f} sign-ins a second, {kinds}, +{grown:.0f} MiB, bearer p50 {percentile(took, 0.5) * 1000:.0f} ms p99 {loaded * 1000:.0f} ms (before {calm * 1000:.0f})"
    # Who queued up behind the passwords would wait for seconds.
    check(loaded < max(2 * calm, bench.seconds(1, 0.1)), figures)
    return figures


PGBOUNCER = """
[databases]
tollgate = host=127.0.0.1 port={database} dbname=tollgate user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
logfile = {directory}/pgbouncer.log
"""


@fault
def f22(bench, loads):
    """PgBouncer, transaction mode, pool of 3"""
    pgbouncer = program("pgbouncer")
    if not pgbouncer:
        raise Skipped("no pgbouncer here")
    port = free_port()
    directory = bench.postgres.directory
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(PGBOUNCER.format(port=port, database=bench.postgres.port, directory=directory))
    process = subprocess.Popen([pgbouncer, "-q", configuration], cwd=directory, **unprivileged())
    try:
        def listens():
            check(process.poll() is None, f"pgbouncer did not start, see {directory / 'pgbouncer.log'}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True

        until(listens, 5, "PgBouncer starts")
        settings = {"TOLLGATE_DATABASE__DIRECT_URL": bench.url(), "TOLLGATE_DATABASE__STATEMENT_CACHE": "false"}
        server = bench.server(bench.url(port), settings=settings)
        load = begin(bench, loads, server, warm=2)
        time.sleep(bench.seconds(4, 20))
        load.stop()
        log = server.log.read_text()
        check("prepared statement" not in log, "prepared statements were used: " + next((line for line in log.splitlines() if "prepared statement" in line), ""))
        bad = [answer for answer in load.answers if not well(answer)]
        check(not bad, f"{len(bad)} of {len(load.answers)}: {describe(bad[0]) if bad else ''}")
        # A session that ends elsewhere is dead here within a second: the control channel works.
        other = bench.server()
        here, there = Client(server.address), Client(other.address)
        person = bench.people[0]
        _, pair = there.call("sign in", "POST", "/v1/sessions", {"email": person.email, "password": person.password})
        token = pair["access_token"]
        check(here.call("token", "GET", "/v1/tokens/current", token=token)[0].is_good, "a token of another replica is refused")
        there.call("sign out", "DELETE", "/v1/sessions/current", token=token, expected=(200, 204))
        took = until(lambda: here.call("token", "GET", "/v1/tokens/current", token=token)[0].status == 401, 2, "another replica hears of a sign-out")
        return f"another replica's sign-out heard after {took * 1000:.0f} ms"
    finally:
        process.terminate()
        process.wait()


@fault
def tls(bench, loads):
    """TLS to Postgres, verified (TRN-02)"""
    place = bench.postgres.directory
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    for name in ("server", "stranger"):
        names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", place / f"{name}.key", "-out", place / f"{name}.pem"]
        subprocess.run([*openssl, *names], check=True, stderr=subprocess.DEVNULL, **unprivileged())
        (place / f"{name}.key").chmod(0o600)
    plain = bench.url()

    def starts(address, options):
        try:
            return bench.server(f"{plain.replace('127.0.0.1', address)}?{options}")
        except Failure as failure:
            check("Postgres can't be reached" in str(failure), str(failure))
            return None

    check(not starts("127.0.0.1", "sslmode=require"), "it went on in plain text where TLS was demanded")
    for setting, value in (("ssl_cert_file", place / "server.pem"), ("ssl_key_file", place / "server.key"), ("ssl", "on")):
        bench.postgres.sql(f"alter system set {setting} = '{value}'")
    bench.postgres.sql("select pg_reload_conf()")
    try:
        good = f"sslmode=verify-full&sslrootcert={place / 'server.pem'}"
        check(not starts("localhost", f"sslmode=verify-full&sslrootcert={place / 'stranger.pem'}"), "it believed a stranger's certificate")
        check(not starts("127.0.0.1", good), "it believed a certificate of another name")
        server = starts("localhost", good)
        check(server, "a good certificate was refused")
        loads.append(Load(bench, server.address).__enter__())
        time.sleep(2)
        encrypted = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) where datname = 'tollgate' and ssl"
        count = int(bench.postgres.sql(encrypted))
        check(count >= 3, f"{count} connections are encrypted")
        return f"{count} connections, {bench.postgres.sql('select max(version) from pg_stat_ssl')}"
    finally:
        bench.postgres.sql("alter system set ssl = off")
        bench.postgres.sql("select pg_reload_conf()")


@fault
def f25(bench, loads):
    """no file descriptors left"""
    limit = 64
    server = bench.server(open_files=limit)
    load = begin(bench, loads, server, people=bench.people[:4], rate=40)
    idle = []

    def fill(until_then):
        """Keeps the door crowded: whoever is sent away comes again."""
        while time.monotonic() < until_then:
            while len(idle) < 200:
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(server.address)
                idle.append(one)
            gone, _, _ = select.select(idle, [], [], 0.1)
            for one in gone:
                idle.remove(one)
                one.close()

    # Those with a connection keep it; the others can't be answered, and need not be.
    begun = time.monotonic()
    load.permits = lambda answer: not answer.reused and answer.status is None
    try:
        fill(begun + 1)
        full = len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()))
        check(full >= limit - 2, f"only {full} of {limit} descriptors are in use, so nothing was tested")
        load.stop()
        time_before, used_before = time.monotonic(), server.processor_seconds()
        fill(time_before + bench.seconds(4, 15))
        used = (server.processor_seconds() - used_before) / (time.monotonic() - time_before)
    finally:
        for one in idle:
            one.close()
    check(used < 0.5, f"the server spins: {used:.0%} of a core with nothing to do")
    check(server.process.poll() is None, "the server is gone")
    over = time.monotonic()
    again = Load(bench, server.address, people=bench.people[:4], rate=40)
    loads.append(again)
    # The first may still wait in front of the door.
    again.permits = lambda answer: answer.begun < over + 1 and answer.status is None
    with again:
        took = again.recovered(over, within=5)
    return f"{used:.0%} of a core while full, all well {took:.2f} s after"
