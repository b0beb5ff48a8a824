"""The container's files agree with the service's settings and with each other."""

import re
from pathlib import Path

import pytest

from service.problems import MEDIA_TYPE, problem_type
from service.schemas import Problem
from service.settings import Settings, setting_rows

ROOT = Path(__file__).resolve().parents[2]
FILES = ["Dockerfile", "docker-compose.yml", "deploy/haproxy.cfg"]


def text(name: str) -> str:
    return (ROOT / name).read_text()


def found(pattern: str, name: str) -> set[str]:
    values = set(re.findall(pattern, text(name), flags=re.MULTILINE))
    assert values, f"{pattern!r} is nowhere in {name}"
    return values


@pytest.mark.parametrize("name", FILES)
def test_every_setting_that_is_named_exists(name):
    assert found(r"\bRPN_[A-Z0-9_]+", name) <= {row.name for row in setting_rows()}


def test_compose_waits_longer_than_the_service_takes_to_leave():
    [grace] = found(r"RPN_DRAIN_GRACE_S: (\d+)$", "docker-compose.yml")
    patience = min(int(seconds) for seconds in found(r"stop_grace_period: (\d+)s", "docker-compose.yml"))
    defaults = Settings.model_fields
    assert patience > int(grace) + defaults["upload_timeout_s"].default + defaults["deadline_s"].default


def test_the_balancer_looks_away_before_the_grace_ends():
    [(interval, fall)] = re.findall(r"check inter (\d+)s fall (\d+)", text("deploy/haproxy.cfg"))
    [grace] = found(r"RPN_DRAIN_GRACE_S: (\d+)$", "docker-compose.yml")
    assert int(interval) * int(fall) < int(grace)


def test_a_client_that_goes_away_is_told_of():
    """What it does is tested in test_load_balancer.py, with a HAProxy as new as compose's."""
    assert found(r"^ +option (abortonclose)$", "deploy/haproxy.cfg")


def test_the_balancer_is_more_patient_than_the_service():
    for side in ("client", "server"):
        [timeout] = found(rf"timeout {side} (\d+)s", "deploy/haproxy.cfg")
        assert int(timeout) > Settings.model_fields["deadline_s"].default
        assert int(timeout) > Settings.model_fields["body_timeout_s"].default


def test_what_the_balancer_says_itself_is_a_problem_of_the_published_schema():
    """Without an HAProxy; test_load_balancer.py has them said by one."""
    errors = re.findall(r"http-error status (\d+) (.*) lf-string '(.*)'$", text("deploy/haproxy.cfg"), re.MULTILINE)
    assert len(errors) == text("deploy/haproxy.cfg").count("http-error ")
    for status, headers, document in errors:
        assert f"content-type {MEDIA_TYPE} " in headers
        assert headers.endswith("hdr X-Request-ID %[var(txn.request_id)]")
        problem = Problem.model_validate_json(document.replace("%[var(txn.request_id)]", "4f1c"))
        assert (problem.status, problem.type) == (int(status), problem_type(problem.code))
        assert (problem.instance, problem.request_id) == ("urn:rpn:request:4f1c", "4f1c")


def test_compose_passes_on_what_the_balancer_reads_of_its_environment():
    assert found(r"\$\{(\w+)", "deploy/haproxy.cfg") == {"MAX_PER_ADDRESS"}
    assert found(r"^ +- ([A-Z_]+) #", "docker-compose.yml") == {"MAX_PER_ADDRESS"}


def test_one_port_everywhere():
    ports = (
        found(r"RPN_PORT=(\d+)$", "Dockerfile")
        | found(r"^EXPOSE (\d+)$", "Dockerfile")
        | found(r"proposals:(\d+) resolvers", "deploy/haproxy.cfg")
    )
    assert ports == {"8000"}
    assert found(r"'127\.0\.0\.1', int\(e\['(\w+)'\]\), timeout", "Dockerfile") == {"RPN_PORT"}
