"""`tocsin webhook test`: sends one event now, and says what came back."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from tocsin.asking import DEFAULT_CONFIG, ConfigOption
from tocsin.exits import TEMPORARY_FAILURE

webhooks = typer.Typer(help="Try a webhook.", no_args_is_help=True, rich_markup_mode=None)

_ANSWER_SHOWN = 200


@webhooks.command("test")
def try_webhook(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The webhook's name in the configuration.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send a signed test event now, with a picture where there are to be any, and print the answer.

    Example: tocsin webhook test control-room --config /etc/tocsin/tocsin.yaml
    """
    from tocsin import assembly
    from tocsin.clock import synchronized
    from tocsin.config.load import load, webhook_secrets
    from tocsin.deliver.advice import advice
    from tocsin.deliver.event import Event, EventType, TrialData
    from tocsin.deliver.notation import new_id
    from tocsin.deliver.schedule import Outcome
    from tocsin.deliver.webhook import send_test
    from tocsin.logs import masked, spellings
    from tocsin.resources import find

    settings = load(config)
    secrets = webhook_secrets(settings, name)
    (receiver,) = assembly.webhooks(settings, secrets, name)
    now = datetime.now(UTC)
    event = Event(new_id(now), EventType.TOCSIN_TEST, now, TrialData())
    attempt = send_test(receiver, event, find("models/reference.jpg").read_bytes())
    code = f"no answer: {attempt.why}" if attempt.status is None else f"HTTP {attempt.status}"
    print(f"{name}: {attempt.outcome} ({code}, after {attempt.seconds * 1000:.0f} ms)")
    if attempt.answer:
        # The receiver's text, which may repeat what it was sent: without secrets, and escaped.
        answer = masked(attempt.answer.decode(errors="replace"), spellings(secrets.texts()))
        print(ascii(answer[:_ANSWER_SHOWN]))
    if attempt.outcome is not Outcome.DELIVERED:
        if told := advice(attempt.outcome, attempt.status, attempt.why):
            print(told)
        if synchronized() is False:
            print("the clock of this machine is kept right by nothing")
        raise typer.Exit(TEMPORARY_FAILURE)
