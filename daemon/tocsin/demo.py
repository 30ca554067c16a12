"""`tocsin demo`: the whole daemon on a shipped clip, with a receiver that prints each alarm."""

import json
import secrets
import statistics
import tempfile
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.live import Live
from rich.text import Text
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tocsin.app import App
from tocsin.capture.status import StreamState
from tocsin.config import load as configuration
from tocsin.config.load import Config, HttpSettings
from tocsin.deliver.event import EventType
from tocsin.deliver.formats import links
from tocsin.fields import Secret
from tocsin.frame import Correction
from tocsin.report import Report
from tocsin.resources import find

_BODY_LIMIT = 64 * 1024
_CLIP = "assets/pedestrians.mp4"


class Receiver:
    """A webhook receiver on loopback that verifies every signature, as a real one must.

    `show` gets each verified body and how many seconds after the event it came; from a thread of the receiver.
    """

    def __init__(self, show: Callable[[dict[str, Any], float], None]) -> None:
        self.secret = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
        self._verifier = Webhook(self.secret)
        self._show = show
        # Guards the two below; the server answers each delivery in a thread of its own.
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.delays: list[float] = []
        handler = type("Handler", (_Handler,), {"receive": self._receive})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def start(self) -> None:
        """Start to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()

    def _receive(self, body: bytes, headers: dict[str, str]) -> int:
        now = datetime.now(UTC)
        try:
            event: dict[str, Any] = self._verifier.verify(body, headers)
        except WebhookVerificationError:
            with self._lock:
                self.counts["refused"] += 1
            return 401
        delay = (now - datetime.fromisoformat(event["timestamp"])).total_seconds()
        with self._lock:
            self.counts[event["type"]] += 1
            self.delays.append(delay)
        self._show(event, delay)
        return 204


class _Handler(BaseHTTPRequestHandler):
    receive: ClassVar[Callable[[bytes, dict[str, str]], int]]

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(min(length, _BODY_LIMIT))
        self.send_response(
            type(self).receive(body, {name.lower(): value for name, value in self.headers.items()})
        )
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
        """Say nothing: what came in is printed by the demo."""


def load(state_dir: Path, receiver: Receiver, http: HttpSettings | None = None) -> Config:
    """Return the configuration of the demo, with this run's state folder and receiver in it."""
    path = find("config/demo.yaml")
    config = configuration.loads(path.read_bytes(), name=str(path), folder=find(_CLIP).parent)
    webhook = config.webhooks[0].model_copy(
        update={"url": receiver.url, "secret": Secret("inline", receiver.secret)}
    )
    return config.model_copy(
        update={"state_dir": str(state_dir), "webhooks": (webhook,), "http": http or config.http}
    )


def run(console: Console, stop: threading.Event, http: HttpSettings | None = None) -> str | None:
    """Play the demo until `stop` is set; return why it failed, or None."""
    receiver = Receiver(lambda event, delay: _show(console, event, delay))
    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as state:
        config = load(Path(state), receiver, http)
        app = App(config, configuration.resolve_secrets(config), test=True)
        receiver.start()
        try:
            app.start()
            began = time.monotonic()
            _greet(console, app.report(), receiver)
            with _live_line(console, app, stop):
                failure = app.run(stop)
            report = app.report()
            seconds = time.monotonic() - began
        finally:
            app.stop(2.0)
            receiver.stop()
    _sum_up(console, report, receiver, seconds)
    return failure


def _greet(console: Console, report: Report, receiver: Receiver) -> None:
    detector = report.detector
    console.print(
        "Tocsin demo: a recorded street scene plays as a live camera, and persons at its right edge raise alarms."
    )
    console.print(f"  detector  {detector.model_name} on {detector.placement}")
    for one in report.degradations:
        console.print(f"            degraded ({one.reason}): {one.why}")
    console.print(f"  metrics   http://127.0.0.1:{report.port}/metrics", highlight=False)
    console.print(f"  receiver  {receiver.url} (verifies the signature of each webhook)", highlight=False)
    console.print("Ctrl-C ends it. The first alarm comes within seconds.\n")


@contextmanager
def _live_line(console: Console, app: App, stop: threading.Event) -> Iterator[None]:
    """Show one line that is renewed twice a second, on a terminal only."""
    if not console.is_terminal:
        yield
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def renew() -> None:
            last, count = time.monotonic(), 0
            while not stop.wait(0.5):
                report, now = app.report(), time.monotonic()
                analysed = sum(report.analysed.values())
                live.update(
                    Text(_status(report, (analysed - count) / (now - last)), style="dim"), refresh=True
                )
                last, count = now, analysed

        thread = threading.Thread(target=renew, name="live-line", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(1.0)


def _status(report: Report, rate: float) -> str:
    stream = report.streams[0]
    state = stream.state.value if stream.state is not StreamState.WAITING else f"waiting: {stream.message}"
    queued = sum(queue.queued for queue in report.queues)
    return (
        f"{stream.stream} {state} | {rate:4.1f} frames/s analysed, {sum(report.analysed.values())} in all"
        f" | alarms active: {len(report.alarms)} | deliveries waiting: {queued}"
    )


def _show(console: Console, event: dict[str, Any], delay: float) -> None:
    """Print an event, and below an alarm where to see and answer it: a link in one piece, to be followed."""
    link = links(event["data"]).get("respond") if event["type"] == EventType.ALARM_RAISED else None
    below = "" if link is None else f"\n          see it, answer it: {link}"
    console.print(f"{_line(event, delay)}{below}", soft_wrap=True)


def _line(event: dict[str, Any], delay: float) -> str:
    """Return one event as a person reads it."""
    clock = datetime.fromisoformat(event["timestamp"]).astimezone().strftime("%H:%M:%S")
    data = event["data"]
    what = event["type"].replace(".", " ").upper()
    if not event["type"].startswith("alarm."):
        return f"{clock}  {what:<12} {data.get('stream') or ''} {json.dumps(data.get('reason'))}"
    where, verified = f"{data['stream']}/{data['zone']}", f"verified after {delay * 1000:.0f} ms"
    if event["type"] != EventType.ALARM_RAISED:
        return f"{clock}  {what:<12} {data['class']} last seen at {where}; {verified}"
    (wide, high), light, confirmed = data["pixels"], data["light"], data["confirmed_by"]
    done = "uncorrected" if light["correction"] == Correction.NONE else f"corrected by {light['correction']}"
    return (
        f"{clock}  {what:<12} {data['class']} {data['score']:.2f} at {where}, {wide:.0f}x{high:.0f} px,"
        f" luma {light['mean']:.0f} {done}: {confirmed['hits']} of {confirmed['of']} frames; {verified}"
    )


def _sum_up(console: Console, report: Report, receiver: Receiver, seconds: float) -> None:
    counts = receiver.counts
    raised, ended = counts[EventType.ALARM_RAISED], counts[EventType.ALARM_ENDED]
    console.print(
        f"\nStopped after {seconds:.0f} s: {sum(report.analysed.values())} frames analysed,"
        f" {raised} {'alarm' if raised == 1 else 'alarms'} raised, {ended} ended;"
        f" webhooks verified: {len(receiver.delays)}, refused: {counts['refused']}."
    )
    if receiver.delays:
        median = statistics.median(receiver.delays) * 1000
        console.print(f"From the frame that decided to the verified webhook: {median:.0f} ms (median).")
    console.print(
        "To watch your own cameras, write a configuration: the README shows one, config/tocsin.yaml all of it."
    )
