"""docs/operation.md agrees with the service: its settings, its paths, and how long it takes to leave."""

import re

from service.app import create_app
from service.settings import Settings, setting_rows
from tests.e2e.conftest import REPOSITORY
from tests.service.fakes import build_service

TEXT = (REPOSITORY / "docs" / "operation.md").read_text()


def test_every_setting_that_is_named_exists():
    named = set(re.findall(r"\bRPN_[A-Z0-9_]+", TEXT))
    assert "RPN_MAX_HELD_BYTES" in named
    assert named <= {row.name for row in setting_rows()}


def test_the_time_to_leave_is_the_settings_own():
    defaults = Settings()
    seconds = defaults.drain_grace_s + defaults.upload_timeout_s + defaults.deadline_s
    assert f"{seconds:.0f} seconds by default" in TEXT


def test_the_pod_asks_what_the_service_answers():
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    probes = re.findall(r"(\w+)Probe: \{httpGet: \{path: (/\w+), port: 8000\}", block)
    assert [kind for kind, _ in probes] == ["startup", "readiness", "liveness"]
    assert {path for _, path in probes} <= set(create_app(build_service()).openapi()["paths"])
    assert "enableServiceLinks: false" in block, "else a Service's name may make a setting's"
    (grace,) = re.findall(r'RPN_DRAIN_GRACE_S, value: "(\d+)"', block)
    (patience,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", block)
    defaults = Settings()
    assert int(patience) > int(grace) + defaults.upload_timeout_s + defaults.deadline_s


def test_the_balancers_codes_are_those_of_its_configuration():
    configured = re.findall(r'"code":"([a-z_]+)"', (REPOSITORY / "deploy" / "haproxy.cfg").read_text())
    assert set(re.findall(r"`([a-z_]+)` \([45]\d\d", TEXT)) == set(configured)
