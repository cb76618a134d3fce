"""All of NIST's AES-128 vectors for ECB and CCM (CAVP, as the package cryptography_vectors has them), in CPython and in
the VM, with the image's AES and with our own; and SHA-256 and HMAC on theirs."""

import re
import subprocess
from pathlib import Path

import cryptography_vectors
import pytest

from dtls.primitives import hmac, keyed, sha256
from tests_host.conftest import judge
from tests_host.dtls import vectors
from tests_host.interpreters.run import HEAP, LIB

FILES = Path(cryptography_vectors.__path__[0])
FIELD = re.compile(r"(\w+) = (\w+)")
LIMIT_S = 100.0


def fields(path):
    """One dict per vector, with all fields that hold for it: those of a file or section stand in front."""
    known = {}
    for line in (FILES / path).read_text().splitlines():
        known.update({name.upper(): value for name, value in FIELD.findall(line)})
        if not line and "COUNT" in known:
            yield known
            known = {name: value for name, value in known.items() if name not in ("COUNT", "RESULT")}
    if "COUNT" in known:
        yield known


def of_ccm(path):
    """The lines of vectors.py of one file. A length of 0 is written as one byte, 00."""
    for known in fields(path):
        tag, data = int(known["TLEN"]), known["PAYLOAD"]
        forged = known.get("RESULT") == "Fail"
        extra = known["ADATA"] if int(known["ALEN"]) else "-"
        plain = data if int(known["PLEN"]) else "-"
        yield f"{'forged' if forged else 'ccm'} {known['KEY']} {tag:02x} {known['NONCE']} {extra} {plain} {known['CT']}"


def of_ecb(path):
    for known in fields(path):
        yield f"ecb {known['KEY']} {known['PLAINTEXT']} {known['CIPHERTEXT']}"


# How many vectors each file has: none is lost on the way.
CCM = {"VADT": 330, "VNT": 70, "VPT": 250, "VTT": 70, "DVPT": 240}
ECB = {"ECBGFSbox": 14, "ECBKeySbox": 42, "ECBMMT": 20, "ECBVarKey": 256, "ECBVarTxt": 256}


def lines(name):
    if name in CCM:
        return list(of_ccm(f"ciphers/AES/CCM/{name}128.rsp"))
    return list(of_ecb(f"ciphers/AES/ECB/{name}128.rsp"))


@pytest.mark.parametrize("aes", ["native", "pure"])
@pytest.mark.parametrize(("name", "size"), [*CCM.items(), *ECB.items()])
def test_every_vector_holds_in_cpython(name, size, aes):
    assert vectors.count(lines(name), aes) == size


@pytest.mark.parametrize("aes", ["native", "pure"])
def test_every_vector_holds_in_the_vm(aes):
    every = [line for name in (*CCM, *ECB) for line in lines(name)]
    command = [judge("micropython"), "-X", f"heapsize={HEAP}", vectors.__file__, str(LIB), aes]
    done = subprocess.run(command, input="\n".join(every), capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.stdout.strip(), done.stderr) == (str(len(every)), "")
    assert len(every) == sum(CCM.values()) + sum(ECB.values())


def test_forged_vectors_are_among_them():
    assert sum(line.startswith("forged") for line in lines("DVPT")) > 100


@pytest.mark.parametrize("name", ["SHA256ShortMsg", "SHA256LongMsg"])
def test_sha_256_on_nists_messages(name):
    text = (FILES / f"hashes/SHA2/{name}.rsp").read_text()
    found = re.findall(r"Len = (\d+)\s+Msg = (\w+)\s+MD = (\w+)", text)
    assert len(found) > 60
    for bits, message, digest in found:
        assert sha256(bytes.fromhex(message)[: int(bits) // 8]).hex() == digest


def test_hmac_on_the_vectors_of_rfc_4231():
    text = (FILES / "HMAC/rfc-4231-sha256.txt").read_text()
    found = re.findall(r"Key = (\w+)\s+(?:#.*\s+)?Msg = (\w+)\s+MD = (\w+)", text)
    assert len(found) == 6
    for key, message, mac in found:
        assert hmac(keyed(bytes.fromhex(key)), bytes.fromhex(message)).hex() == mac
