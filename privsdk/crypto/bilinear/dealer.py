"""Products between two parties with the help of a third who sees nothing of either, and must collude with neither.

Papers: multiplication by random products of a dealer (Beaver, "Efficient Multiparty Protocols Using Circuit
Randomization", CRYPTO 1991; "Commodity-Based Cryptography", STOC 1997), for a matrix that is masked once and used
often (as in SecureML, Mohassel, Zhang, IEEE S&P 2017, section 4.2). All is modulo the prime of the shares. R, s, t, a
and b are expanded from keys that each end draws and tells the dealer, for each product anew.

    matrix's holder h, X          dealer, keys of h and o         the other o, v
    --- its key ----------------->  <------------------------------ its key
    --- DealerCall: sizes ------->
    <-- DealerShares: R^T s - t ---  R of h; s, t of o
    --- Masked: X - R, for a new matrix -------------------------->
    <---------------------------------------------- Masked: v - s ---
    X^T (v - s) + (R^T s - t)                                     (X - R)^T s + t

    left l, f                     dealer                          right o, g
    --- DealerCall: sizes ------->
    <-- DealerShares: a b - t -----  a of l; b, t of o             (a b: row by row, added up)
    --- Masked: f - a -------------------------------------------->
    <---------------------------------------------- Masked: g - b ---
    f (g - b) + (a b - t)                                         (f - a) b + t

Both lines at the end add up to X^T v, and to f g.

Learns. Each end receives numbers that are uniform for who does not know the other's key: X - R or f - a; v - s or g -
b, and a share that t hides. The dealer receives keys, names and sizes. The dealer and one end together know the
other's masks, and with them what it holds. Assumes parties that follow the protocol, and AES-128 as a PRF.

Cost, bytes of numbers: 8 n m for a new matrix, 8 (n + m) for a vector; 16 n r + 8 n for a row-wise product.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, ask, gather, next_of, tell
from ...protocol.workers.pool import computed, threads
from ..aes import derived
from .base import Integers, ProductChecks, Products, ProductTerms, Shares
from .modular import times, transposed_product, uniform

SEED_BYTES = 32
BLOCK_ROWS = 8192
NUMBERS = pa.schema([pa.field("number", pa.int64(), nullable=False)])


class DealtOpening(Message, frozen=True, kw_only=True, tag="bilinear.DealtOpening"):
    """An end's terms; for the dealer with the key of its masks."""

    terms: ProductTerms
    key: bytes = b""


class DealerCall(Message, frozen=True, kw_only=True, tag="bilinear.DealerCall"):
    """A product that is due.

    `matrix` is the name of the product in which the matrix was new, "" row by row; `count` how many vectors, or which
    rank.
    """

    kind: Literal["matrix", "rows", "finish"]
    name: str = ""
    matrix: str = ""
    count: int = 0


class DealerShares(Message, frozen=True, kw_only=True, tag="bilinear.DealerShares"):
    """What makes the masks of a product cancel."""

    SCHEMA = NUMBERS
    name: str
    table: pa.Table


class MaskedNumbers(Message, frozen=True, kw_only=True, tag="bilinear.Masked"):
    """MaskedNumbers vectors or factors, or a masked matrix, row by row; no rows for a matrix that is known."""

    SCHEMA = NUMBERS
    MAX_BYTES = 1 << 32
    name: str
    table: pa.Table


class Masks(msgspec.Struct, frozen=True):
    """Those of one end, by its key."""

    key: bytes
    prime: int

    def numbers(self, label: str, shape: tuple[int, ...]) -> Role[Shares]:
        """Uniform numbers for this label: never ask for two shapes of one."""
        drawn = np.empty(shape, np.int64)
        parts = [(label, start, drawn[start : start + BLOCK_ROWS]) for start in range(0, len(drawn), BLOCK_ROWS)]
        yield from computed(self._fill, parts, "masks", total=len(parts), pool=threads())
        return drawn

    def _fill(self, label: str, start: int, part: Shares) -> None:
        part[:] = uniform(derived(self.key, f"bilinear.dealer {label} {start}"), part.shape, self.prime)


