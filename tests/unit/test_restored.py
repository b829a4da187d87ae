from __future__ import annotations

import pytest

from rejeu import plan
from rejeu.errors import ConfigError
from rejeu.judge.restored import Content, Recovery, judge_refused, judge_restored, rows
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check
from rejeu.values import Kind

DUMPED = {
    "app public.items": Content(3, "17"),
    "app public.empty": Content(0, "0"),
    "app public.items_id_seq": Content(40, ""),
}


def test_what_is_the_same_is_restored() -> None:
    assert judge_restored(DUMPED, dict(reversed(DUMPED.items()))) == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("app public.items", Content(2, "17"), "app public.items: it had 3 rows, and has 2 after the restore"),
        ("app public.items", Content(3, "18"), "app public.items: it has as many rows as before, but not the same"),
        ("app public.items", None, "app public.items: it had 3 rows, and is missing after the restore"),
        ("app public.empty", None, "app public.empty: it had 0 rows, and is missing after the restore"),
        ("app public.more", Content(0, "0"), "app public.more: it was not dumped, and is there after the restore"),
        ("app public.items_id_seq", Content(1, ""), "app public.items_id_seq: it had 40 rows, and has 1"),
    ],
)
def test_each_table_that_differs_is_named(name: str, content: Content | None, says: str) -> None:
    restored = {key: value for key, value in {**DUMPED, name: content}.items() if value is not None}
    (finding,) = judge_restored(DUMPED, restored)
    assert finding.kind is Kind.DIVERGED
    assert finding.message.startswith(says)


def test_a_drill_without_a_row_proves_nothing() -> None:
    hollow = {"app public.empty": Content(0, "0"), "app public.items_id_seq": Content(40, "")}
    (finding,) = judge_restored(hollow, hollow)
    assert finding.kind is Kind.FAILED
    assert judge_restored({}, {})


def test_sequences_have_no_rows() -> None:
    assert rows(DUMPED) == 3


def test_what_had_to_be_refused_and_was_not_is_named() -> None:
    attempts = [("a wrong key", 3, "no"), ("a truncated dump", 0, "restored"), ("a truncated dump", 1, "oops")]
    restored, broken = judge_refused(attempts, 3)
    assert restored.message == "a restore with a truncated dump ended with exit code 0 instead of 3: restored"
    assert broken.message.endswith("1 instead of 3: oops")


def test_the_recovery_time_is_all_that_an_operator_waits_for() -> None:
    recovery = Recovery(
        converge_s=40.0, copy_s=0.25, restore_s=2.5, dump_bytes=1_500_000, database_bytes=100_000_000, rows=3
    )
    assert recovery.total_s == 42.75
    assert str(recovery).startswith("recovery time: 42.8 s (converged in 40.0 s, ")
    assert str(recovery).endswith("restored in 2.5 s; 3 rows, 100 MB of databases from 1.5 MB of dump)")


def with_backups(matrix: Matrix) -> Matrix:
    backup = matrix.domains["postgresql"].model_copy(update={"requires": ("postgresql",)})
    return matrix.model_copy(update={"domains": {**matrix.domains, "backup": backup}})


def test_a_drill_starts_from_what_the_backup_requires(matrix: Matrix) -> None:
    cells = plan.restore_drill(with_backups(matrix), ["debian-12"], ["database"])
    assert cells == [Cell(Check.RESTORE_DRILL, "debian-12", "backup", ("base", "vpn", "postgresql"))]
    assert cells[0].name == "restore-drill.debian-12.backup"


def test_a_drill_of_something_else_is_refused(matrix: Matrix) -> None:
    with pytest.raises(ConfigError, match="no domain `backup`"):
        plan.restore_drill(matrix, ["debian-12"], ())
    with pytest.raises(ConfigError, match="leave the option out"):
        plan.restore_drill(with_backups(matrix), ["debian-12"], ["vpn"])
