"""What `tocsin outbox` asks of the running daemon: to show deliveries, to try them again, to throw them away."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tocsin.control import Caller, Handler
from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Entry
from tocsin.deliver.letters import Choice
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.schedule import State
from tocsin.desk.patience import wait
from tocsin.errors import InputError

MOST = 1_000  # deliveries that one answer holds
NAMED = 20  # alarms that an entry in the audit names


class OutboxDesk:
    """The handlers of the control socket's commands `outbox.*`.

    `hurry` lets what waits for a webhook be tried now. A request that names what is not there is refused by
    InputError.
    """

    def __init__(self, outbox: Outbox, hurry: Callable[[str], None], webhooks: Collection[str]) -> None:
        self._outbox = outbox
        self._hurry = hurry
        self._webhooks = tuple(webhooks)  # replaced whole

    def adopt(self, webhooks: Collection[str]) -> None:
        """Know these webhooks from now on; from any thread."""
        self._webhooks = tuple(webhooks)

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by their commands."""
        return {"outbox.list": self._list, "outbox.retry": self._retry, "outbox.purge": self._purge}

    def _list(self, asked: Mapping[str, Any], _: Caller) -> Mapping[str, Any]:
        limit = limit_of(asked, MOST)
        choice = self._choice(asked)
        letters = wait(self._outbox.letters(_state(asked), choice, limit))
        if not letters:
            self._check_known(choice)
        return {"deliveries": [letter.as_json() for letter in letters]}

    def _retry(self, asked: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Queue dead deliveries again; where a webhook is named, also try what waits for it at once."""
        choice = self._choice(asked)
        self._check_known(choice)
        account = partial(_account, Act.OUTBOX_RETRIED, caller, State.DEAD, choice)
        count = wait(self._outbox.replay(choice, account))
        for webhook in self._webhooks if choice.webhook is None else (choice.webhook,):
            self._hurry(webhook)
        return {"queued": count}

    def _purge(self, asked: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        choice, state = self._choice(asked), _state(asked)
        if choice == Choice():
            raise InputError("expected a webhook or numbers of deliveries to remove, found neither")
        account = partial(_account, Act.OUTBOX_PURGED, caller, state, choice)
        count = wait(self._outbox.remove(state, choice, account))
        if not count:
            self._check_known(choice)
        return {"removed": count}

    def _check_known(self, choice: Choice) -> None:
        """Refuse a webhook that is not configured; deliveries of one that is gone may be seen and removed."""
        if choice.webhook is not None and choice.webhook not in self._webhooks:
            names = ", ".join(self._webhooks) or "none"
            raise InputError(f"expected one of the webhooks ({names}), found {choice.webhook!r}")

    @staticmethod
    def _choice(asked: Mapping[str, Any]) -> Choice:
        webhook = asked.get("webhook")
        numbers = asked.get("numbers", [])
        if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
            raise InputError("expected numbers of deliveries, found something else")
        return Choice(None if webhook is None else str(webhook), tuple(numbers))


def limit_of(asked: Mapping[str, Any], most: int) -> int:
    """Return how many are asked for, `most` at most. Raises InputError: a database takes less than none for all."""
    limit = asked.get("limit", most)
    if not isinstance(limit, int) or limit < 1:
        raise InputError("limit: expected a number from 1 on, found another")
    return min(limit, most)


def _state(asked: Mapping[str, Any]) -> State:
    try:
        return State(asked.get("state", State.DEAD))
    except ValueError:
        raise InputError(f"expected a state among {', '.join(State)}, found {asked.get('state')!r}") from None


def _account(
    act: Act, caller: Caller, state: State, choice: Choice, count: int, alarms: tuple[str, ...]
) -> Entry:
    """Return what goes on record of deliveries that a person did something to; many alarms are cut short."""
    more = f" and {len(alarms) - NAMED} more" if len(alarms) > NAMED else ""
    details = {"count": str(count), "state": state.value, "alarms": ",".join(alarms[:NAMED]) + more}
    if choice.numbers:
        details["numbers"] = ",".join(str(number) for number in choice.numbers[:NAMED])
    return Entry(datetime.now(UTC), act, caller.user, Via.COMMAND, choice.webhook or "outbox", details)
