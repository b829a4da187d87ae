"""The platform's alert rules, judged by Prometheus itself: `tests/alerts/` says when each fires and when not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

CHECKOUT = Path(__file__).parents[2]
RULES = CHECKOUT / "infra/ansible/roles/monitoring/files/alerts.yml"
TESTS = sorted((CHECKOUT / "tests" / "alerts").glob("*.test.yml"))

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed: it is in Debian's package prometheus, from Debian 13 on in promtool",
)


@promtool
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_alerts_fire_when_they_should_and_not_before(path: Path) -> None:
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_firing_and_silent() -> None:
    alerts = {rule["alert"] for group in YAML(typ="safe").load(RULES)["groups"] for rule in group["rules"]}
    looks = [look for path in TESTS for one in YAML(typ="safe").load(path)["tests"] for look in one["alert_rule_test"]]
    assert {look["alertname"] for look in looks if "exp_alerts" in look} == alerts
    assert {look["alertname"] for look in looks if "exp_alerts" not in look} == alerts
