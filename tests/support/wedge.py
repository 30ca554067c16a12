"""The daemon, with one part that stops moving for ever as soon as SIGUSR1 comes.

`python -m support.wedge run --config FILE` is `tocsin run`; the environment names the part. LIMIT, where the
environment has it, is after how many seconds a part counts as stuck, so that a test need not wait as long as the
daemon does.
"""

PART = "TOCSIN_TEST_WEDGE"
LIMIT = "TOCSIN_TEST_WEDGE_LIMIT"

PARTS = ("main", "supervisor", "engine", "outbox", "dispatcher")


def environment(part: str, limit: float) -> dict[str, str]:
    """What the process is to be given, besides what it inherits."""
    import os
    from pathlib import Path

    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return {PART: part, LIMIT: str(limit), "PYTHONPATH": path}


def main() -> None:
    """Run the daemon with a part that can be wedged."""
    import asyncio
    import os
    import signal
    import threading

    from tocsin import app
    from tocsin.__main__ import main as run
    from tocsin.app import App
    from tocsin.capture.starter import Starter
    from tocsin.deliver.clerk import Clerk
    from tocsin.deliver.dispatch import Dispatcher
    from tocsin.detect.engine import Engine

    wedged = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: wedged.set())

    def hang() -> None:
        while wedged.is_set():
            threading.Event().wait(60.0)

    def before(owner: type, method: str) -> None:
        """Let a method hang before it does anything."""
        original = getattr(owner, method)

        def hanging(self, *arguments):  # type: ignore[no-untyped-def]
            hang()
            return original(self, *arguments)

        setattr(owner, method, hanging)

    async def watch() -> None:
        while not wedged.is_set():
            await asyncio.sleep(0.1)
        hang()  # and with it the loop

    def in_its_loop() -> None:
        beat = Dispatcher._beat

        async def beating(self):  # type: ignore[no-untyped-def]
            watching = asyncio.create_task(watch())
            try:
                await beat(self)
            finally:
                watching.cancel()

        Dispatcher._beat = beating  # type: ignore[method-assign]

    {
        "main": lambda: before(App, "_look"),
        "supervisor": lambda: before(Starter, "watch"),
        "engine": lambda: before(Engine, "_turn"),
        "outbox": lambda: before(Clerk, "_come_around"),
        "dispatcher": in_its_loop,
    }[os.environ[PART]]()
    if limit := os.environ.get(LIMIT):
        app._PULSE_LIMIT = float(limit)
    run()


if __name__ == "__main__":
    main()
