from collections.abc import Sequence
from dataclasses import replace

import pytest

from rejeu.judge.attribution import TICK_NS
from rejeu.judge.background import Writers, fired_timers, repeated_touches, separate, triggered_units
from rejeu.judge.patterns import matches
from rejeu.judge.tolerated import BUILT_IN, tolerated
from rejeu.observe.snapshot import Snapshot, Unit
from rejeu.values import Cause, Change, Facet, Kind, Task, TaskRun, TaskStatus, Write


def file(path: str, kind: Kind = Kind.CONTENT) -> Change:
    return Change(Facet.FILES, kind, path)


def unit(name: str, kind: Kind = Kind.RESTARTED) -> Change:
    return Change(Facet.UNITS, kind, name)


def package(name: str) -> Change:
    return Change(Facet.PACKAGES, Kind.CREATED, name)


PG_DATA = "/var/lib/postgresql/15/main"
PG = ("/var/lib/postgresql/**", "!/var/lib/postgresql/**/*.conf")


@pytest.mark.parametrize(
    ("path", "patterns", "expected"),
    [
        ("/var/lib/postgresql/15/main/base/1/2", PG, True),
        ("/var/lib/postgresql/15/main/postgresql.auto.conf", PG, False),
        ("/var/lib/postgresql/x.conf", PG, False),
        ("/var/lib/postgresql", PG, False),
        ("/var/lib/postgresql2/x", PG, False),
        ("/var/lib/postgresql/x.conf", PG[::-1], False),
        ("/var/log/a.log", ("/var/log/*.log",), True),
        ("/var/log/a/b.log", ("/var/log/*.log",), False),
        ("/var/log/a/b.log", ("/var/log/**/*.log",), True),
        ("/var/log/a+b", ("/var/log/a+b",), True),
        ("/var/log/aab", ("/var/log/a+b",), False),
        ("/srv/a", ("/srv/[ab]",), False),
        ("/srv/[ab]", ("/srv/[ab]",), True),
        ("/srv/[", ("/srv/[",), True),
        ("/srv/one", ("/srv/{one,two}",), True),
        ("/srv/three", ("/srv/{one,two}",), False),
        ("/srv/a,b", ("/srv/a,?",), True),
        ("/srv/a", ("/srv/a,b",), False),
        ("/srv/line\nbreak", ("/srv/**",), True),
        ("/srv/x", (), False),
        ("/srv/x", ("!/srv/y",), False),
    ],
)
def test_data_patterns(path: str, patterns: tuple[str, ...], expected: bool) -> None:
    assert matches(path, patterns) is expected


@pytest.mark.parametrize(
    "change",
    [
        file("/var/log/journal/abc/system.journal"),
        file("/var/log/wtmp"),
        file("/var/lib/wtmpdb/wtmp.db"),
        file("/run/systemd/units/invocation:ssh.service", Kind.METADATA),
        file("/run/systemd/generator/x.wants", Kind.REWRITTEN),
        file("/var/lib/systemd/timers/stamp-apt-daily.timer", Kind.REWRITTEN),
        file("/root/.ansible/tmp", Kind.TOUCHED),
        file("/tmp", Kind.TOUCHED),
        file("/home/ops/.ansible", Kind.CREATED),
        file("/root/.ansible_async/123", Kind.CREATED),
        file("/var/lib/apt/lists/x_InRelease", Kind.CREATED),
        file("/var/lib/dpkg/triggers/Lock", Kind.REWRITTEN),
        file("/var/tmp/systemd-private-1a-web.service-aB/tmp", Kind.DELETED),
        unit("user@1000.service", Kind.RUNTIME),
    ],
)
def test_what_every_machine_does_is_tolerated(change: Change) -> None:
    assert tolerated(change)
    assert separate([change]) == ([], [change])


