"""The prober for real: a process of its own that asks real sockets of this machine."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue

import pytest
from tests.local import Handler, LocalTarget, serving

from rejeu.errors import HarnessError
from rejeu.judge.availability import judge
from rejeu.observe import probes as probes_module
from rejeu.observe.probes import Probe, ProbeSession, Sample
from rejeu.targets.target import Completed
from rejeu.values import Vantage

DEADLINE_S = 20.0


@pytest.fixture
def here() -> Iterator[LocalTarget]:
    target = LocalTarget()
    yield target
    target.end()


@pytest.fixture
def started(here: LocalTarget) -> Iterator[Callable[..., ProbeSession]]:
    sessions: list[ProbeSession] = []

    def start(*probes: Probe) -> ProbeSession:
        sessions.append(ProbeSession.start({probe.vantage: here for probe in probes}, probes))
        return sessions[-1]

    yield start
    for session in sessions:
        with suppress(HarnessError):  # a test may have killed it
            session.stop()


def says(words: bytes) -> Handler:
    return lambda connection: connection.sendall(words)


def hangs(connection: socket.socket) -> None:
    while connection.recv(100):
        pass


def tcp(id: str, port: int, expect: str = "", send: str = "") -> Probe:
    return Probe(id, "base", Vantage.PUBLIC, "tcp", port=port, expect=expect, send=send)


def await_samples(session: ProbeSession, since_ns: int, wanted: Callable[[list[Sample]], bool]) -> list[Sample]:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        samples = session.samples(since_ns, session.mark())
        if wanted(samples):
            return samples
    raise AssertionError("the samples that were waited for did not come")


def by_probe(samples: Sequence[Sample]) -> Mapping[str, list[Sample]]:
    grouped: dict[str, list[Sample]] = {}
    for sample in samples:
        grouped.setdefault(sample.probe, []).append(sample)
    return grouped


def test_a_server_that_stops_and_returns_is_one_outage(started: Callable[..., ProbeSession]) -> None:
    with serving(hangs) as port:
        session = started(tcp("web", port))
        session.wait_answering(DEADLINE_S)
        start_ns = session.mark()
    down_ns = session.mark()
    await_samples(session, down_ns, lambda samples: [s.result for s in samples].count("refused") >= 5)
    with serving(hangs, ("127.0.0.1", port)):
        session.wait_answering(DEADLINE_S)
        up_ns = session.mark()
        verdict = judge(session.samples(start_ns, up_ns), [tcp("web", port)], (start_ns, up_ns))
    [outage] = verdict.outages
    assert outage.probe == "web"
    assert dict(outage.results)["refused"] >= 5
    assert start_ns < outage.start_ns < outage.end_ns < up_ns
    assert outage.end_ns > down_ns


def test_samples_keep_to_their_schedule(started: Callable[..., ProbeSession]) -> None:
    with serving(hangs) as port:
        samples = await_samples(started(tcp("web", port)), 0, lambda samples: len(samples) >= 40)
    due_ms = [s.at_ns / 1e6 - s.late_ms for s in samples]
    off_ms = [(due - due_ms[0] + 25) % 50 - 25 for due in due_ms]
    assert max(map(abs, off_ms)) < 5


def test_a_hung_service_times_out_and_holds_up_nobody(started: Callable[..., ProbeSession]) -> None:
    with serving(hangs) as hung, serving(says(b"HTTP/1.1 200 OK\r\n")) as good:
        probes = [tcp("hung", hung, expect="x"), tcp("good", good, expect="HTTP/1.1 ")]
        session = started(*probes)
        start_ns = session.mark()
        samples = await_samples(session, start_ns, lambda samples: len(by_probe(samples).get("good", [])) > 50)
    hung_sample = by_probe(samples)["hung"][0]
    assert hung_sample.result == "timeout"
    assert 1900 < hung_sample.ms < 2500
    assert hung_sample.control_ms is not None
    assert hung_sample.control_ms < 500
    meanwhile = [s for s in by_probe(samples)["good"] if s.at_ns < hung_sample.end_ns]
    assert len(meanwhile) > 25  # of 40
    assert {s.result for s in meanwhile} == {"ok"}
    assert [outage.probe for outage in judge(samples, probes, (start_ns, session.mark())).outages] == ["hung"]


@pytest.mark.parametrize(
    ("handle", "send", "result", "detail"),
    [
        pytest.param(says(b"220 mail"), "", "wrong", "answered '220 '", id="another service"),
        pytest.param(says(b"SS"), "", "wrong", "answered 'SS'", id="cut short"),
        pytest.param(lambda connection: None, "", "reset", "closed without an answer", id="closed"),
        pytest.param(lambda connection: connection.sendall(connection.recv(9)), "SSH-\xff", "ok", "", id="sent"),
    ],
)
def test_a_reply_is_judged_by_how_it_begins(
    started: Callable[..., ProbeSession], handle: Handler, send: str, result: str, detail: str
) -> None:
    with serving(handle) as port:
        session = started(tcp("p", port, expect="SSH-", send=send))
        samples = await_samples(session, 0, bool)
    assert (samples[0].result, samples[0].detail) == (result, detail)


def test_a_stopped_prober_is_a_stall_and_no_outage(here: LocalTarget, started: Callable[..., ProbeSession]) -> None:
    def answers_slowly(connection: socket.socket) -> None:
        connection.recv(1)
        time.sleep(0.3)
        connection.sendall(b"hi")

    with serving(answers_slowly) as slow, serving(hangs) as quick:
        # With a slow service a request is always under way when the prober stops.
        probes = [tcp("slow", slow, expect="hi", send="?"), tcp("quick", quick)]
        session = started(*probes)
        session.wait_answering(DEADLINE_S)
        start_ns = session.mark()
        here.streams[0].process.send_signal(signal.SIGSTOP)
        time.sleep(3)  # the stall itself
        here.streams[0].process.send_signal(signal.SIGCONT)
        session.wait_answering(DEADLINE_S)
        end_ns = session.mark()
        verdict = judge(session.samples(start_ns, end_ns), probes, (start_ns, end_ns))
    assert verdict.outages == ()
    assert verdict.stalled is not None
    assert "not asked for" in verdict.stalled


def test_a_last_sample_is_waited_for_at_the_end(here: LocalTarget, started: Callable[..., ProbeSession]) -> None:
    under_way = threading.Event()

    def hangs_and_tells(connection: socket.socket) -> None:
        under_way.set()
        hangs(connection)

    with serving(hangs_and_tells) as port:
        session = started(tcp("hung", port, expect="x"))
        assert under_way.wait(DEADLINE_S)
        asked = time.monotonic()
        samples = session.stop()
    assert time.monotonic() - asked < 3
    assert [s.result for s in samples] == ["timeout"]
    assert here.streams[0].process.returncode == 0


def test_a_killed_prober_is_an_error_that_names_its_machine(
    here: LocalTarget, started: Callable[..., ProbeSession]
) -> None:
    with serving(hangs) as port:
        session = started(tcp("web", port))
        session.wait_answering(DEADLINE_S)
        here.streams[0].process.kill()
        with pytest.raises(HarnessError, match="prober on here was lost: ended early"):
            session.samples(0, session.mark() + 10**12)
        with pytest.raises(HarnessError, match="prober on here"):
            session.stop()


def test_a_prober_that_fails_is_quoted(started: Callable[..., ProbeSession]) -> None:
    session = started(Probe("web", "base", Vantage.PUBLIC, "tcp", host="no such host", port=80))
    with pytest.raises(HarnessError, match=r"prober on here was lost: socket\.gaierror: "):
        session.wait_answering(DEADLINE_S)


def test_a_silent_probe_is_named_with_its_last_result(started: Callable[..., ProbeSession]) -> None:
    with serving(hangs) as good, serving(says(b"no")) as bad:
        session = started(tcp("good", good), tcp("bad", bad, expect="ok"))
        with pytest.raises(HarnessError, match=rf"probe bad \({bad}/tcp from public.*wrong answered 'no'"):
            session.wait_answering(1.5)


class Scripted:
    """A prober on a machine of no importance, whose lines the test writes. None ends them."""

    name = "scripted"
    address = "127.0.0.1"

    def __init__(self) -> None:
        self.script: Queue[bytes | None] = Queue()

    def exec(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Completed:
        raise NotImplementedError

    def stream(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> "Scripted":
        return self

    def lines(self) -> Iterator[bytes]:
        while (line := self.script.get()) is not None:
            yield line

    def close_stdin(self) -> None:
        self.script.put(b'{"end":{}}')
        self.script.put(None)

    def result(self) -> Completed:
        return Completed(0, b"", b"")

    def answers(self, at_ns: int) -> None:
        rows = [[i, 0.1, 0.1, 0.1] for i in range(3)]
        self.script.put(json.dumps({"upto": at_ns, "batches": [["web", "connect", at_ns, rows]]}).encode())


def test_answers_from_before_the_wait_do_not_count() -> None:
    machine = Scripted()
    with ProbeSession.start({Vantage.PUBLIC: machine}, [tcp("web", 80)]) as session:
        machine.answers(time.time_ns() - 10**9)
        with pytest.raises(HarnessError, match="probe web"):
            session.wait_answering(0.2)
        machine.answers(time.time_ns() + 10**9)
        session.wait_answering(DEADLINE_S)


def test_samples_that_were_dropped_are_not_silently_missed(
    started: Callable[..., ProbeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes_module, "MAX_SAMPLES", 10)
    with serving(hangs) as port:
        session = started(tcp("web", port))
        start_ns = session.mark()
        with pytest.raises(HarnessError, match="over 10 probe samples since the mark"):
            await_samples(session, start_ns, lambda _: False)


# A network of its own, with a link on which nobody answers.
LONELY = """
ip link set lo up
ip link add here type veth peer name there
ip address add 192.0.2.1/24 dev here
ip link set here up
ip link set there up
ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev here
exec "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="making a network namespace needs root")
def test_pings_are_answered_and_a_lost_one_holds_nothing_back(
    here: LocalTarget, started: Callable[..., ProbeSession]
) -> None:
    here.within = ("unshare", "--net", "sh", "-euc", LONELY, "sh")
    lost = Probe("lost", "base", Vantage.PUBLIC, "ping", host="192.0.2.2")
    session = started(Probe("ping", "base", Vantage.PUBLIC, "ping"), lost)
    samples = by_probe(await_samples(session, 0, lambda s: len(by_probe(s).get("lost", [])) >= 10))
    assert {s.result for s in samples["ping"]} == {"ok"}
    assert "ok" not in {s.result for s in samples["lost"]}
    assert samples["lost"][9].at_ns - samples["lost"][0].at_ns < 1.5e9  # ten requests within one timeout


