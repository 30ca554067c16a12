"""The daemon, with a witness: each event that it holds for committed is written to a file at that moment.

`python -m support.witness run --config FILE` is `tocsin run`, and the file is named by the environment, as is that
of a wrong clock where there is one. What was written survives the death of the process, so that whoever killed it
knows what it had promised.
"""

FILE = "TOCSIN_TEST_WITNESS"


def main() -> None:
    """Run the daemon and write down what it commits."""
    import os
    from pathlib import Path

    from support import fakeclock

    if clock := os.environ.get(fakeclock.FILE):
        fakeclock.follow(Path(clock))

    from tocsin.__main__ import main as run
    from tocsin.deliver.outbox import Outbox

    book = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    commit = Outbox.commit

    def witnessed(self, change, exclude=None):  # type: ignore[no-untyped-def]
        future = commit(self, change, exclude)
        line = "".join(f"{event.id}\n" for event in change.events).encode()
        future.add_done_callback(lambda done: None if done.exception() else os.write(book, line))
        return future

    Outbox.commit = witnessed  # type: ignore[method-assign]
    run()


if __name__ == "__main__":
    main()
