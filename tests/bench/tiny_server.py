"""A real HTTP server of few lines, which answers as a test says."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False  # instead of an answer
    close: bool = False  # after the answer


@dataclass
class TinyServer:
    reply: Callable[[int, Asked], Reply]
    address: str = ""
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    # what `bench.service_process.ServiceProcess` has of memory
    resident: int = 100 * 2**20

    def resident_bytes(self) -> int:
        return self.resident


@contextlib.contextmanager
def tiny_server(reply: Callable[[int, Asked], Reply] = lambda number, asked: Reply()) -> Iterator[TinyServer]:
    tiny = TinyServer(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked = Asked(self.path, dict(self.headers), body, self.client_address[1])
            with tiny.lock:
                tiny.asked.append(asked)
                number = len(tiny.asked)
            answer = tiny.reply(number, asked)
            self.close_connection = answer.hang_up or answer.close
            if answer.hang_up:
                return
            self.send_response(answer.status)
            chunked = "Transfer-Encoding" in answer.headers
            headers = {**({} if chunked else {"Content-Length": str(len(answer.body))}), **answer.headers}
            if answer.close:
                headers["Connection"] = "close"
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        tiny.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield tiny
        finally:
            server.shutdown()
            thread.join()
