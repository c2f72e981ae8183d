"""Encrypts and decrypts chunks, and runs circuits over ciphertexts, chunk by chunk.

A circuit is a list of steps, each over the results of earlier ones, as `columns` compiles it from expressions. One
chunk goes through all of them before the next is loaded, so that what lies between stays in SEAL's own memory and is
never serialised. What a step computes is decided by its figures, which were checked when it was written down: nothing
is rescaled, switched or replicated on its own.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import ProtocolViolation
from ...protocol.roles import Entropy
from .flooding import error_after, flooded
from .keys import PublicContext, SecretContext
from .noise import NoiseEstimate, NoiseEstimator
from .presets import Preset
from .ring import Ring, combined, residues
from .serial import Buffer

_BLIND_SPARE = 64

Values = npt.NDArray[np.float64] | npt.NDArray[np.int64]


class CircuitStep(msgspec.Struct, frozen=True, array_like=True):
    """One operation.

    `args` are the numbers of earlier steps, or of an input for "load". `operand` is the number of a plain operand, -1
    without. `level` is that of the arguments, `scale` the plaintext's or the loaded ciphertext's.
    """

    op: str
    args: tuple[int, ...]
    level: int
    scale: float = 1.0
    operand: int = -1


class Circuit(msgspec.Struct, frozen=True):
    """Steps, which of them are asked for, and these' levels; `fold` adds the chunks of each."""

    steps: tuple[CircuitStep, ...]
    outputs: tuple[int, ...]
    levels: tuple[int, ...]
    fold: bool = False


def slots_of(values: Values, preset: Preset) -> list[Any]:
    """Values of one chunk, at most `values_a_row`, as all slots of a plaintext; what is left is zero."""
    whole: npt.NDArray[Any] = values
    if len(values) < preset.values_a_row:
        whole = np.zeros(preset.values_a_row, values.dtype)
        whole[: len(values)] = values
    if preset.packing == "complex":
        half = preset.degree // 2
        whole = whole[:half] + 1j * whole[half:]
    slots: list[Any] = whole.tolist()
    return slots


def values_of(slots: npt.NDArray[Any], preset: Preset) -> npt.NDArray[Any]:
    """The inverse of `slots_of`."""
    if preset.packing == "complex":
        return np.concatenate([slots.real, slots.imag])
    return slots.real if preset.packing == "real" else slots


def encrypt_column(preset: Preset, encryptors: Sequence[Any], values: Values, *, symmetric: bool) -> list[bytes]:
    """The rows of a column, one for each chunk: integers in units for exact presets, reals for CKKS."""
    size = preset.values_a_row
    chunks = (values[start : start + size] for start in range(0, len(values), size))
    return [_encrypt_chunk(preset, encryptors, chunk, symmetric=symmetric) for chunk in chunks]


def _encrypt_chunk(preset: Preset, encryptors: Sequence[Any], values: Values, *, symmetric: bool) -> bytes:
    parts = []
    for i, (ring, encryptor) in enumerate(zip(preset.rings, encryptors, strict=True)):
        if preset.scheme == "exact":
            plain = ring.encode(slots_of(residues(values, preset.plain_primes[i]), preset))
        else:
            plain = ring.encode(slots_of(values, preset), scale=2.0**preset.scale_bits)
        if symmetric:
            parts.append(ring.seeded_row(encryptor.encrypt_symmetric(plain), len(preset.data)))
        else:
            parts.append(ring.row(_made(ring, encryptor.encrypt, plain)))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _made(ring: Ring, operate: Callable[..., None], *args: Any) -> Any:
    """What one of SEAL's operations makes, a ciphertext."""
    made = ring.new_ciphertext()
    operate(*args, made)
    return made


def split_row(row: Buffer, preset: Preset) -> list[memoryview]:
    """A row without validity bits as its limbs."""
    view = memoryview(row).cast("B")
    limbs = max(1, preset.limbs)
    size = len(view) // limbs
    return [view[i * size : (i + 1) * size] for i in range(limbs)]


