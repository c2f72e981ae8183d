"""The texts of errors: what happened and what to do, made of an error's typed fields where it is shown.

A language is a mapping from kinds of detail to functions that make their text. `ENGLISH` has all; another language is a
file with such a mapping, given to `add` and chosen by `use`, and what it lacks is said in English.
"""

from __future__ import annotations

from ..errors import UnknownName
from ..errors.details import Stated, Text, show_with
from ..errors.refusals import (
    BitsExceeded,
    BudgetReset,
    EpsilonExceeded,
    ExactExceeded,
    Frozen,
    MinPartiesUnstated,
    MissingGrant,
    NotGranted,
    NotPartners,
    OperationNotAllowed,
    PartiesToldApart,
    RequestTooLarge,
    RowsTooAlike,
    TooFewComplete,
    TooFewContributors,
    TooFewKeys,
    TooFewLeft,
    TooManyGroups,
    TooManyKeys,
)
from . import input_texts, session_texts, source_texts
from .input_texts import Language
from .readable import readable


def _operation(d: OperationNotAllowed) -> Text:
    wanted = [*d.allowed, d.operation]
    advice = (
        f"its owner can add it: operations = {wanted}; one that only helps can be another: coordinator=, key_holder="
    )
    return Text(f"{d.party} does not allow the operation {d.operation}", advice)


def _missing(use: MissingGrant, d: NotGranted) -> str:
    cap = f" with epsilon {use.epsilon:g}, only up to epsilon {use.largest:g} a release" if use.largest else ""
    beside = f" beside {', '.join(use.partners)}" if use.partners else ""
    return f"{use.table}.{use.column} is not granted as {use.disclosure} to {d.caller} for {d.purpose}{beside}{cap}"


def _partners(d: NotPartners) -> Text:
    names = ", ".join(d.named)
    return Text(
        f"{d.party} does not work with {names}: not in its federation file",
        f"leave {names} out; or ask {d.party}'s owner to add each to [parties] of its federation file",
    )


def _grant(d: NotGranted) -> Text:
    caps = [use.largest for use in d.missing]
    lower = f"ask with epsilon {min(caps):g} or less; or " if caps and all(caps) else ""
    return Text(
        "; ".join(_missing(use, d) for use in d.missing),
        f"{lower}ask its owner for the smallest grant that allows it",
        (
            ("grant", "\n".join(d.grants)),
            ("in party.toml", "\n".join(d.grants_toml)),
            ("why", "\n".join(d.derivation)),
        ),
    )


def _contributors(d: TooFewContributors) -> Text:
    which = "in it"
    if d.contributing_recipient:
        which = f"other than {d.contributing_recipient}, who sees the result"
    return Text(
        f"{d.party} requires at least {d.required} contributors to a joint result; there would be {d.found} {which}",
        "include more parties; its owner sets min_parties",
    )


def _few_left(d: TooFewLeft) -> Text:
    missing = f" ({' and '.join(d.missing)} left out)" if d.missing else ""
    return Text(
        f"{d.left} clients are left in {d.where}, and {d.party} tells nothing for fewer than {d.fewest}{missing}",
        "ask again with more clients; min_parties in each owner's policy counts those beside a recipient",
    )


def _unstated(d: MinPartiesUnstated) -> Text:
    said = "nothing" if d.stated is None else f"{d.stated}"
    return Text(
        f"{d.party} asks for {d.required} contributors (min_parties), and the request says {said} of it: the others "
        "could not hold to it",
        "open the federation again: what owners ask for is read then",
    )


def _parties_apart(d: PartiesToldApart) -> Text:
    would = f"would tell {' and '.join(d.named)} apart: totals over fewer parties than their owners ask for"
    if not d.named:
        would = "may give totals over fewer parties than their owners ask for: within its bounds the search did not end"
    return Text(
        f"{d.party} refuses: this result and earlier exact ones of {d.table}.{d.column} with other contributors, added "
        f"and subtracted, {would}",
        "ask with the same contributors as before, or for a dp release, which any may contribute to; owners set "
        "min_parties",
    )


def _few_keys(d: TooFewKeys) -> Text:
    return Text(
        f"{d.party} brings fewer distinct keys than the {d.least} that {d.owner} asks for: "
        "with so few a join would ask about single people",
        f"join a table of more keys; {d.owner}'s owner sets min_count in its grant",
    )


def _many_keys(d: TooManyKeys) -> Text:
    return Text(
        f"{d.party} brings {d.size:,} distinct keys, and {d.owner} lets a partner bring {d.most:,}",
        f"join a table of fewer keys; {d.owner}'s owner sets most_partner_keys and most_keys_ratio in its grant",
    )


def _many_groups(d: TooManyGroups) -> Text:
    return Text(
        f"{d.party} has more than the {d.most:,} groups of {d.by} that this question pays for: nothing was told",
        "ask with a larger most_groups, which the preview prices, or by a coarser column",
    )


def _fitting(largest: str) -> str:
    if not largest:
        return "no such request would pass now: ask its owner for more"
    return f"the largest request that would pass now: {largest}; or ask its owner for more"