class DealtProducts(Products):
    """One end.

    Parameters
    ----------
    me, peer, dealer : str
    terms : ProductTerms
        The same at all three.
    entropy : Entropy
        For the key of one's masks.
    """

    def __init__(self, *, me: str, peer: str, dealer: str, terms: ProductTerms, entropy: Entropy) -> None:
        self._me = me
        self._peer = peer
        self._dealer = dealer
        self._terms = terms
        self._checks = ProductChecks(me, peer, terms)
        self._masks = Masks(entropy.draw(SEED_BYTES), terms.prime)
        self._mine: tuple[Integers, str] | None = None
        self._theirs: Shares | None = None

    def set_up(self) -> Role[None]:
        """Tell the dealer the key of one's masks, and compare terms."""
        yield from tell(self._dealer, DealtOpening(terms=self._terms, key=self._masks.key))
        opening = yield from ask(self._peer, DealtOpening(terms=self._terms), DealtOpening)
        self._checks.opened(opening.terms)

    def matrix(self, name: str, matrix: Integers) -> Role[Shares]:
        """See `Products`."""
        self._checks.matrix(name, matrix, self._me)
        known = self._mine is not None and np.array_equal(self._mine[0], matrix)
        label = self._mine[1] if self._mine is not None and known else name
        sent = MaskedNumbers(name=name, table=_table(np.empty(0, np.int64)))
        if not known:
            self._mine = matrix.copy(), name
            masked = yield from self._masks.numbers(f"matrix {name}", matrix.shape)
            np.subtract(matrix.astype(np.int64), masked, out=masked)
            masked %= self._terms.prime
            sent = MaskedNumbers(name=name, table=_table(masked))
        asked = yield from ask(self._peer, sent, MaskedNumbers)
        width = len(asked.table) // self._terms.rows
        if not self._checks.count(self._me, width):
            raise self._checks.unfit(name)
        opened = self._numbers(asked, name, (self._terms.rows, width), self._peer)
        call = DealerCall(kind="matrix", name=name, matrix=label, count=width)
        dealt = yield from ask(self._dealer, call, DealerShares)
        shares = self._numbers(dealt, name, (matrix.shape[1], width), self._dealer)
        product = yield from _product(matrix, opened, self._terms.prime, self._terms.matrix_of(self._me).bits)
        return (product + shares) % self._terms.prime

    def vectors(self, name: str, vectors: Shares) -> Role[Shares]:
        """See `Products`."""
        self._checks.vectors(name, vectors, self._peer)
        prime, columns = self._terms.prime, self._terms.matrix_of(self._peer).columns
        mask = yield from self._masks.numbers(f"vectors {name}", vectors.shape)
        sent = MaskedNumbers(name=name, table=_table((vectors - mask) % prime))
        masked = yield from ask(self._peer, sent, MaskedNumbers)
        if self._theirs is None or len(masked.table):
            self._theirs = self._numbers(masked, name, (self._terms.rows, columns), self._peer)
        elif masked.name != name:
            raise self._checks.unfit(name)
        product = yield from _product(self._theirs, mask, prime, self._terms.prime_bits)
        return (product + (yield from self._masks.numbers(f"results {name}", product.shape))) % prime

    def rowwise_left(self, name: str, factors: Shares) -> Role[Shares]:
        """See `Products`."""
        self._checks.rows(name, factors)
        prime = self._terms.prime
        mask = yield from self._masks.numbers(f"left {name}", factors.shape)
        asked = yield from ask(
            self._peer, MaskedNumbers(name=name, table=_table((factors - mask) % prime)), MaskedNumbers
        )
        opened = self._numbers(asked, name, factors.shape, self._peer)
        call = DealerCall(kind="rows", name=name, count=factors.shape[1])
        dealt = yield from ask(self._dealer, call, DealerShares)
        shares = self._numbers(dealt, name, (len(factors),), self._dealer)
        return (_added(factors, opened, prime) + shares) % prime

    def rowwise_right(self, name: str, factors: Shares) -> Role[Shares]:
        """See `Products`."""
        self._checks.rows(name, factors)
        prime = self._terms.prime
        mask = yield from self._masks.numbers(f"right {name}", factors.shape)
        asked = yield from ask(
            self._peer, MaskedNumbers(name=name, table=_table((factors - mask) % prime)), MaskedNumbers
        )
        opened = self._numbers(asked, name, factors.shape, self._peer)
        shares = yield from self._masks.numbers(f"results {name}", (len(factors),))
        return (_added(opened, mask, prime) + shares) % prime

    def finish(self) -> Role[None]:
        """Let the dealer go."""
        yield from tell(self._dealer, DealerCall(kind="finish"))

    def _numbers(self, message: MaskedNumbers | DealerShares, name: str, shape: tuple[int, ...], sender: str) -> Shares:
        numbers: Shares = message.table.column("number").to_numpy()
        size = int(np.prod(shape))
        fits = message.name == name and len(numbers) == size
        if not fits or (size and (numbers.min() < 0 or numbers.max() >= self._terms.prime)):
            raise self._checks.unfit(name, sender)
        return numbers.reshape(shape)


