"""Hashes and ciphers of the firmware in both engines, and images that lack some (quecpython.md §1.3, §1.7)."""

import ast
from dataclasses import replace

import pytest

from tests_host.module.bench import Bench
from tests_host.module.test_profiles import STUBS, stub_names
from tools import figures
from tools.module.profiles import FAMILIES, OPTIONAL
from tools.plan import Plan, quicker
from tools.scenario import play, profile

BOTH = pytest.mark.parametrize("engine", ["vm", "cpython"])

KEY, IV = "2b7e151628aed2a6abf7158809cf4f3c", "000102030405060708090a0b0c0d0e0f"
PLAIN = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"

# NIST SP 800-38A F.1.1, F.2.1, F.5.1: two blocks of AES-128, the counter of the last starts at f0f1...
VECTORS = [
    (1, "", "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"),
    (2, IV, "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"),
    (6, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"),
]

PRELUDE = """
from ubinascii import hexlify, unhexlify
def hexed(data):
    return hexlify(data).decode()
def refused(function, *args):
    try:
        function(*args)
    except ValueError as error:
        return error.args[0]
"""


def printed(engine: str, main: str, lacks: tuple[str, ...] = ()) -> list[str]:
    bench = Bench(engine)
    bench.module.profile = replace(bench.profile, lacks=frozenset(lacks))
    bench.run(PRELUDE + main)
    assert not bench.events.of("crash"), bench.events.of("crash")[0].text
    return bench.printed()


# -- ucryptolib -----------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("mode", "iv", "expected"), VECTORS)
def test_aes_gives_nists_vectors_in_both_directions(engine, mode, iv, expected):
    iv_argument = f", unhexlify('{iv}')" if iv else ""
    main = f"""
from ucryptolib import aes
def cipher():
    return aes(unhexlify('{KEY}'), {mode}{iv_argument})
print(hexed(cipher().encrypt(unhexlify('{PLAIN}'))))
print(hexed(cipher().decrypt(unhexlify('{expected}'))))
buffer = bytearray(unhexlify('{PLAIN}'))
print(cipher().encrypt(buffer, buffer) is buffer, hexed(buffer))
other = bytearray(34)
cipher().decrypt(memoryview(buffer), other)
print(hexed(other))
half = cipher()
print(hexed(half.encrypt(unhexlify('{PLAIN[:32]}')) + half.encrypt(unhexlify('{PLAIN[32:]}'))))
"""
    assert printed(engine, main) == [expected, PLAIN, f"True {expected}", PLAIN + "0000", expected]


@BOTH
def test_counter_mode_takes_any_length_goes_on_and_carries(engine):
    main = """
from ucryptolib import aes
zeros = bytes(53)
whole = aes(b'k' * 32, 6, b'\\xff' * 16).encrypt(zeros)
parts = aes(b'k' * 32, 6, b'\\xff' * 16)
print(whole == parts.encrypt(zeros[:1]) + parts.encrypt(b'') + parts.encrypt(zeros[:20]) + parts.encrypt(zeros[:32]))
block = aes(b'k' * 32, 1)
print(whole == (block.encrypt(b'\\xff' * 16) + block.encrypt(bytes(16)) + block.encrypt(bytes(15) + b'\\x01')
                + block.encrypt(bytes(15) + b'\\x02'))[:53])
"""
    assert printed(engine, main) == ["True", "True"]


@BOTH
def test_aes_refuses_with_the_firmwares_words(engine):
    main = """
from ucryptolib import aes, MODE_ECB, MODE_CBC, MODE_CTR
print(MODE_ECB, MODE_CBC, MODE_CTR)
print([refused(aes, b'k' * n, MODE_ECB) for n in (0, 15, 24, 16, 32)])
print([refused(aes, b'k' * n, MODE_CTR, b'i' * 16) for n in (24, 16)])
print([refused(aes, b'k' * 16, mode) for mode in (0, 3, 4, 5)])
print([refused(aes, b'k' * 16, *rest) for rest in ((2,), (6,), (2, b'i' * 15), (6, b'i' * 17), (1, b'i' * 3))])
for mode in (1, 2, 6):
    def cipher():
        return aes(b'k' * 16, mode, b'i' * 16)
    print([refused(cipher().encrypt, bytes(n)) for n in (15, 17, 16, 0)], [
        refused(cipher().decrypt, bytes(16), bytearray(15))])
    for first, second in (('encrypt', 'decrypt'), ('decrypt', 'encrypt')):
        one = cipher()
        getattr(one, first)(bytes(16))
        print(refused(getattr(one, first), bytes(16)), refused(getattr(one, second), bytes(16)))
"""
    blocks = ["['blksize % 16', 'blksize % 16', None, None] ['output too small']"]
    once = ["None can't encrypt & decrypt"] * 2
    assert printed(engine, main) == [
        "1 2 6", "['key', 'key', 'key', None, None]", "['key', None]", "['mode', 'mode', 'mode', 'mode']",
        "['IV', 'IV', 'IV', 'IV', 'IV']", *blocks, *once, *blocks, *once,
        "[None, None, None, None] ['output too small']", *once,
    ]


# -- uhashlib and the frozen hashlib --------------------------------------------------------------------------------

ABC = {  # FIPS 180-4's example "abc", RFC 3174, RFC 1321
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha224": "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "md5": "900150983cd24fb0d6963f7d28e17f72",
}


@BOTH
@pytest.mark.parametrize("name", ["sha256", "sha1", "md5"])
def test_native_hashes_can_be_asked_once_and_not_copied(engine, name):
    main = f"""
from uhashlib import {name} as new
hash = new(b'a')
hash.update(bytearray(b'b'))
hash.update(memoryview(b'c'))
print(hexed(hash.digest()))
print(refused(hash.update, b'd'), refused(hash.digest))
print([name for name in 'copy hexdigest digest_size block_size'.split() if hasattr(hash, name)])
"""
    assert printed(engine, main) == [ABC[name], "hash is final hash is final", "[]"]


@BOTH
@pytest.mark.parametrize(("name", "size"), [("sha256", 32), ("sha224", 28)])
def test_frozen_hashes_can_be_copied_and_asked_again(engine, name, size):
    main = f"""
from hashlib import {name} as new
hash = new(b'a')
twin = hash.copy()
hash.update(bytearray(b'bc'))
print(hexed(hash.digest()), hash.hexdigest())
hash.update(b'd')
twin.update(memoryview(b'bcd'))
print(hash.digest() == twin.digest(), hash.digest_size, hash.block_size, len(twin.digest()))
"""
    assert printed(engine, main) == [f"{ABC[name]} {ABC[name]}", f"True {size} 64 {size}"]


@BOTH
def test_frozen_and_native_sha256_agree_at_every_length_of_padding(engine):
    main = """
import hashlib, uhashlib
data = bytes([i * 7 & 0xFF for i in range(140)])
print([n for n in range(140) if hashlib.sha256(data[:n]).digest() != uhashlib.sha256(data[:n]).digest()])
"""
    assert printed(engine, main) == ["[]"]


@BOTH
@pytest.mark.parametrize("name", ["ucryptolib", "uhashlib", "hashlib"])
def test_type_stubs_name_what_is_there(engine, name):
    named = sorted(stub_names(ast.parse((STUBS / f"{name}.pyi").read_text()).body))
    assert printed(engine, f"import {name}\nprint([n for n in {named} if not hasattr({name}, n)])\n") == ["[]"]


# -- images that lack them ------------------------------------------------------------------------------------------

LOOK = """
found = []
for statement in ('import ucryptolib', 'import uhashlib', 'import hashlib', 'from uos import urandom',
                  'import umqtt'):
    try:
        exec(statement)
        found.append(statement.split()[-1])
    except ImportError:
        pass
import log, uos
print(found, hasattr(uos, 'urandom'))
"""


@BOTH
@pytest.mark.parametrize("absent", [(), *[(name,) for name in OPTIONAL], OPTIONAL])
def test_what_an_image_lacks_cannot_be_imported(engine, absent):
    left = [name.removeprefix("uos.") for name in OPTIONAL if name not in absent]
    assert printed(engine, LOOK, absent) == [f"{left} {'urandom' in left}"]


def test_only_eigen_images_have_the_frozen_hashlib():
    assert {name for name, family in FAMILIES.items() if "hashlib" not in family.lacks} == {"EC800E"}
    assert all(family.lacks <= {"hashlib"} for family in FAMILIES.values())


def test_without_native_crypto_both_engines_send_the_same_datagrams():
    """Our own AES, the frozen SHA-256, spread random bytes."""
    plan = Plan(protocol="lwm2m-dtls", wakes=2, lacks=("ucryptolib", "uhashlib", "uos.urandom"), measure_heap=False)
    in_vm, in_cpython = figures.result(play(plan)), figures.result(play(quicker(plan)))
    assert in_vm["error"] is in_cpython["error"] is None
    assert in_vm["trace_sha256"] == in_cpython["trace_sha256"]


def test_a_plan_takes_more_away_and_knows_what_can_be():
    assert profile(Plan(family="EC800M", lacks=("ucryptolib",))).lacks == {"hashlib", "ucryptolib"}
    with pytest.raises(ValueError, match="usocket; may be missing: ucryptolib, uhashlib, hashlib, uos.urandom"):
        profile(Plan(lacks=("usocket",)))