@pytest.mark.parametrize(
    "change",
    [
        file("/var/log/app.log", Kind.CREATED),
        file("/var/log/app.log", Kind.METADATA),
        file("/run/systemd/system/web.service.d/x.conf"),
        file("/run/systemd/resolved.conf.d/x.conf"),
        file("/run/systemd/system.control/web.service.d/50-CPUQuota.conf"),
        file("/etc/systemd/system/web.service"),
        file("/etc/ansible/facts.d/x.fact"),
        file("/var/lib/apt/extended_states"),
        file("/var/lib/dpkg/status"),
        file("/tmp/other", Kind.CREATED),
        file("/tmp", Kind.METADATA),
        file("/root/.ansible.cfg"),
        file("/opt/app/.git"),
        file("/opt/app/.git/HEAD"),
        file("/opt/app/.git/refs/heads/main"),
        file("/opt/app/.git/index", Kind.METADATA),
        unit("ssh.service"),
        Change(Facet.SOCKETS, Kind.RUNTIME, "/var/log/journal/x"),
    ],
)
def test_what_a_task_may_have_done_is_not_tolerated(change: Change) -> None:
    assert tolerated(change) is None
    assert separate([change]) == ([change], [])


@pytest.mark.parametrize(("cause", "is_real"), [(Cause.DEMAND, False), (Cause.CONDITION, True), (None, True)])
def test_what_was_asked_for_or_idle_is_background(cause: Cause | None, is_real: bool) -> None:
    stopped = replace(unit("web.service", Kind.STOPPED), cause=cause)
    assert separate([stopped]) == (([stopped], []) if is_real else ([], [stopped]))


def test_the_built_in_list_stays_short() -> None:
    assert len(BUILT_IN) <= 12


@pytest.mark.parametrize(
    ("change", "is_real"),
    [
        (file("/var/lib/postgresql/15/main/pg_wal/1"), False),
        (file("/var/lib/postgresql", Kind.TOUCHED), False),
        (file("/var/lib/postgresql", Kind.METADATA), True),
        (file("/var/lib/postgresql/15/main/a.conf"), True),
    ],
)
def test_a_service_s_own_data_is_background(change: Change, is_real: bool) -> None:
    parts = separate([change], data=[PG])
    assert (parts.real, parts.background) == (([change], []) if is_real else ([], [change]))


@pytest.mark.parametrize(
    ("control", "change", "is_real"),
    [
        (file("/srv/a"), file("/srv/a"), False),
        (file("/srv/a"), file("/srv/a", Kind.REWRITTEN), False),
        (file("/srv/a", Kind.TOUCHED), file("/srv/a"), False),
        (file("/srv/a"), file("/srv/b"), True),
        (file("/srv/a"), file("/srv/a", Kind.METADATA), True),
        (file("/srv/a"), file("/srv/a", Kind.DELETED), True),
        (file("/srv/seg-0001", Kind.CREATED), file("/srv/seg-0002", Kind.CREATED), False),
        (file("/srv/seg-0001", Kind.CREATED), file("/srv/seg-0001", Kind.DELETED), False),
        (file("/srv/5f3a9c1e.tmp", Kind.CREATED), file("/srv/00ab41ff.tmp", Kind.DELETED), False),
        (file("/srv/seg-1", Kind.CREATED), file("/srv/seg-1"), True),
        (file("/srv/seg-1", Kind.CREATED), file("/srv/cut-1", Kind.CREATED), True),
        (file("/srv/seg-1", Kind.CREATED), file("/opt/seg-1", Kind.CREATED), True),
        (unit("a.service"), unit("a.service"), False),
        (unit("a.service"), unit("a.service", Kind.STOPPED), True),
        (unit("a1.service"), unit("a2.service"), True),
        (package("libpq5"), package("libpq6"), True),
        (file("a.service"), unit("a.service"), True),
    ],
)
def test_what_moved_in_the_control_window_too(control: Change, change: Change, is_real: bool) -> None:
    parts = separate([change], control=[control])
    assert (parts.real, parts.background) == (([change], []) if is_real else ([], [change]))


@pytest.mark.parametrize(
    ("change", "is_real"),
    [
        (unit("rotate.service"), False),
        (unit("rotate.service", Kind.METADATA), True),
        (unit("web.service"), True),
        (file("/run/rotate.pid", Kind.CREATED), False),
        (file("/run/rotate/state"), False),
        (file("/run/rotate2/state"), True),
        (file("/run/web.pid"), True),
        (file("/etc/rotate"), True),
        (file("/run"), True),
    ],
)
def test_what_a_timer_started_is_background_with_its_runtime_files(change: Change, is_real: bool) -> None:
    parts = separate([change], triggered=["rotate.service"])
    assert (parts.real, parts.background) == (([change], []) if is_real else ([], [change]))


TIMER = Unit(
    "a.timer", "", "loaded", "active", "waiting", "enabled", "i1", 0, 0, 1, 1, (), "Mon 2024-01-01 00:00:00 UTC"
)
SERVICE = replace(TIMER, name="a.service", triggered_by=("a.timer",), last_trigger="")


def snapshot(*units: Unit) -> Snapshot:
    return Snapshot(0, 1, {}, {}, {unit.name: unit for unit in units}, (), (), {}, {})


def test_a_timer_that_fired_and_what_it_starts() -> None:
    fired = replace(TIMER, last_trigger="Tue 2024-01-02 00:00:00 UTC")
    assert fired_timers(snapshot(TIMER, SERVICE), snapshot(fired, SERVICE)) == ("a.timer",)
    assert triggered_units(snapshot(fired, SERVICE), ["a.timer"]) == {"a.service"}
    assert triggered_units(snapshot(fired, SERVICE), []) == frozenset()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (snapshot(TIMER), snapshot(TIMER)),
        (snapshot(), snapshot(TIMER)),
        (snapshot(TIMER), snapshot(replace(TIMER, last_trigger=""))),
        (snapshot(TIMER), snapshot()),
    ],
)
def test_a_timer_that_did_not_fire(before: Snapshot, after: Snapshot) -> None:
    assert fired_timers(before, after) == ()


def test_a_touch_that_repeats_is_rewritten() -> None:
    first = [file("/a", Kind.TOUCHED), file("/b", Kind.TOUCHED), file("/c")]
    second = [file("/a", Kind.TOUCHED), file("/c", Kind.TOUCHED), file("/d", Kind.TOUCHED), file("/b")]
    assert [(change.subject, change.kind) for change in repeated_touches(first, second)] == [("/a", Kind.REWRITTEN)]


def test_what_one_domain_leaves_out_of_its_data_may_be_another_s() -> None:
    change = file("/srv/web/site.conf")
    everything_else = ("/srv/**", "!/srv/**/*.conf")
    assert separate([change], data=[everything_else]).real
    assert separate([change], data=[everything_else, ("/srv/web/**",)]).background


def test_what_flaps_with_nothing_run_is_no_better_for_it() -> None:
    flapping = unit("web.service", Kind.FLAPPING)
    assert separate([flapping], control=[flapping]).real == [flapping]


def test_a_ruleset_that_is_gone_is_not_one_that_moved() -> None:
    moved = Change(Facet.FIREWALL, Kind.RUNTIME, "ip nat", "1 line", diff="-a\n+b")
    gone = Change(Facet.FIREWALL, Kind.RUNTIME, "ip nat", "the table is gone")
    assert separate([moved], control=[replace(moved, diff="-b\n+a")]).background
    assert separate([gone], control=[moved]).real


def test_configuration_that_comes_and_goes_is_known_by_its_whole_name() -> None:
    made, gone = file("/etc/app/job-1001", Kind.CREATED), file("/etc/app/job-2002", Kind.DELETED)
    assert separate([gone], control=[made]).real
    spool = [replace(change, subject=change.subject.replace("/etc", "/var/spool")) for change in (made, gone)]
    assert separate([spool[1]], control=[spool[0]]).background


def test_who_may_read_a_services_data_is_nobodys_background() -> None:
    opened = file("/var/lib/postgresql/15/main", Kind.METADATA)
    written = file("/var/lib/postgresql/15/main/base/1", Kind.CONTENT)
    assert separate([opened, written], data=[("/var/lib/postgresql/**",)]) == ([opened], [written])


STATE = "/var/lib/web/state"
BEGAN = 1000


def write(path: str = STATE, launched: int | None = 10, unit: str | None = "web.service", at: int = 1500) -> Write:
    return Write(path, at, unit, launched, "web")


def ran(start: int, end: int) -> TaskRun:
    task = Task("1", "Ask for it", "command", "site.yml", 1)
    return TaskRun(task, "node", TaskStatus.OK, start * TICK_NS, end * TICK_NS)


