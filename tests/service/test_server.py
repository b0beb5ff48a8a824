"""The process as an orchestrator sees it: started, signalled, gone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from service import cli, server
from service.admission import LONGEST_WAIT_S
from service.commands import serve as serve_command
from service.errors import StartupError
from service.server import listen
from service.settings import Settings
from tests.service.fakes import PATIENCE_S, picture, until_now

ROOT = Path(__file__).parents[2]

SERVE_FAKE = """
import sys
from service.logs import configure_logging
from service.server import serve
from service.settings import read_settings
from tests.service.fakes import FakePredictor
configure_logging("info")
serve(read_settings(port=0), lambda path, device: FakePredictor())
sys.exit(7 if "torch" in sys.modules else 0)
"""
LOCKING_FAKE = SERVE_FAKE.replace('"torch" in sys.modules', "sys.getswitchinterval() < 0.001").replace(
    "configure_logging(", "FakePredictor.device = sys.argv[1]\nconfigure_logging(", 1
)
COUNTING_FAKE = SERVE_FAKE.replace('"torch" in sys.modules', "sys.modules['gc'].get_freeze_count() < 10_000")


@contextmanager
def process(*command: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, **{f"RPN_{name.upper()}": value for name, value in settings.items()}}
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def address(started: subprocess.Popen[str]) -> str:
    """From its first line; returns once the models are loaded."""
    assert started.stdout is not None
    url = ""
    for line in started.stdout:
        message = json.loads(line)["message"]
        if message.startswith("listening on "):
            url = message.removeprefix("listening on ")
        if message == "ready":
            return url
    raise AssertionError(f"it ended: {started.stderr.read() if started.stderr else ''}")


def status(url: str) -> int:
    return httpx.get(url, timeout=PATIENCE_S).status_code


def test_a_whole_request_never_imports_torch_and_sigterm_leaves_gently():
    with process("-c", SERVE_FAKE, drain_grace_s="3") as started:
        url = address(started)
        answer = httpx.post(f"{url}/propose", content=picture(), timeout=PATIENCE_S)
        assert (answer.status_code, answer.json()["count"]) == (200, 300)
        assert status(f"{url}/readyz") == 200
        started.send_signal(signal.SIGTERM)
        until_now(lambda: status(f"{url}/readyz") == 503)
        assert status(f"{url}/healthz") == 200
        assert httpx.post(f"{url}/propose", content=picture(), timeout=PATIENCE_S).status_code == 200
        assert started.wait(PATIENCE_S) == 0
        assert started.stderr is not None
        assert started.stderr.read() == ""


SLOW_FAKE = """
import sys, time
from service.logs import configure_logging
from service.server import serve
from service.settings import read_settings
from tests.service.fakes import FakePredictor
configure_logging("info")
def load(path, device):
    time.sleep({loading})
    fake = FakePredictor()
    def slow(pixels):
        print('{{"message": "in hand"}}', flush=True)
        time.sleep(1)
    fake.fault = slow
    return fake
serve(read_settings(port=0), load)
"""


def test_what_is_loaded_is_spared_by_the_collector():
    with process("-c", COUNTING_FAKE, drain_grace_s="0") as started:
        address(started)
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(("device", "exit_status"), [("cpu", 0), ("cuda:0", 7)])  # 7: it is passed on soon
def test_beside_a_gpu_no_thread_keeps_the_interpreter_for_long(device: str, exit_status: int):
    with process("-c", LOCKING_FAKE, device, drain_grace_s="0") as started:
        address(started)
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_S) == exit_status


def test_what_is_in_hand_is_answered_before_it_leaves():
    with process("-c", SLOW_FAKE.format(loading=0), drain_grace_s="0") as started, ThreadPoolExecutor(1) as caller:
        url = address(started)
        asked = caller.submit(httpx.post, f"{url}/propose", content=picture(), timeout=PATIENCE_S)
        assert started.stdout is not None
        assert any("in hand" in line for line in started.stdout)
        started.send_signal(signal.SIGTERM)
        answer = asked.result(PATIENCE_S)
        assert (answer.status_code, answer.json()["count"]) == (200, 300)
        assert started.wait(PATIENCE_S) == 0


def test_who_is_still_loading_waits_out_no_grace():
    with process("-c", SLOW_FAKE.format(loading=600), drain_grace_s="600") as started:
        assert started.stdout is not None
        line = next(line for line in started.stdout if "listening on" in line)
        url = json.loads(line)["message"].removeprefix("listening on ")
        assert status(f"{url}/readyz") == 503
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_S) == 0, "and not for the load either"


def test_connections_are_kept_as_long_as_the_setting_says():
    with process("-c", SERVE_FAKE, keep_alive_s="3") as started:
        url = urlsplit(address(started))
        with closing(HTTPConnection(url.netloc, timeout=PATIENCE_S)) as kept:
            for wait_s in (0.0, 0.3):
                time.sleep(wait_s)  # within the setting: it goes on
                kept.request("GET", "/healthz")
                assert kept.getresponse().read() == b'{"status":"alive"}'
            assert kept.sock.recv(1) == b"", "closed, and long before the default"


def test_who_keeps_a_connection_is_sent_away_before_the_process_ends():
    """Else his next request would meet the end: nothing tells him of it but an answer."""
    with process("-c", SERVE_FAKE, drain_grace_s="3") as started:
        url = address(started)
        with closing(HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)) as kept:
            assert ask(kept) == (200, None)
            started.send_signal(signal.SIGTERM)
            until_now(lambda: status(f"{url}/readyz") == 503)
            sock = kept.sock
            assert ask(kept) == (200, "close")
            assert sock is not None
            assert kept.sock is None  # the last answer on it came by the connection that was kept
            assert ask(kept) == (200, "close")  # who connects anew is served as well
        assert started.wait(PATIENCE_S) == 0


def ask(connection: HTTPConnection) -> tuple[int, str | None]:
    """The status of a picture's answer, and what becomes of the connection."""
    connection.request("POST", "/propose", picture())
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers["Connection"]


