"""ristretto255 gives RFC 9496's known answers, and no invalid encoding gets past `checked`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from claims import Cases

from privsdk.errors import DataError, ProtocolViolation
from privsdk.protocol.messages import Message
from privsdk.psi.oprf.ristretto import (
    IDENTITY,
    MOST_POINTS,
    POINT,
    checked,
    hash_to_group,
    libsodium,
    multiply_all,
    random_scalar,
    to_table,
)
from privsdk.psi.protocols.ddh import cardinality, intersection
from privsdk.psi.protocols.terms import SharedTerms
from privsdk.testing import SeededEntropy, together

# RFC 9496, appendix A.1: the generator's multiples by 1, 2, ..., 15
MULTIPLES = [
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    "da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
    "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
    "f64746d3c92b13050ed8d80236a7f0007c3b3f962f5ba793d19a601ebb1df403",
    "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
    "903293d8f2287ebe10e2374dc1a53e0bc887e592699f02d077d5263cdd55601c",
    "02622ace8f7303a31cafc63f8fc48fdc16e1c8c8d234b2f0d6685282a9076031",
    "20706fd788b2720a1ed2a5dad4952b01f413bcf0e7564de8cdc816689e2db95f",
    "bce83f8ba5dd2fa572864c24ba1810f9522bc6004afe95877ac73241cafdab42",
    "e4549ee16b9aa03099ca208c67adafcafa4c3f3e4e5303de6026e3ca8ff84460",
    "aa52e000df2e16f55fb1032fc33bc42742dad6bd5a8fc0be0167436c5948501f",
    "46376b80f409b29dc2b5f6f0c52591990896e5716f41477cd30085ab7f10301e",
    "e0c418f7c8d9c4cdd7395b93ea124f3ad99021bb681dfc3302a9d99a2e53e64e",
]

# appendix A.2: not canonical, negative, without a square root, of negative xy, and s = -1
INVALID = [
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
    "c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "2810e5cbc2cc4d4eece54f61c6f69758e289aa7ab440b3cbeaa21995c2f4232b",
    "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
    "445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]

# appendix A.3: elements derived from the SHA-512 of these labels
DERIVED = {
    "Ristretto is traditionally a short shot of espresso coffee": (
        "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"
    ),
    "made with the normal amount of ground coffee but extracted with": (
        "f26e5b6f7d362d2d2a94c5d0e7602cb4773c95a2e5c31a64f133189fa76ed61b"
    ),
    "about half the amount of water in the same amount of time": (
        "006ccd2a9e6867e6a2c5cea83d3302cc9de128dd2a9a57dd8ee7b9d7ffe02826"
    ),
    "by using a finer grind.": "f8f0c87cf237953c5890aec3998169005dae3eca1fbb04548c635953c817f92a",
    "This produces a concentrated shot of coffee per volume.": (
        "ae81e7dedf20a497e10c304a765c1767a42d6e06029758d2d7e8ef7cc4c41179"
    ),
    "Just pulling a normal shot short will produce a weaker shot": (
        "e2705652ff9f5e44d3e841bf1c251cf7dddb77d140870d1ab2ed64f1a9ce8628"
    ),
    "and is not a Ristretto as some believe.": "80bd07262511cdde4863f8a7434cef696750681cb9510eea557088f76d9e5065",
}


def run(role: object) -> object:
    return together({"only": role})["only"]


@pytest.mark.claim("psi: RFC 9496 known answers")
def test_multiples_of_the_generator(cases: Cases) -> None:
    generator = bytes.fromhex(MULTIPLES[0])
    for factor, expected in enumerate(MULTIPLES, start=1):
        scalar = factor.to_bytes(32, "little")
        assert run(multiply_all(scalar, [generator], "test")) == [bytes.fromhex(expected)]
        cases()
    assert run(checked(to_table([bytes.fromhex(m) for m in MULTIPLES]), "b")) == [bytes.fromhex(m) for m in MULTIPLES]


@pytest.mark.claim("psi: RFC 9496 known answers")
def test_invalid_encodings_are_refused(cases: Cases) -> None:
    good = bytes.fromhex(MULTIPLES[0])
    for bad in [*map(bytes.fromhex, INVALID), IDENTITY, None]:
        table = pa.table({"point": pa.array([good, bad], POINT)})
        with pytest.raises(ProtocolViolation, match="b sent a point that is not a valid element"):
            run(checked(table, "b"))
        cases()


@pytest.mark.claim("psi: RFC 9496 known answers")
def test_elements_derived_from_hashes(cases: Cases) -> None:
    for label, expected in DERIVED.items():
        element = libsodium().crypto_core_ristretto255_from_hash(hashlib.sha512(label.encode()).digest())
        assert element.hex() == expected
        cases()


def test_keys_are_hashed_with_their_domain() -> None:
    digest = hashlib.sha512(b"\x00\x06" + b"domain" + b"key").digest()
    assert hash_to_group(b"domain", b"key") == libsodium().crypto_core_ristretto255_from_hash(digest)
    assert hash_to_group(b"domaink", b"ey") != hash_to_group(b"domain", b"key")


def test_scalars_are_reduced_and_never_zero() -> None:
    order = 2**252 + 27742317777372353535851937790883648493

    class Zeros:
        def __init__(self) -> None:
            self.draws = [order.to_bytes(64, "little"), bytes(64), (order + 5).to_bytes(64, "little")]

        def draw(self, size: int) -> bytes:
            assert size == 64
            return self.draws.pop(0)

    assert random_scalar(Zeros()) == (5).to_bytes(32, "little")
    assert 0 < int.from_bytes(random_scalar(SeededEntropy(b"seed")), "little") < order


def test_more_keys_than_a_message_holds_are_refused_before_any_work() -> None:
    assert MOST_POINTS * 32 < Message.MAX_BYTES - (1 << 20)
    for sizes in ({"a": 2, "b": MOST_POINTS + 1}, {"a": MOST_POINTS + 1, "b": 2}):
        agreed = SharedTerms(salt=bytes(32), sizes=sizes, min_count=0)
        given = {"me": "a", "peer": "b", "agreed": agreed, "entropy": SeededEntropy(b"a")}
        for role in (cardinality([b"x"] * 2, **given), intersection([b"x"] * 2, learner=None, **given)):
            with pytest.raises(DataError, match="brings 8,000,001 distinct keys"):
                next(role)


def test_loading_libsodium_leaves_no_file(tmp_path: Path) -> None:
    code = "from privsdk import psi; import pyarrow as pa; print(psi.intersect(pa.array(['a', 'b']), pa.array(['b'])))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []
