import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from rejeu.observe.agent import units
from rejeu.observe.snapshot import Unit

# As systemctl shows them: in an order of its own, a command line by line, and one that holds an empty line.
SHOWN = """\
Type=notify
MainPID=40
NRestarts=2
EnvironmentFiles=/etc/default/web (ignore_errors=yes)
EnvironmentFiles=/etc/web/more.env (ignore_errors=no)
ExecStartPre={ path=/bin/sh ; argv[]=/bin/sh -c echo

MainPID of my own ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
ExecStart={ path=/bin/cat ; argv[]=/bin/cat CONFIG --other=/etc/no-such-file -p/var/x ; ignore_errors=no ; pid=0 }
ControlGroup=/system.slice/web.service
Id=web.service
TriggeredBy=web.timer web.socket
BusName=org.example.Web
LoadState=loaded
ActiveState=active
SubState=running
FragmentPath=/etc/systemd/system/web.service
DropInPaths=/etc/systemd/system/web.service.d/a.conf /run/systemd/system/web.service.d/b.conf
InvocationID=i1
InactiveExitTimestampMonotonic=1000000
StateChangeTimestampMonotonic=0

Id=dev-sda.device
LoadState=loaded

ControlGroup=
Id=-.mount
LoadState=loaded
ActiveState=active
SubState=mounted
InactiveExitTimestampMonotonic=0
StateChangeTimestampMonotonic=0
ConditionResult=no
ConditionTimestampMonotonic=0
"""

FIRST = {"since_us": None}


def test_units_as_systemctl_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "run", lambda *argv: SHOWN)
    monkeypatch.setattr(units, "youngest_processes", lambda groups: dict.fromkeys(groups, 7))
    web, root = (Unit(*row) for row in units.units(FIRST))
    assert (web.name, web.invocation, web.main_pid, web.restarts) == ("web.service", "i1", 40, 2)
    assert list(web.triggered_by) == ["web.timer", "web.socket"]
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert web.started_ns == pytest.approx(boot_ns + 1_000_000_000, abs=1_000_000_000)
    assert (root.name, root.main_pid, root.started_ns, root.changed_ns) == ("-.mount", 0, None, None)
    assert (web.process_ns, root.process_ns) == (7, None)
    assert (web.bus_name, root.bus_name) == ("org.example.Web", "")


def shown(name: str, **more: str) -> str:
    properties = {"LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead"} | more
    times = "InactiveExitTimestampMonotonic=0\nStateChangeTimestampMonotonic=0\n"
    return f"Id={name}\n{times}" + "".join(f"{key}={value}\n" for key, value in properties.items()) + "\n"


@pytest.mark.parametrize(("result", "at", "is_skipped"), [("no", "5", True), ("no", "0", False), ("yes", "5", False)])
def test_a_unit_that_was_never_to_start_was_not_skipped(
    monkeypatch: pytest.MonkeyPatch, result: str, at: str, is_skipped: bool
) -> None:
    output = shown("web.service", ConditionResult=result, ConditionTimestampMonotonic=at)
    monkeypatch.setattr(units, "run", lambda *argv: output)
    assert [Unit(*row).skipped for row in units.units(FIRST)] == [is_skipped]


def test_sockets_that_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    output = shown("a.socket", Accept="yes") + shown("b.socket", Accept="no") + shown("c.service")
    monkeypatch.setattr(units, "run", lambda *argv: output)
    assert [Unit(*row).accepts for row in units.units(FIRST)] == [True, False, False]


def test_what_ran_and_was_unloaded_is_shown_by_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    definitions = {
        "*": shown("web.service"),
        "gone.service": shown("gone.service", Type="dbus"),
        "run-u1.service": shown("run-u1.service", LoadState="not-found"),
    }
    names = ("gone.service", "web.service", "run-u1.service", "gone.service")
    monkeypatch.setattr(units, "jobs", lambda request: [[name, "start", 1, "done", "i1"] for name in names])
    monkeypatch.setattr(units, "run", lambda *argv: "".join(definitions[name] for name in argv[argv.index("--") + 1 :]))
    found = {unit.name: unit.type for unit in (Unit(*row) for row in units.units({"since_us": 1}))}
    assert found == {"web.service": "", "gone.service": "dbus"}


def test_a_unit_reads_what_its_definition_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "etc" / "web.conf"
    config.parent.mkdir()
    config.write_text("x")
    monkeypatch.setattr(units, "CONFIGURATION", re.compile(f"/etc/|{tmp_path}/etc/"))
    monkeypatch.setattr(units, "run", lambda *argv: SHOWN.replace("CONFIG", f"--config={config}"))
    web, root = (Unit(*row) for row in units.units(FIRST))
    assert list(web.reads) == sorted(
        [
            str(config),
            *("/etc/default/web", "/etc/web/more.env", "/etc/systemd/system/web.service"),
            *("/etc/systemd/system/web.service.d/a.conf", "/run/systemd/system/web.service.d/b.conf"),
        ]
    )
    assert list(root.reads) == []