class Dealer:
    """The third party.

    Parameters
    ----------
    ends : two str
    terms : ProductTerms
        Those of both ends; no product is dealt beyond them.
    """

    def __init__(self, *, ends: tuple[str, str], terms: ProductTerms) -> None:
        self._ends = ends
        self._terms = terms
        self._checks = {end: ProductChecks(end, other, terms) for end, other in (ends, ends[::-1])}
        self._masks: dict[str, Masks] = {}
        self._matrices: dict[str, tuple[str, Shares]] = {}
        self._names: set[str] = set()

    def serve(self) -> Role[None]:
        """Help with every product until both ends have finished."""
        openings = yield from gather(self._ends, DealtOpening)
        for end, other in (self._ends, self._ends[::-1]):
            self._checks[other].opened(openings[end].terms)
            if len(openings[end].key) != SEED_BYTES:
                raise self._checks[other].unfit("set-up")
            self._masks[end] = Masks(openings[end].key, self._terms.prime)
        left = list(self._ends)
        while left:
            found = yield from next_of(left, DealerCall)
            for reason in found.lost.values():
                raise reason
            for end, call in found.messages.items():
                if call.kind == "finish":
                    left.remove(end)
                else:
                    shares = yield from self._dealt(end, call)
                    yield from tell(end, DealerShares(name=call.name, table=_table(shares)))

    def _dealt(self, end: str, call: DealerCall) -> Role[Shares]:
        other = self._ends[1 - self._ends.index(end)]
        mine, theirs, prime, rows = self._masks[end], self._masks[other], self._terms.prime, self._terms.rows
        checks = self._checks[other]
        rowwise = call.kind == "rows"
        fits = 1 <= call.count <= self._terms.rank if rowwise else checks.count(end, call.count)
        if not fits or call.name in self._names:  # masks that are used twice tell differences
            raise checks.unfit(call.name)
        self._names.add(call.name)
        if rowwise:
            one = yield from mine.numbers(f"left {call.name}", (rows, call.count))
            two = yield from theirs.numbers(f"right {call.name}", (rows, call.count))
            product = _added(one, two, prime)
        else:
            if self._matrices.get(end, ("",))[0] != call.matrix:
                shape = (rows, self._terms.matrix_of(end).columns)
                self._matrices[end] = call.matrix, (yield from mine.numbers(f"matrix {call.matrix}", shape))
            vectors = yield from theirs.numbers(f"vectors {call.name}", (rows, call.count))
            product = yield from _product(self._matrices[end][1], vectors, prime, self._terms.prime_bits)
        return (product - (yield from theirs.numbers(f"results {call.name}", product.shape))) % prime


def _product(matrix: Integers, vectors: Shares, prime: int, bits: int) -> Role[Shares]:
    """matrix^T vectors, by a thread: the library releases the lock."""
    multiply = partial(transposed_product, bits=bits)
    (product,) = yield from computed(multiply, [(matrix, vectors, prime)], "products", total=1, pool=threads())
    return product


def _added(one: Shares, other: Shares, prime: int) -> Shares:
    """Sums of products over each row."""
    total = np.zeros(len(one), np.int64)
    for i in range(one.shape[1]):
        total = (total + times(one[:, i], other[:, i], prime)) % prime
    return total


def _table(numbers: npt.NDArray[np.int64]) -> pa.Table:
    return pa.table([pa.array(numbers.reshape(-1))], schema=NUMBERS)
