"""What to do about an attempt that failed, for the person who set the webhook up. Pure."""

from tocsin.deliver.schedule import Outcome
from tocsin.deliver.why import Why

_BY_STATUS = {
    401: "it does not accept who sends: compare `secret` with what it holds, the clocks of both machines "
    "(a signature counts for five minutes), and `token` or `password` where it asks for one",
    403: "it knows who sends and forbids it: see what this sender may do there",
    404: "it has nothing at that path: compare `url` with what it gives out",
    405: "it takes no POST at that path: compare `url` with what it gives out",
    410: "it wants no more: make the hook anew there, and put its address into `url`",
    413: "it takes no body of this size: raise its limit, 20 kB are plenty",
    415: "it does not read this kind of body: see `format`",
    429: "it is asked too often: try again later",
}
"""What an answer of this number asks for, where it says more than its kind."""

_BY_WHY = {
    Why.UNTRUSTED: "name the authority that signed its certificate in `ca_file`, if it is one of your own",
    Why.EXPIRED: "its certificate has to be renewed there, if the date of this machine is right",
    Why.NOT_YET_VALID: "set the clock of this machine, unless its certificate is meant for later",
    Why.OTHER_NAME: "put the name that its certificate is for into `url`",
    Why.NO_TLS: "see whether it speaks https at that port, and whether it asks for a certificate (`cert_file`)",
    Why.UNKNOWN_NAME: "see whether the name in `url` is spelt right, and known on this machine",
    Why.NO_NAME_SERVICE: "see whether this machine's name servers answer",
    Why.NOT_LISTENING: "see whether it runs, and on the port in `url`",
    Why.NO_ROUTE: "see whether this machine may reach that network",
    Why.NO_ANSWER: "see whether it speaks HTTP at that port, or only https",
    Why.NO_HTTP: "see whether it speaks HTTP at that port",
    Why.TO_ITSELF: "write localhost or 127.0.0.1 into `url` where this machine is meant",
    Why.OUTSIDE: "see whether its address belongs into `allow_networks`",
    Why.FORBIDDEN: "give it another address",
}

_BY_OUTCOME = {
    Outcome.REDIRECT: "it points elsewhere, which is never followed: put the address that it points to into `url`",
    Outcome.TIMEOUT: "see whether a firewall drops what goes there, and what else keeps it from answering",
    Outcome.FAILING: "it is in trouble itself: see its log",
    Outcome.REFUSED: "it does not accept this body: see whether `format`, and `template`, are what it reads",
    Outcome.THROTTLED: "it asks for patience: try again later",
}


def advice(outcome: Outcome, status: int | None, why: Why) -> str | None:
    """Return what to look at after such an attempt, in one clause; None where there is nothing to be said."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return _BY_WHY.get(why) or _BY_OUTCOME.get(outcome)
