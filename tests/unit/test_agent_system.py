from pathlib import Path

import pytest

from rejeu.observe.agent import modules, sysctl, timers, tools, users

REQUEST = {"key": "00"}


def write_accounts(etc: Path, password: str = "$y$j9T$abc") -> None:  # noqa: S107
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n+nis\n")
    (etc / "group").write_text("ssl-cert:x:101:web,app\n")
    (etc / "shadow").write_text(f"root:{password}:20000:0:99999:7:::\n")
    (etc / "gshadow").write_text("ssl-cert:!::web,app\n")


def test_accounts_are_told_and_their_secrets_are_not(tmp_path: Path) -> None:
    write_accounts(tmp_path)
    user, group, shadow, gshadow = users.users(REQUEST, str(tmp_path))
    assert user == ["user root", {"uid": "0", "gid": "0", "name": "root", "home": "/root", "shell": "/bin/bash"}, ""]
    assert group == ["group ssl-cert", {"gid": "101", "members": "app,web"}, ""]
    assert (shadow[0], gshadow[0]) == ("shadow root", "gshadow ssl-cert")
    assert not any(secret in repr([shadow, gshadow]) for secret in ("j9T", "20000", "99999", "!"))


def test_a_password_that_is_set_again_shows(tmp_path: Path) -> None:
    write_accounts(tmp_path)
    before = users.users(REQUEST, str(tmp_path))
    write_accounts(tmp_path, "$y$j9T$other")
    after = users.users(REQUEST, str(tmp_path))
    moved = {
        (old[0], key) for old, new in zip(before, after, strict=True) for key in old[1] if old[1][key] != new[1][key]
    }
    assert moved == {("shadow root", "password")}


def test_a_machine_without_shadow_files(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root::0:0:root:/root:/bin/sh\n")
    assert [row[0] for row in users.users(REQUEST, str(tmp_path))] == ["user root"]


TIMERS = """\
TimersCalendar={ OnCalendar=*-*-* 06:00:00 ; next_elapse=Thu 2026-11-26 06:00:00 UTC }
TimersCalendar={ OnCalendar=*-*-* 18:00:00 ; next_elapse=(null) }
Unit=dump.service
Persistent=yes
Id=dump.timer
ActiveState=active

TimersMonotonic={ OnBootUSec=15min ; next_elapse=15min }
Id=idle.timer
ActiveState=inactive
"""


def test_active_timers_have_their_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rejeu.observe.agent.units.run", lambda *argv: TIMERS)
    calendar = "OnCalendar=*-*-* 06:00:00; OnCalendar=*-*-* 18:00:00"
    values = {"TimersCalendar": calendar, "Unit": "dump.service", "Persistent": "yes"}
    assert list(timers.systemd_timers()) == [["timer dump.timer", values, ""]]


CRONTAB = """\
# m h dom mon dow user command
SHELL = /bin/sh
17 *\t* * *   root    cd / && run-parts /etc/cron.hourly
@daily app /opt/app/clean --all
@daily app /opt/app/clean --all
0 3 * *
"""


def test_the_system_s_crontab(tmp_path: Path) -> None:
    crontab = tmp_path / "crontab"
    crontab.write_text(CRONTAB)
    crontab.chmod(0o644)
    assert timers.cron_rows(str(crontab), "", REQUEST) == [
        [f"cron {crontab}: sets SHELL = /bin/sh", {}, ""],
        [f"cron {crontab}: root runs cd / && run-parts /etc/cron.hourly", {"schedule": "17 * * * *"}, ""],
        [f"cron {crontab}: app runs /opt/app/clean --all", {"schedule": "@daily; @daily"}, ""],
    ]


@pytest.mark.parametrize("line", ["PASSWORD=hunter2", "0 3 * * * curl -u app:hunter2 localhost", "@reboot hunter2"])
@pytest.mark.parametrize(("owner", "mode"), [("", 0o640), ("app", 0o600), ("app", 0o644)])
def test_a_command_that_not_everybody_may_read_is_a_keyed_digest(
    tmp_path: Path, owner: str, mode: int, line: str
) -> None:
    crontab = tmp_path / "crontab"
    crontab.write_text(
        line if owner or "=" in line else line.replace("curl", "app curl").replace("reboot", "reboot app")
    )
    crontab.chmod(mode)
    (row,) = timers.cron_rows(str(crontab), owner, REQUEST)
    assert "hunter2" not in repr(row)


def test_where_there_is_no_cron(tmp_path: Path) -> None:
    assert timers.listed(str(tmp_path / "none")) == []
    assert timers.cron_rows(str(tmp_path / "none"), "", REQUEST) == []
    assert timers.cron_rows(str(tmp_path), "", REQUEST) == []


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("net.ipv4.ip_forward = 1", ["net/ipv4/ip_forward"]),
        ("-net/ipv4/conf/eth0.100/rp_filter=1", ["net/ipv4/conf/eth0.100/rp_filter"]),
        ("net.ipv4.conf.eth0/100.rp_filter = 1", ["net/ipv4/conf/eth0.100/rp_filter"]),
        ("net.ipv4.conf.*.rp_filter = 2", ["net/ipv4/conf/*/rp_filter"]),
        ("-net.ipv4.conf.all.rp_filter", ["net/ipv4/conf/all/rp_filter"]),
        ("# vm.swappiness = 1", []),
        ("; vm.swappiness = 1", []),
        ("", []),
    ],
)
def test_declared_kernel_settings(line: str, paths: list[str]) -> None:
    assert list(sysctl.declared(line)) == paths


def test_only_what_can_be_set_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysctl, "ROOT", str(tmp_path))
    modes = {"net/core/somaxconn": 0o644, "net/count": 0o444, "net/flush": 0o200, "net/ipv4/key": 0o600}
    for name, mode in modes.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("40\t96\n")
        (tmp_path / name).chmod(mode)
    paths = {str(tmp_path / name) for name in (*modes, "net/gone")}
    assert list(sysctl.values(paths, REQUEST)) == [
        ["net.core.somaxconn", {"value": "40 96"}, ""],
        ["net.ipv4.key", {"value": tools.keyed(REQUEST, "40 96")}, ""],
    ]


def test_settings_of_containers_links_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysctl, "ROOT", str(tmp_path))
    for name in ("net/ipv4/conf/eth0.1", "net/ipv4/conf/veth1", "net/veth1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "mtu").write_text("1")
    found = {str(Path(path).relative_to(tmp_path)) for path in sysctl.network_paths({"veth1"})}
    assert found == {"net/ipv4/conf/eth0.1/mtu", "net/veth1/mtu"}
    assert [row[0] for row in sysctl.values({str(tmp_path / "net/ipv4/conf/eth0.1/mtu")}, REQUEST)] == [
        "net.ipv4.conf.eth0/1.mtu"
    ]


def test_modules_are_the_kernel_s_own_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"/proc/2/comm": "kthreadd\n", "/proc/modules": "wireguard 118784 1 - Live 0x0\nnf_tables 1 0 - Live 0x0\n"}
    monkeypatch.setattr(modules, "read_text", shown.__getitem__)
    assert modules.modules(REQUEST) == [["module wireguard", {}, ""], ["module nf_tables", {}, ""]]
    shown["/proc/2/comm"] = "sh\n"
    with pytest.raises(tools.NotInstalled, match="in a container"):
        modules.modules(REQUEST)
