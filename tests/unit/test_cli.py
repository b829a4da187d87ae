from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rejeu.cli import commands, main
from rejeu.errors import ConfigError, HarnessError, RejeuError, UnavailableError
from rejeu.session import Session

SESSIONS = ["idempotence", "tags-isolation"]


def rejeu(*arguments: str) -> Result:
    return CliRunner().invoke(commands, arguments)


def one_line(result: Result, code: int) -> str:
    assert result.exit_code == code
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", SESSIONS)
def test_an_unknown_target_is_wrong_usage(checkout: Path, name: str) -> None:
    line = one_line(rejeu(name, "--target", "debian-11"), 2)
    assert line == "rejeu: --target debian-11: no such target; there are debian-12, debian-13"


@pytest.mark.parametrize("name", SESSIONS)
def test_an_unknown_domain_is_wrong_usage(checkout: Path, name: str) -> None:
    line = one_line(rejeu(name, "--domain", "vpm"), 2)
    assert line.startswith("rejeu: --domain vpm: no such domain or family; there are base, database, firewall")


def test_a_problem_of_the_matrix_is_told_with_its_line(checkout: Path, matrix_text: str) -> None:
    path = checkout / "ci" / "matrix.yml"
    path.write_text(matrix_text.replace("always:", "alway:"))
    number = matrix_text[: matrix_text.index("always:")].count("\n") + 1
    line = one_line(rejeu("idempotence", "--list"), 2)
    assert line.startswith(f"rejeu: ci/matrix.yml:{number}: alway: unknown key; there are ")


def test_without_a_matrix_one_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "pass --matrix" in one_line(rejeu("idempotence", "--list"), 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["unheard-of"],
        ["idempotence", "--nonsense"],
        ["idempotence", "--replays", "0"],
        ["idempotence", "--interrupt", "every:0"],
        ["idempotence", "--list", "--only", "half-way", "--interrupt", "none"],
        ["idempotence", "--list", "--only", "replay", "--interrupt", "all"],
        ["idempotence", "--list", "--only", "replay", "--interrupt", "sampled"],
        ["tags-isolation", "--replays", "2"],
    ],
)
def test_wrong_usage(checkout: Path, arguments: list[str]) -> None:
    assert rejeu(*arguments).exit_code == 2


def test_the_cells_are_listed_one_a_line(checkout: Path) -> None:
    result = rejeu("idempotence", "--list", "--target", "debian-13")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "idempotence.debian-13.base  from a bare image",
        "idempotence.debian-13.firewall  from base",
        "idempotence.debian-13.vpn  from base",
        "idempotence.debian-13.postgresql  from base + vpn",
        "idempotence.debian-13.site  from a bare image",
        "half-way.debian-13.base  from a bare image",
        "half-way.debian-13.firewall  from base",
        "half-way.debian-13.vpn  from base",
        "half-way.debian-13.postgresql  from base + vpn",
    ]


@pytest.mark.parametrize(
    ("options", "checks"),
    [
        (["--interrupt", "none"], ["idempotence"]),
        (["--only", "replay"], ["idempotence"]),
        (["--only", "replay", "--interrupt", "none"], ["idempotence"]),
        (["--only", "half-way"], ["half-way"]),
        (["--interrupt", "every:3"], ["idempotence", "half-way"]),
    ],
)
def test_which_checks_of_a_domain_are_made(checkout: Path, options: list[str], checks: list[str]) -> None:
    result = rejeu("idempotence", "--list", "--target", "debian-13", "--domain", "base", *options)
    assert result.stdout.splitlines() == [f"{check}.debian-13.base  from a bare image" for check in checks]


def test_domains_families_and_targets_may_be_repeated(checkout: Path) -> None:
    both = ("--target", "debian-12", "--target", "debian-13")
    result = rejeu("tags-isolation", "--list", *both, "--domain", "network", "--domain", "base")
    assert result.stdout.splitlines() == [
        line
        for target in ("debian-12", "debian-13")
        for line in (
            f"tags-isolation.{target}.base  from site",
            f"tags-isolation.{target}.network  from site",
            f"cold.{target}.base  from a bare image",
            f"cold.{target}.network  from base",
        )
    ]


def test_a_long_line_of_the_list_is_not_folded(checkout: Path, matrix_text: str) -> None:
    name = "a-domain-with-a-name-that-would-not-fit-into-eighty-columns-of-a-terminal"
    other = checkout / "other.yml"
    other.write_text(f"{matrix_text}  {name}:\n    roles: [x]\n    requires: [postgresql]\n")
    options = ("--domain", name, "--target", "debian-12", "--interrupt", "none")
    result = rejeu("idempotence", "--list", "--matrix", str(other), *options)
    assert result.stdout == f"idempotence.debian-12.{name}  from base + vpn + postgresql\n"


@pytest.fixture
def faults(checkout: Path) -> None:
    folder = checkout / "tests" / "faults"
    folder.mkdir(parents=True)
    for name, more in (("motd-appended", ""), ("motd-rewritten", "extended: true\n")):
        (folder / f"{name}.yml").write_text(
            f"id: {name}\nclass: appended\nsummary: A [line] too much.\ndomain: vpn\ncheck: idempotence\n{more}"
            "overlay: [{file: site.yml, append: x}]\nexpect: {kind: content, subject: /etc/motd}\n"
        )


