"""NIST's vectors as lines of text, checked against the room by whichever interpreter this runs in: imported in CPython,
a script in the VM (`micropython vectors.py LIB native|pure`, the lines on stdin). Prints how many held."""

import sys

from ubinascii import unhexlify


def check(line, primitives, ccm):
    """Whether the room gives what the line says. `-` stands for no bytes, or for a MAC that is wrong."""
    kind, key, rest = line.split(" ", 2)
    key = unhexlify(key)
    if kind == "ecb":
        plain, sealed = [unhexlify(field) for field in rest.split(" ")]
        return primitives.encryptor(key)(plain) == sealed and primitives.decryptor(key)(sealed) == plain
    tag, nonce, extra, plain, sealed = [None if field == "-" else unhexlify(field) for field in rest.split(" ")]
    encrypt, tag, extra = primitives.encryptor(key), tag[0], extra or b""
    if kind == "forged":
        return ccm.unseal(encrypt, nonce, extra, sealed, tag) is None
    plain = plain or b""
    right = ccm.unseal(encrypt, nonce, extra, sealed, tag) == plain
    return right and ccm.seal(encrypt, nonce, extra, plain, tag) == sealed


def count(lines, aes):
    """How many hold, with "native" or "pure" AES; raises AssertionError at the first that does not."""
    from dtls import ccm, primitives

    had, done = primitives._aes, 0
    if aes == "pure":
        primitives._aes = None
    try:
        for line in lines:
            assert check(line.strip(), primitives, ccm), line
            done += 1
    finally:
        primitives._aes = had
    return done


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    print(count(sys.stdin, sys.argv[2]))