SSHD = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(listener.getsockname()[1], flush=True)
while True:
    with listener.accept()[0] as connection:
        connection.sendall(b"SSH-2.0-test\\r\\n")
"""


@contextmanager
def sshd(port: int = 0) -> Iterator[tuple[int, int]]:
    """A process that greets as sshd does: its port and pid."""
    with subprocess.Popen([sys.executable, "-c", SSHD, str(port)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


def test_ssh_is_greeted_seldom_and_its_listener_watched(started: Callable[..., ProbeSession]) -> None:
    with sshd() as (port, first):
        probe = Probe("ssh", "base", Vantage.TARGET, "ssh", port=port)
        session = started(probe)
        session.wait_answering(DEADLINE_S)
        start_ns = session.mark()
        quiet = await_samples(session, start_ns, lambda samples: len(samples) >= 30)
        assert {s.result for s in quiet} == {"ok"}
        assert sum(s.way == "banner" for s in quiet) <= 1
    gone_ns = session.mark()
    gone = await_samples(session, gone_ns, lambda samples: len(samples) >= 3)
    assert {(s.result, s.detail) for s in gone if s.way == "listener"} == {("refused", "nothing listens")}
    with sshd(port) as (_, second):
        session.wait_answering(DEADLINE_S)
        back = session.samples(gone_ns, session.mark())
    assert [s.detail for s in back if s.result == "ok" and s.detail] == [f"pid {first}->{second}"]


def test_ssh_is_only_greeted_from_outside() -> None:
    assert list(Probe("ssh", "base", Vantage.PUBLIC, "ssh", port=22).ways) == ["banner"]


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", 4 + len(body)) + body


WELCOME = message(b"R", bytes(4)) + message(b"S", b"server_version\x0015\0") + message(b"Z", b"I")
ONE = message(b"D", struct.pack("!HI", 1, 1) + b"1") + message(b"C", b"SELECT 1\0") + message(b"Z", b"I")


def error(severity: bytes, code: bytes, text: bytes) -> bytes:
    return message(b"E", b"S" + severity + b"\0V" + severity + b"\0C" + code + b"\0M" + text + b"\0\0")


def postgres(*answers: bytes) -> Handler:
    """Gives the answers in turn, one to each message, the last one for ever."""

    def handle(connection: socket.socket) -> None:
        left = list(answers)
        while connection.recv(1000):
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return handle


def sql(directory: Path) -> Probe:
    return Probe("sql", "postgresql", Vantage.TARGET, "sql", port=5432, user="postgres", socket=str(directory))


@pytest.mark.parametrize(
    ("handle", "result", "detail"),
    [
        pytest.param(postgres(WELCOME, ONE), "ok", "", id="well"),
        pytest.param(lambda connection: None, "reset", "", id="closed"),
        pytest.param(
            postgres(error(b"FATAL", b"57P03", b"the database system is starting up")),
            "wrong",
            "57P03 the database system is starting up",
            id="starting up",
        ),
        pytest.param(
            postgres(message(b"R", struct.pack("!I", 10))), "wrong", "asks for authentication 10", id="password"
        ),
        pytest.param(postgres(b"HTTP/1.1 400 Bad Request\r\n"), "wrong", "not PostgreSQL", id="not PostgreSQL"),
        pytest.param(
            postgres(WELCOME, error(b"ERROR", b"42501", b"permission denied")),
            "wrong",
            "42501 permission denied",
            id="refused query",
        ),
        pytest.param(postgres(WELCOME, message(b"Z", b"I")), "wrong", "SELECT 1 gave 0 rows", id="no row"),
    ],
)
def test_sql_speaks_the_protocol(
    started: Callable[..., ProbeSession], tmp_path: Path, handle: Handler, result: str, detail: str
) -> None:
    with serving(handle, f"{tmp_path}/.s.PGSQL.5432"):
        samples = await_samples(started(sql(tmp_path)), 0, lambda s: {x.way for x in s} == {"kept", "new"})
    assert {s.result for s in samples} == {result}
    assert all(detail in s.detail for s in samples)


def test_sql_keeps_one_connection_and_tells_when_it_is_cut(
    started: Callable[..., ProbeSession], tmp_path: Path
) -> None:
    connections: list[socket.socket] = []

    def handle(connection: socket.socket) -> None:
        connections.append(connection)
        postgres(WELCOME, ONE)(connection)

    with serving(handle, f"{tmp_path}/.s.PGSQL.5432"):
        session = started(sql(tmp_path))
        session.wait_answering(DEADLINE_S)
        assert len(connections) < 10  # the kept one, and one a second
        last_words = error(b"FATAL", b"57P01", b"terminating connection")
        for connection in connections:
            with suppress(OSError):  # the new ones have closed
                connection.sendall(last_words)

        def reconnected(samples: list[Sample]) -> bool:
            results = [s.result for s in samples if s.way == "kept"]
            return "reset" in results[:-1] and results[-1] == "ok"

        samples = await_samples(session, 0, reconnected)
    [cut] = [s for s in samples if s.result != "ok"]
    assert (cut.way, cut.detail) == ("kept", "57P01 terminating connection")


def test_samples_are_kept_as_they_come(here: LocalTarget, tmp_path: Path) -> None:
    keep = tmp_path / "samples.jsonl"
    earlier = '{"probe":"of an earlier session"}'
    keep.write_text(f"{earlier}\n")
    with serving(lambda connection: None) as port:
        web = Probe("web", "base", Vantage.PUBLIC, "tcp", port=port)
        with ProbeSession.start({Vantage.PUBLIC: here}, [web], keep) as session:
            samples = await_samples(session, 0, lambda found: len(found) >= 5)
            first, *told = keep.read_text().splitlines()
            session.stop()
    assert first == earlier, "a cell watches its target twice, before a reboot and after it"
    assert [Sample(**json.loads(line)) for line in told][: len(samples)] == samples