def test_the_list_of_faults_has_the_extended_ones_too(faults: None) -> None:
    assert rejeu("faults", "--list").stdout.splitlines() == [
        "motd-appended  A [line] too much.",
        "motd-rewritten  A [line] too much. (tried with --extended)",
    ]
    assert rejeu("faults", "--list", "--only", "motd-appended").stdout == "motd-appended  A [line] too much.\n"


def test_a_sample_is_of_the_core_and_tells_what_it_leaves_out(faults: None) -> None:
    listed = rejeu("faults", "--list", "--sample")
    assert listed.stdout == "motd-appended  A [line] too much.\n"
    assert listed.stderr == "a sample: 1 of 1 faults; left out: none\n"


@pytest.mark.parametrize("option", [("--extended",), ("--only", "motd-appended")])
def test_a_sample_chooses_by_itself(faults: None, option: tuple[str, ...]) -> None:
    result = rejeu("faults", "--sample", *option)
    assert result.exit_code == 2
    assert "--sample chooses by itself" in result.stderr


def test_the_list_of_faults_is_json_where_it_is_asked_for(faults: None) -> None:
    result = rejeu("faults", "--list", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {
            "id": name,
            "class": "appended",
            "origin": None,
            "summary": "A [line] too much.",
            "check": "idempotence",
            "domain": "vpn",
            "extended": extended,
        }
        for name, extended in (("motd-appended", False), ("motd-rewritten", True))
    ]


@pytest.fixture
def report(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The verdict of an earlier run; the next one is stopped before it writes its own."""

    def fail(_: Session) -> int:
        raise UnavailableError("no engine")

    monkeypatch.setattr(Session, "run", fail)
    path = checkout / "reports" / "idempotence.xml"
    path.parent.mkdir()
    path.write_text("an earlier verdict")
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--target", "debian-11"],
        ["--domain", "vpm"],
        ["--matrix", "elsewhere.yml"],
        ["--only", "half-way", "--interrupt", "none"],
        ["--nonsense"],
        ["--list"],
    ],
)
def test_a_slip_of_the_pen_leaves_the_last_report(report: Path, arguments: list[str]) -> None:
    rejeu("idempotence", *arguments)
    assert report.read_text() == "an earlier verdict"


def test_the_last_report_does_not_stand_for_a_run_that_was_stopped(report: Path) -> None:
    assert rejeu("idempotence", "--domain", "vpn").exit_code == 3
    assert not report.exists()


ERRORS = [(ConfigError, 2), (UnavailableError, 3), (HarnessError, 4), (RejeuError, 4)]


@pytest.mark.parametrize(("kind", "code"), ERRORS)
def test_each_kind_of_error_has_its_exit_code(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, kind: type[RejeuError], code: int
) -> None:
    def fail(_: Session) -> int:
        raise kind("what, where, what to do")

    monkeypatch.setattr(Session, "run", fail)
    assert one_line(rejeu("idempotence"), code) == "rejeu: what, where, what to do"


def test_an_unforeseen_error_is_the_harness_own(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Session) -> int:
        raise KeyError("vpn")

    monkeypatch.setattr(Session, "run", fail)
    assert one_line(rejeu("idempotence"), 4) == "rejeu: KeyError: 'vpn' (--debug shows where)"


@pytest.mark.parametrize("code", [0, 1, 3, 4, 130, 143])
def test_a_sessions_code_is_the_commands(checkout: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(Session, "run", lambda _: code)
    assert rejeu("idempotence").exit_code == code


def test_options_reach_the_session(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Session] = []

    def remember(self: Session) -> int:
        seen.append(self)
        return 0

    monkeypatch.setattr(Session, "run", remember)
    rejeu("idempotence", "--strict", "--replays", "5", "--only", "replay", "--keep", "--require-targets")
    (one,) = seen
    assert (one.options.strict, one.options.replays, one.options.steps, one.options.keep) == (
        True,
        5,
        frozenset(),
        True,
    )
    assert one.require_targets
    assert one.checkout == checkout
    assert sorted(one.given) == [
        ("--keep",),
        ("--only", "replay"),
        ("--replays", "5"),
        ("--require-targets",),
        ("--strict",),
    ]


@pytest.mark.parametrize(("arguments", "code", "kind"), [(["--target", "x"], 2, "ConfigError"), ([], 4, "KeyError")])
def test_debug_gives_the_traceback_and_the_same_code(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, kind: str
) -> None:
    def fail(_: Session) -> int:
        raise KeyError("vpn")

    monkeypatch.setattr(Session, "run", fail)
    assert "Traceback" not in rejeu("idempotence", *arguments).stderr
    result = rejeu("idempotence", "--debug", *arguments)
    assert result.exit_code == code
    assert result.stderr.startswith("Traceback")
    assert kind in result.stderr


def test_wrong_usage_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["rejeu", "idempotence", "--nonsense"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "rejeu: No such option '--nonsense'. (see rejeu idempotence --help)\n"