def test_a_unit_reads_where_its_links_lead(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr" / "real").write_text("x")
    (tmp_path / "lib").symlink_to("usr")
    (tmp_path / "usr" / "web.service").symlink_to("real")
    found = units.reads({"FragmentPath": [f"{tmp_path}/lib/web.service"]}, 0)
    assert found == [f"{tmp_path}/usr/real", f"{tmp_path}/usr/web.service"]


@pytest.mark.parametrize(
    ("path", "is_configuration"),
    [
        ("/etc/web/anything", True),
        ("/usr/local/etc/web.lua", True),
        ("/opt/web/config.yml", True),
        ("/srv/web/app.toml", True),
        ("/opt/web/data.db", False),
        ("/var/lib/web/state.json", False),
        ("/run/web.conf", False),
        ("/usr/bin/web", False),
    ],
)
def test_only_configuration_is_read(path: str, is_configuration: bool) -> None:
    assert bool(units.CONFIGURATION.match(path)) is is_configuration


def test_what_a_variable_stands_for_shows_in_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "web.conf"
    config.write_text("x")
    monkeypatch.setattr(units, "CONFIGURATION", re.compile(re.escape(str(tmp_path))))
    shell = ["sh", "-c", "echo; read wait", "-c", str(config)]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert units.reads({}, process.pid) == [str(config)]
        process.communicate(b"\n")
    assert units.reads({}, process.pid) == []


@pytest.mark.parametrize(
    ("cgroup", "group"),
    [
        ("0::/system.slice/web.service\n", "/system.slice/web.service"),
        ("0::/system.slice/web.service/worker/1\n", "/system.slice/web.service"),
        ("4:memory:/x\n1:name=systemd:/system.slice/web.service\n0::/\n", "/system.slice/web.service"),
        ("4:memory:/system.slice/web.service\n", None),
        ("0::/system.slice/web.service.other\n", None),
        ("0::/\n", None),
    ],
)
def test_a_process_belongs_to_the_unit_of_its_control_group(cgroup: str, group: str | None) -> None:
    assert units.unit_group(cgroup, {"/system.slice/web.service"}) == group


def test_the_youngest_process_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "unit_group", lambda cgroup, groups: "/mine")
    started_ns = time.time_ns()
    with subprocess.Popen(["sh", "-c", "read wait"], stdin=subprocess.PIPE) as process:
        youngest_ns = units.youngest_processes({"/mine"})["/mine"]
        process.communicate(b"\n")
    assert youngest_ns == pytest.approx(started_ns, abs=2_000_000_000)


def test_jobs_after_the_moment_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reloaded, started = "7b05ebc668384222baa8881179cfda54", "39f53479d3a045ac8e11786248231fbf"
    ended = "7ad2d189f7e94e70a38c781354912448"
    journal = [
        {"MESSAGE_ID": reloaded, "UNIT": "web.service", "_SOURCE_REALTIME_TIMESTAMP": "2000000"},
        {"MESSAGE_ID": reloaded, "_SOURCE_REALTIME_TIMESTAMP": "2000002"},
        {
            "MESSAGE_ID": reloaded,
            "UNIT": "web.service",
            "JOB_RESULT": "done",
            "_SOURCE_REALTIME_TIMESTAMP": "2000001",
            "__REALTIME_TIMESTAMP": "2000009",
        },
        {"MESSAGE_ID": started, "UNIT": "b.service", "__REALTIME_TIMESTAMP": "2000003", "INVOCATION_ID": "i1"},
        {"MESSAGE_ID": ended, "UNIT": "run-u1.service", "__REALTIME_TIMESTAMP": "2000004"},
        {"MESSAGE_ID": started, "UNIT": "session-c2.scope", "__REALTIME_TIMESTAMP": "2000005"},
        {"MESSAGE_ID": started, "UNIT": "user-1.slice", "__REALTIME_TIMESTAMP": "2000006"},
    ]
    asked: list[str] = []

    def journalctl(*argv: str) -> str:
        asked.extend(argv)
        return "\n".join(map(json.dumps, journal))

    monkeypatch.setattr(units, "run", journalctl)
    assert units.jobs({"since_us": 2_000_000}) == [
        ["web.service", "reload", 2_000_001_000, "done", ""],
        ["b.service", "start", 2_000_003_000, "", "i1"],
        ["run-u1.service", "end", 2_000_004_000, "", ""],
    ]
    assert asked[asked.index("--since") + 1] == "@2"
    assert units.jobs({"since_us": None}) == []