class Evaluator:
    """One circuit under one public key."""

    def __init__(self, public: PublicContext, circuit: Circuit, operands: Sequence[float | Values]) -> None:
        self._public = public
        self._preset = public.preset
        self._rings = public.preset.rings
        self._circuit = circuit
        self._operands = operands

    def run(self, inputs: Sequence[Sequence[Buffer]], chunks: int) -> list[list[bytes]]:
        """For each output its rows: one for each chunk, or one for all."""
        results: list[list[Any]] = [[] for _ in self._circuit.outputs]
        for chunk in range(chunks):
            done: list[list[Any]] = []
            for step in self._circuit.steps:
                done.append(self._step(step, done, inputs, chunk))
            for rows, output in zip(results, self._circuit.outputs, strict=True):
                if not self._circuit.fold:
                    rows.append(self._row(done[output]))
                else:
                    rows[:] = [self._added(rows[0], done[output]) if rows else done[output]]
        return [[self._row(rows[0])] for rows in results] if self._circuit.fold else results

    def _step(
        self, step: CircuitStep, done: list[list[Any]], inputs: Sequence[Sequence[Buffer]], chunk: int
    ) -> list[Any]:
        if step.op == "load":
            limbs = split_row(inputs[step.args[0]][chunk], self._preset)
            primes = self._preset.primes_at(step.level)
            return self._each(lambda ring, i: ring.ciphertext(limbs[i], primes, scale=step.scale))
        args = [done[arg] for arg in step.args]
        plain = None if step.operand < 0 else self._operand(step, chunk)
        operate = getattr(self, f"_{step.op}")
        return self._each(lambda ring, i: operate(ring, *(arg[i] for arg in args), *self._plain(ring, i, step, plain)))

    def _added(self, one: list[Any], other: list[Any]) -> list[Any]:
        return self._each(lambda ring, i: self._add(ring, one[i], other[i]))

    def _each(self, compute: Callable[[Any, int], Any]) -> list[Any]:
        return [compute(ring, i) for i, ring in enumerate(self._rings)]

    # plaintexts

    def _operand(self, step: CircuitStep, chunk: int) -> float | int | Values:
        value = self._operands[step.operand]
        if isinstance(value, np.ndarray):
            size = self._preset.values_a_row
            return value[chunk * size : (chunk + 1) * size]
        return value

    def _plain(self, ring: Any, limb: int, step: CircuitStep, value: float | int | Values | None) -> tuple[Any, ...]:
        """The operand as a plaintext, None where it is zero; nothing for a step without."""
        if value is None:
            return ()
        if not np.any(value):
            return (None,)
        if self._preset.scheme == "ckks":
            slots = slots_of(value, self._preset) if isinstance(value, np.ndarray) else value
            return (ring.encode(slots, scale=step.scale, primes=self._preset.primes_at(step.level)),)
        prime = self._preset.plain_primes[limb]
        if isinstance(value, np.ndarray):
            return (ring.encode(slots_of(residues(value, prime), self._preset)),)
        return (ring.constant(int(value) % prime),)

    # operations, each on one limb

    def _add(self, ring: Any, one: Any, other: Any) -> Any:
        made = ring.new_ciphertext()
        if not self._opaque(lambda: ring.evaluator.add(one, other, made)):
            hidden = _made(ring, ring.evaluator.add, one, self._zero(ring, one, one.scale))
            ring.evaluator.add(hidden, other, made)
        return made

    def _negate(self, ring: Any, one: Any) -> Any:
        return _made(ring, ring.evaluator.negate, one)

    def _add_plain(self, ring: Any, one: Any, plain: Any) -> Any:
        return one if plain is None else _made(ring, ring.evaluator.add_plain, one, plain)

    def _times_plain(self, ring: Any, one: Any, plain: Any) -> Any:
        made = ring.new_ciphertext()
        if plain is None or not self._opaque(lambda: ring.evaluator.multiply_plain(one, plain, made)):
            return self._zero(ring, one, one.scale * one.scale)
        return made

    def _times(self, ring: Any, one: Any, other: Any) -> Any:
        made = _made(ring, ring.evaluator.multiply, one, other)
        ring.evaluator.relinearize_inplace(made, self._public.relin)
        return made

    def _rescale(self, ring: Any, one: Any) -> Any:
        """Drop the preset's primes; their sizes bring the scale back."""
        for _ in range(self._preset.drop):
            one = _made(ring, ring.evaluator.rescale_to_next, one)
        return one

    def _opaque(self, compute: Callable[[], None]) -> bool:
        """Compute, but for a result that anyone could read, which SEAL refuses: all that was secret cancelled out.

        An encryption of zero among the summands hides it; `noise` has room for its noise.
        """
        try:
            compute()
        except (ValueError, RuntimeError) as error:
            if "transparent" not in str(error):
                raise
            return False
        return True

    def _zero(self, ring: Any, like: Any, scale: float) -> Any:
        encryptor = self._public.encryptors[self._rings.index(ring)]
        made = _made(ring, encryptor.encrypt_zero, like.parms_id())
        made.scale = scale
        return made

    def _row(self, limbs: list[Any]) -> bytes:
        if self._circuit.fold and self._preset.scheme == "exact":
            limbs = [self._blinded(ring, i, limbs[i]) for i, ring in enumerate(self._rings)]
        return b"".join(ring.row(limb) for ring, limb in zip(self._rings, limbs, strict=True))

    def _blinded(self, ring: Any, limb: int, folded: Any) -> Any:
        """A folded sum with uniform noise of sum zero in its slots: they tell nothing but their sum."""
        prime = self._preset.plain_primes[limb]
        mask = uniform(self._preset.degree, prime)
        mask[-1] = -int(mask[:-1].sum()) % prime
        return _made(ring, ring.evaluator.add_plain, folded, ring.encode(residues(mask, prime).tolist()))