def _epsilon(d: EpsilonExceeded) -> Text:
    under = f" under its limit for {d.limit}" if d.limit else ""
    return Text(
        f"{d.dataset} has epsilon {max(0.0, d.left):.3g} left of {d.of:g} at delta {d.delta:g}{under}, this needs "
        f"{d.needed:.3g} (short by {d.needed - d.left:.3g})",
        _fitting(f"epsilon {d.fitting:g}" if d.fitting > 0 else ""),
    )


_LEVERS = {
    "rounds": "rounds={}",
    "parameters": "a model of {} parameters",
    "evaluations": "evaluations: {}",
    "most_groups": "most_groups={}",
    "groups": "groups: {}",
    "keys": "keys: {}",
    "intervals": "intervals: {}",
    "returned": "columns and conditions: {}",
    "fewest": "fewest={}",
    "masked": 'aggregation="masked"',
}  # by governance.prices.Lever


def _exact(d: ExactExceeded) -> Text:
    under = f" under its limit for {d.limit}" if d.limit else ""
    fits = ", or ".join(f"{_LEVERS.get(each.lever, '{}').format(each.value)} costs {each.price}" for each in d.levers)
    if not fits and d.fitting:
        fits = f"{d.fitting} exact disclosures"
    if d.noise:
        fits += f"{', or ' if fits else ''}{d.noise}, which takes epsilon instead"
    if d.fitting_epsilon is not None:
        fits = f"epsilon {d.fitting_epsilon:g}" if d.fitting_epsilon > 0 else ""
    return Text(
        f"{d.dataset} has {max(0, d.left)} of {d.of} exact disclosures left{under}, this needs {d.needed} "
        f"(short by {d.needed - d.left})",
        _fitting(fits),
    )


def _request(d: RequestTooLarge) -> Text:
    return Text(
        f"{d.dataset} allows epsilon {d.allowed:g} in one request, this needs {d.needed:.3g} "
        f"(short by {d.needed - d.allowed:.3g})",
        _fitting(f"epsilon {d.fitting:g}" if d.fitting > 0 else ""),
    )


def _frozen(d: Frozen) -> Text:
    return Text(f"{d.dataset} is frozen by its owner: {d.why}", "ask the owner; nothing was spent here")


def _reset(d: BudgetReset) -> Text:
    return Text(
        f"{d.dataset} had its budget reset after this was reserved",
        "call the verb again for a new run; nothing was spent here",
    )


def _differencing(d: RowsTooAlike) -> Text:
    said = {
        "few": f"this answer and earlier exact answers on {d.table}, added and subtracted, would tell about the rows "
        f"of fewer than the minimum count of {d.min_count}",
        "undecided": f"whether this answer and earlier exact answers on {d.table} would together tell about fewer than "
        f"the minimum count of {d.min_count} could not be worked out within its limits",
        "many": f"as many different exact figures of {d.table} were let out as its number of rows or units allows, "
        "whoever asked for them: out of more the values could be rebuilt",
    }[d.because]
    other = "ask about the same rows as before" + (", or about rows that differ by more" if d.because != "many" else "")
    return Text(
        f"{d.party} refuses (differencing): {said}. The run is charged, because the refusal itself tells of the data",
        f"{other}; or ask with noise, by dp.count or dp.sum",
    )


def _bits(d: BitsExceeded) -> Text:
    return Text(
        f"{d.party} refuses (entropy): with what was told before of sums with {d.table}.{d.column}, this would be more "
        "than half of what the column holds, and its values could be worked out. No bits of it are charged",
        "ask for fewer columns at once, or about others",
    )


def _few_complete(d: TooFewComplete) -> Text:
    return Text(
        f"fewer than {d.min_count} joint keys have all values at {' and '.join(d.parties)}", "use other columns"
    )


ENGLISH: Language = {
    **input_texts.ENGLISH,
    **source_texts.ENGLISH,
    **session_texts.ENGLISH,
    Stated: lambda d: Text(d.message, d.hint),
    OperationNotAllowed: _operation,
    NotPartners: _partners,
    NotGranted: _grant,
    TooFewContributors: _contributors,
    TooFewLeft: _few_left,
    MinPartiesUnstated: _unstated,
    PartiesToldApart: _parties_apart,
    TooFewKeys: _few_keys,
    TooManyKeys: _many_keys,
    TooManyGroups: _many_groups,
    EpsilonExceeded: _epsilon,
    ExactExceeded: _exact,
    RequestTooLarge: _request,
    Frozen: _frozen,
    BudgetReset: _reset,
    RowsTooAlike: _differencing,
    BitsExceeded: _bits,
    TooFewComplete: _few_complete,
}
_LANGUAGES: dict[str, Language] = {"en": ENGLISH}


def add(language: str, texts: Language) -> None:
    """Register a language by its tag, such as "zh"; what it lacks is said in English."""
    _LANGUAGES[language] = {**ENGLISH, **texts}


def use(language: str) -> None:
    """Show errors in this language from now on.

    Raises
    ------
    UnknownName
        There are no texts for it.
    """
    if language not in _LANGUAGES:
        raise UnknownName.among("language", language, _LANGUAGES)
    texts = _LANGUAGES[language]
    show_with(lambda detail: texts[type(detail)](detail), readable)


use("en")
