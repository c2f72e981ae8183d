"""What is learned from trainings."""

from __future__ import annotations

from ..governance.learns import Knowledge


class RoundModels(Knowledge, frozen=True):
    """The models that clients train from."""

    noisy: bool = False
    asynchronous: bool = False

    def __str__(self) -> str:
        if self.asynchronous:
            return "the models that they train from and the final one"
        return f"the {'noisy' if self.noisy else 'averaged'} model of each round and who is in it"


class FinalModel(Knowledge, frozen=True):
    noisy: bool = False

    def __str__(self) -> str:
        return f"the final {'noisy ' if self.noisy else ''}model"


class RowStatistics(Knowledge, frozen=True):
    """Of all parties' training rows: how many there are, moments of features, with `filled` also how many values each
    has, and how many rows have each label."""

    moments: tuple[str, ...] = ()
    filled: bool = False
    label: str = ""

    def __str__(self) -> str:
        values = " and the number of values" if self.filled else ""
        of = f", over them the mean and standard deviation{values} of {', '.join(self.moments)}" if self.moments else ""
        label = f", how many have each {self.label}" if self.label else ""
        return f"the number of training rows over all parties{of}{label}"


class MeanControlVariates(Knowledge, frozen=True):
    template = "the mean control variate of each round"


class RoundFigures(Knowledge, frozen=True):
    template = "the rows and the mean loss of those in each round"


class LostClients(Knowledge, frozen=True):
    template = "who is lost or cannot pay on the way, and why"


class NotPaying(Knowledge, frozen=True):
    template = "who is in each round and who cannot pay for it"


class RoundCosts(Knowledge, frozen=True):
    template = "what each round took"


class EachUpdate(Knowledge, frozen=True):
    """Of every client by itself: with `timed` also when it came, with `noisy` with noise in every step."""

    timed: bool = False
    noisy: bool = False

    def __str__(self) -> str:
        noise = " in each round, with noise in every step" if self.noisy else ""
        return f"every client's own update{' and when it came' if self.timed else ''}{noise}"


class MeanOfNoisyUpdates(Knowledge, frozen=True):
    template = "the mean of the clients' updates in each round, with noise in every step"


class NoisySumOfUpdates(Knowledge, frozen=True):
    template = "the noisy sum of the clients' bounded updates in each round"


class ClientEvaluations(Knowledge, frozen=True):
    """Every so many rounds and at the end, or only then; by group where a column is named."""

    every: int = 0
    by: str = ""

    def __str__(self) -> str:
        every = f", every {self.every} rounds and at the end" if self.every else ""
        by = f", by {self.by} for groups of at least its minimum count" if self.by else ""
        return f"each party's evaluation and held-out rows{every}{by}"


class ClientSpeeds(Knowledge, frozen=True):
    template = "how fast each client is"


class SumOfOthers(Knowledge, frozen=True):
    """`one` says that all but one know the sum to be that one's."""

    one: bool = False

    def __str__(self) -> str:
        whose = ", which all but one know to be that one's" if self.one else ""
        return f"no more than the sum of the other clients' updates{whose}"


class NothingBeyond(Knowledge, frozen=True):
    tells = False
    template = "nothing that {party} does not see"
    party: str


class NoisySumWithItsNoise(Knowledge, frozen=True):
    template = "that noisy sum with the noise that was charged, and no less"


class BoundByCharge(Knowledge, frozen=True):
    template = "of a party's rows no more than its charged noise lets out"