def is_real(change: Change, *writes: Write, triggered: Sequence[str] = (), control: Sequence[Change] = ()) -> bool:
    real, _ = separate([change], control=control, triggered=triggered, writers=Writers.of(writes, BEGAN))
    return bool(real)


@pytest.mark.parametrize(
    ("writes", "real"),
    [
        ([write()], False),
        ([write(), write(launched=20, unit="other.service")], False),
        ([write(launched=20, unit="")], False),  # a daemon that an earlier run left
        ([], True),
        ([write("/var/lib/web/other")], True),
        ([write(launched=1000)], True),  # the unit was restarted
        ([write(launched=1200, unit="run-u1.service")], True),
        ([write(launched=1200, unit="")], True),
        ([write(launched=None, unit=None)], True),
        ([write(), write(launched=1200, unit="")], True),
        ([write(), write(launched=None, unit=None)], True),
    ],
)
@pytest.mark.parametrize("kind", [Kind.CONTENT, Kind.CREATED, Kind.REWRITTEN, Kind.TOUCHED])
def test_what_only_bystanders_wrote_is_background(kind: Kind, writes: list[Write], real: bool) -> None:
    assert is_real(file(STATE, kind), *writes) is real


@pytest.mark.parametrize("path", ["/opt/web/state/x", "/srv/web/data.db", "/home/ops/Maildir/new/1"])
def test_applications_keep_their_data_beside_their_settings(path: str) -> None:
    at = 15 * TICK_NS
    assert separate([file(path)], writers=Writers.of([write(path, at=at)], BEGAN, [ran(10, 14)])).background


@pytest.mark.parametrize(
    ("writes", "was_there"),
    [
        ([write()], True),
        ([write(), write(launched=None, unit=None)], True),
        ([write(launched=1200)], False),
        ([write(unit="")], False),
        ([write(), write(launched=1200, unit="")], False),
        ([write(launched=None, unit=None)], False),
        ([], False),
    ],
)
def test_a_service_that_had_been_running_may_write_by_itself(writes: list[Write], was_there: bool) -> None:
    assert Writers.of(writes, BEGAN).had_been_running(file(STATE)) is was_there


@pytest.mark.parametrize(
    ("launched", "unit", "real"),
    [
        (10, "web.service", False),
        (1200, "web.service", False),
        (1200, "", True),
        (1200, "run-r1f.service", True),
        (1200, "run-u7.scope", True),
        (10, "run-u7.service", False),
    ],
)
def test_a_service_s_data_is_its_own_business_until_the_run_writes_there(launched: int, unit: str, real: bool) -> None:
    change, writers = file(f"{PG_DATA}/base/1"), Writers.of([write(f"{PG_DATA}/base/1", launched, unit)], BEGAN)
    assert bool(separate([change], data=[PG], writers=writers).real) is real


@pytest.mark.parametrize("kind", [Kind.METADATA, Kind.DELETED])
def test_a_write_does_not_explain_a_mode_or_a_deletion(kind: Kind) -> None:
    assert is_real(file(STATE, kind), write())


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/hostname", "/usr/bin/web", "/opt/web/bin", "/root/.profile", "/boot/grub/x"),
        *("/home/ops/.profile", "/srv/web/conf.d/x", "/opt/web/bin/web"),
        *("/var/lib/systemd/linger/ops", "/var/lib/postgresql/15/main/postgresql.auto.conf", "/var/lib/web/unit.timer"),
        "/run/systemd/system.control/web.service.d/50-x.conf",
    ],
)
def test_what_a_daemon_was_told_to_configure_is_real(path: str) -> None:
    at = 15 * TICK_NS
    told, untold = [ran(10, 20)], [ran(20, 30)]
    writes = [write(path, at=at)]
    change = file(path)
    assert separate([change], writers=Writers.of(writes, BEGAN, told)).real == [change]
    assert separate([change], writers=Writers.of(writes, BEGAN)).real == [change]
    assert separate([change], writers=Writers.of(writes, BEGAN, untold)).background == [change]
    assert not is_real(change, *writes, triggered=["web.service"])