def test_idle_connections_outlast_every_retry_after_by_default():
    assert Settings().keep_alive_s > LONGEST_WAIT_S


def test_sigint_skips_the_grace():
    with process("-c", SERVE_FAKE, drain_grace_s="600") as started:
        address(started)
        started.send_signal(signal.SIGINT)
        assert started.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_at_once():
    with process("-c", SERVE_FAKE, drain_grace_s="600") as started:
        url = address(started)
        started.send_signal(signal.SIGTERM)
        until_now(lambda: status(f"{url}/readyz") == 503)
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_a_failed_load_is_one_line_and_a_status():
    load = "lambda path, device: (_ for _ in ()).throw(CheckpointError('x.safetensors is damaged'))"
    program = f"""
import sys
from model.errors import CheckpointError
from service import cli, server
from service.commands import serve
real = server.serve
server.serve = lambda settings: real(settings, {load})
sys.exit(cli.main(["serve", "--port", "0"]))
"""
    with process("-c", program) as started:
        out, err = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 2
    assert err == "rpn: x.safetensors is damaged\n"
    assert "Traceback" not in out


def test_the_settings_reach_the_loader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked: dict[str, object] = {}
    monkeypatch.setattr(
        server, "load_predictor", lambda path, device, **how: asked.update(how, path=path, device=device)
    )
    settings = Settings(lanes=3, cache_dir=tmp_path, precision="fp32", runtime="torch", device="cpu")
    server._real_load(settings)(Path("x"), "cpu")
    assert asked == {
        "path": Path("x"),
        "device": "cpu",
        "lanes": 3,
        "cache": tmp_path,
        "precision": "fp32",
        "runtime": "torch",
    }


def test_the_command_line_says_where_to_listen_and_the_settings_how_much_to_log(monkeypatch: pytest.MonkeyPatch):
    served: list[Settings] = []
    levels: list[str] = []
    monkeypatch.setenv("RPN_LOG_LEVEL", "warning")
    monkeypatch.setattr(server, "serve", served.append)
    monkeypatch.setattr(serve_command, "configure_logging", levels.append)
    assert cli.main(["serve", "--host", "::1", "--port", "0"]) == 0
    assert [(settings.host, settings.port) for settings in served] == [("::1", 0)]
    assert levels == ["warning"]


def test_a_taken_port_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: .*in use"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no such host", "127.0..1", "x" * 70])
def test_not_an_address_is_one_line(host: str):
    with pytest.raises(StartupError, match=rf"^cannot listen on {host}:80: "):
        listen(host, 80)


def test_misspelt_settings_are_mentioned():
    with process("-c", SERVE_FAKE, max_bathc="1") as started:
        assert started.stdout is not None
        assert "RPN_MAX_BATHC is none of our settings" in json.loads(started.stdout.readline())["message"]


def test_answers_are_not_held_back_until_earlier_parts_are_acknowledged():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


_LOSE_THE_DEVICE = """
import sys
from model.errors import DeviceLost
from service import cli, server
from tests.service.fakes import FakePredictor
fake = FakePredictor()
def lose(pixels):
    raise DeviceLost("an illegal memory access")
fake.fault = lose
real = server.serve
server.serve = lambda settings: real(settings, lambda path, device: fake)
sys.exit(cli.main(["serve", "--port", "0"]))
"""


def test_a_lost_device_ends_the_process():
    with process("-c", _LOSE_THE_DEVICE) as started:
        url = address(started)
        answer = httpx.post(f"{url}/propose", content=picture(), timeout=PATIENCE_S)
        assert (answer.status_code, answer.json()["code"]) == (503, "engine_failed")
        _, err = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 2
    assert err == "rpn: the device is lost; only a new process can go on\n"


def test_a_lost_device_does_not_wait_for_an_upload():
    with process("-c", _LOSE_THE_DEVICE, body_timeout_s="60") as started:
        url = address(started)
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as slow:
            slow.sendall(b"POST /propose HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
            assert httpx.post(f"{url}/propose", content=picture(), timeout=PATIENCE_S).status_code == 503
            assert started.wait(PATIENCE_S) == 2


def test_a_device_that_is_lost_in_the_grace_ends_the_process_at_once():
    with process("-c", _LOSE_THE_DEVICE, drain_grace_s="60") as started:
        url = address(started)
        started.send_signal(signal.SIGTERM)
        until_now(lambda: status(f"{url}/readyz") == 503)
        assert httpx.post(f"{url}/propose", content=picture(), timeout=PATIENCE_S).status_code == 503
        assert started.wait(PATIENCE_S) == 2


_SLOW_DRIVER = """
import time
from service import preparing
from service.logs import configure_logging
from service.server import serve
from service.settings import read_settings
configure_logging("info")
preparing.unprepared = lambda paths, **chosen: (print("asked", flush=True), time.sleep(60))
serve(read_settings(port=0))
"""


def test_who_waits_for_a_driver_before_anything_is_loaded_waits_no_longer_once_told_to_leave():
    with process("-c", _SLOW_DRIVER) as started:
        assert started.stdout is not None
        assert "asked\n" in [next(started.stdout) for _ in range(2)]
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_S) == 0


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="a machine without IPv6 beside IPv4")
def test_all_ipv6_addresses_are_all_of_ipv4_too():
    with listen("::", 0) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=PATIENCE_S).close()