def uniform(size: int, prime: int) -> npt.NDArray[np.int64]:
    """Uniform residues modulo a prime of 30 bits, by rejection from the operating system's generator."""
    drawn = np.empty(0, np.int64)
    while len(drawn) < size:
        words = np.frombuffer(secrets.token_bytes(4 * (size + _BLIND_SPARE)), np.uint32) & np.uint32((1 << 30) - 1)
        drawn = np.concatenate([drawn, words[words < prime].astype(np.int64)])
    return drawn[:size]


def slot_error(preset: Preset, estimate: NoiseEstimate) -> float:
    """CKKS: bound on the error of a flooded slot."""
    scale = NoiseEstimator(preset).scale_of(estimate)
    bound = (estimate.bound + estimate.error) * math.sqrt(2)
    return estimate.error + error_after(estimate.noise, preset.degree, scale=scale, bound=bound, reveals=preset.reveals)


def exactly(rows: Sequence[Buffer], key: SecretContext, *, primes: int, folded: bool = False) -> npt.NDArray[Any]:
    """Exact rows as integers, every slot of every chunk in order, or their sum over all slots."""
    limbs: list[list[npt.NDArray[np.int64]]] = [[] for _ in key.preset.rings]
    for row in rows:
        for i, part in enumerate(split_row(row, key.preset)):
            ring, decryptor = key.preset.rings[i], key.decryptors[i]
            ciphertext, plain = ring.ciphertext(part, primes), ring.new_plain()
            if not decryptor.invariant_noise_budget(ciphertext):
                raise ProtocolViolation("a ciphertext is under another key, or holds more noise than its figures say")
            decryptor.decrypt(ciphertext, plain)
            limbs[i].append(ring.decode(plain))
    if folded:
        return combined([np.concatenate(parts).sum(keepdims=True) for parts in limbs], key.preset.plain_primes)
    return np.concatenate([combined(chunk, key.preset.plain_primes) for chunk in zip(*limbs, strict=True)])


def approximately(
    rows: Sequence[Buffer], key: SecretContext, estimate: NoiseEstimate, entropy: Entropy
) -> npt.NDArray[np.float64]:
    """CKKS rows as reals, every slot of every chunk in order, flooded."""
    preset, ring = key.preset, key.preset.rings[0]
    scale, primes = NoiseEstimator(preset).scale_of(estimate), preset.primes_at(estimate.level)
    parts = []
    for row in rows:
        plain = ring.new_plain()
        key.decryptors[0].decrypt(ring.ciphertext(row, primes, scale=scale), plain)
        shown = flooded(
            ring.coefficients(plain, primes),
            scale=scale,
            bound=(estimate.bound + estimate.error) * (math.sqrt(2) if preset.packing == "complex" else 1),
            error=estimate.noise,
            reveals=preset.reveals,
            entropy=entropy,
        )
        parts.append(values_of(shown, preset))
    return np.concatenate(parts)