@pytest.mark.parametrize("launched", [10, None])
@pytest.mark.parametrize(("at", "real"), [(5, False), (25, True)])
def test_a_daemon_may_do_later_what_a_task_asked_for(at: int, real: bool, launched: int | None) -> None:
    writes = [write("/etc/later", at=5 * TICK_NS), write("/etc/later", launched, at=at * TICK_NS)]
    writers = Writers.of(writes, BEGAN, [ran(10, 20), ran(30, 40)])
    assert bool(separate([file("/etc/later")], writers=writers).real) is real


@pytest.mark.parametrize(("start", "real"), [(15, True), (16, True), (17, False)])
def test_a_task_begins_a_tick_early(start: int, real: bool) -> None:
    writers = Writers.of([write("/etc/hostname", at=15 * TICK_NS)], BEGAN, [ran(start, 30)])
    assert bool(separate([file("/etc/hostname")], writers=writers).real) is real


@pytest.mark.parametrize(("at", "real"), [(15, True), (25, False)])
def test_a_stranger_beside_a_service_is_its_helper_unless_a_task_was_running(at: int, real: bool) -> None:
    stranger = write(launched=None, unit=None, at=at * TICK_NS)
    beside = Writers.of([write(), stranger], BEGAN, [ran(10, 20)])
    assert bool(separate([file(STATE)], writers=beside).real) is real
    assert separate([file(STATE)], writers=Writers.of([stranger], BEGAN, [ran(10, 20)])).real


def test_what_a_timer_started_writes_as_it_likes() -> None:
    started = write("/etc/renewed.pem", launched=1200, unit="renew.service")
    assert not is_real(file("/etc/renewed.pem"), started, triggered=["renew.service"])
    assert is_real(file("/etc/renewed.pem"), started, triggered=["other.service"])
    assert is_real(file("/etc/renewed.pem"), started, write("/etc/renewed.pem", 1200, ""), triggered=["renew.service"])


def test_what_came_and_went_in_a_directory_is_told_by_its_writers() -> None:
    touched = file("/var/lib/web", Kind.TOUCHED)
    assert not is_real(touched, write("/var/lib/web/lock"))
    assert is_real(touched, write("/var/lib/web/lock"), write("/var/lib/web/x", 1200, ""))
    assert is_real(touched, write("/var/lib/web/below/lock"))


def test_a_service_removes_what_it_makes() -> None:
    made, gone = file("/var/lib/web/seg-0002", Kind.CREATED), file("/var/lib/web/seg-0001", Kind.DELETED)
    elsewhere = file("/var/lib/other/seg-0001", Kind.DELETED)
    linked = file("/var/lib/web/seg-0003", Kind.CREATED)
    writers = Writers.of([write(made.subject)], BEGAN)
    assert separate([made, gone, elsewhere, linked], writers=writers) == ([elsewhere, linked], [made, gone])
    changed = replace(made, kind=Kind.CONTENT)
    assert separate([changed, gone], writers=writers) == ([gone], [changed])
    many = [gone, file("/var/lib/web/seg-0000", Kind.DELETED)]
    assert separate([made, *many], writers=writers) == ([many[1]], [made, gone]), "one for one"


def test_a_new_directory_is_whose_files_it_holds() -> None:
    top, below, mixed, empty = (
        file(f"/var/lib/web{path}", Kind.CREATED) for path in ("/block", "/block/chunks", "/mixed", "/empty")
    )
    files = [file(f"{path}/{name}", Kind.CREATED) for path, name in ((below.subject, "1"), (mixed.subject, "1"))]
    other = file(f"{mixed.subject}/2", Kind.CREATED)
    writers = Writers.of([write(one.subject) for one in files], BEGAN)
    parts = separate([top, below, mixed, empty, *files, other], writers=writers)
    assert parts == ([mixed, empty, other], [top, below, *files])


def test_the_control_window_is_no_excuse_for_a_task_that_wrote_too() -> None:
    moving = file("/srv/a")
    assert not is_real(moving, write("/srv/a", 1200, "web.service"), control=[moving])
    assert not is_real(moving, write("/srv/a", None, None), control=[moving])
    assert not is_real(moving, write("/srv/a", 900, ""), control=[moving])
    assert is_real(moving, write("/srv/a"), write("/srv/a", 1200, ""), control=[moving])
