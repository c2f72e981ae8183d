"""The texts of errors of sessions with other parties: streams, messages, runs."""

from __future__ import annotations

from ..errors.details import Text
from ..errors.sessions import (
    AnswerGone,
    CallerMismatch,
    ProductUnfit,
    RunCancelled,
    SessionEnded,
    StreamEnded,
    TermsDiffer,
    TimedOut,
    TooBusy,
)
from .input_texts import Language


def _caller(d: CallerMismatch) -> Text:
    return Text(f"{d.certified} sent a request in the name of {d.named}", "use the certificate of that name")


def _ended(d: SessionEnded) -> Text:
    hint = f"its own error says why: see the log of {d.peer}, then ask again"
    if d.code:
        return Text(f"{d.peer} ended the session ({d.code})", hint)
    return Text(f"{d.peer} ended the session where a {d.due} was due", hint)


def _terms(d: TermsDiffer) -> Text:
    return Text(f"{d.peer} multiplies on other terms", "install the same privsdk version at every party")


def _product(d: ProductUnfit) -> Text:
    return Text(f"{d.peer} sent a message that does not fit the product {d.name}")


def _timed_out(d: TimedOut) -> Text:
    hint = f"ask whether {d.peer} still runs, then ask again; each owner sets [timeouts] in its party.toml"
    match d.wait:
        case "connect":
            return Text(f"{d.peer} did not connect within {d.seconds:g} s", "check that it runs and can be reached")
        case "step":
            return Text(f"no message came from {d.peer} within the {d.seconds:g} s of the step", hint)
        case "send":
            return Text(f"{d.peer} took nothing of what was sent for {d.seconds:g} s", hint)
        case _:
            return Text(f"nothing came from {d.peer} for {d.seconds:g} s", hint)


def _stream(d: StreamEnded) -> Text:
    said = {"closed": f"{d.peer} closed the stream", "broke": f"the stream to {d.peer} broke"}
    return Text(said.get(d.how, f"the stream to {d.peer} is closed"))


def _busy(d: TooBusy) -> Text:
    again = "try again in a while"
    match d.of:
        case "calls":
            return Text(f"{d.party} has as many calls and streams of yours as it takes", again)
        case "question":
            return Text(f"{d.party} answers another question of {d.caller}", again)
        case "effort":
            return Text(f"this question takes {d.party} longer than it allows", "ask about fewer requests at a time")
        case _ if d.caller:
            hint = f"start or give back what was prepared, or {again}"
            return Text(f"{d.party} has {d.most} runs of {d.caller} already", hint)
        case _:
            return Text(f"{d.party} has {d.most} runs already", again)


def _cancelled(d: RunCancelled) -> Text:
    if d.charged is None:
        waited = f" while it waited for {' and '.join(d.waited_for)}" if d.waited_for else ""
        return Text(f"the run was cancelled{waited}")
    if d.charged:
        return Text("the run was cancelled", "what was charged stays charged")
    return Text("the run was cancelled before it began: nothing was charged")


def _answer(d: AnswerGone) -> Text:
    charged = "charged and " if d.charged else ""
    return Text(f"run {d.run_id} was {charged}{d.state} before", "call the verb again for a new run")


ENGLISH: Language = {
    CallerMismatch: _caller,
    SessionEnded: _ended,
    TermsDiffer: _terms,
    ProductUnfit: _product,
    TimedOut: _timed_out,
    StreamEnded: _stream,
    TooBusy: _busy,
    RunCancelled: _cancelled,
    AnswerGone: _answer,
}
