"""Every rule of the lint refuses what it names and lets its replacement pass."""

import sys
from pathlib import Path

import pytest

from tools.dialect import rules
from tools.dialect.lint import lint_source, lint_tree, own_modules

OWN = ("app", "coap", "coap.message", "m2m", "m2m.tlv", "link", "link.at", "store", "store.record", "aep", "aep.tcp",
       "dtls", "dtls.primitives")
APP = "lib/app.py"

# (rule, refused, accepted, path of both)
SAMPLES = [
    ("syntax", "def f(:\n", "def f(): pass\n", APP),
    ("f-string", "x = 1\ny = f'{x}'\n", "x = 1\ny = '%d' % x + '{}'.format(x)\n", APP),
    ("display", "a = [1]\nb = [*a]\n", "a = [1]\nb, *c = a\nb = list(a) + [2]\n", APP),
    ("display", "a = (1,)\nb = (*a, 2)\n", "a = (1,)\nb = a + (2,)\n", APP),
    ("display", "a = {}\nb = {**a}\n", "a = {}\nb = dict(a)\nprint(*[1])\n", APP),
    ("unpack-twice", "a = [1]\nprint(*a, *a)\n", "a = [1]\nprint(*(a + a))\n", APP),
    ("unpack-twice", "a = {}\nprint(**a, **a)\n", "a = {}\nprint(**a)\n", APP),
    ("walrus", "if (n := len('a')): pass\n", "n = len('a')\nif n: pass\n", APP),
    ("async", "async def f(): pass\n", "def f(): yield 1\n", APP),
    ("async", "import _thread\nasync def f():\n    await _thread\n", "import _thread\n_thread.get_ident()\n", APP),
    ("nonlocal", "def f():\n    n = 0\n    def g():\n        nonlocal n\n", "def f():\n    global n\n    n = 0\n", APP),
    ("match", "match 1:\n    case 1: pass\n", "if 1 == 1: pass\n", APP),
    ("positional-only", "def f(a, /): pass\n", "def f(a): pass\n", APP),
    ("keyword-only", "def f(*, a): pass\n", "def f(*args, **kwargs): pass\n", APP),
    ("class-keyword", "class A(metaclass=type): pass\n", "class A(Exception): pass\n", APP),
    ("variable-annotation", "x: int = 1\n", "x = 1  # type: int\n", APP),
    ("annotation", "def f(a: Optional): pass\n", "class A: pass\ndef f(a: A, b: 'A', c: int | None): pass\n", APP),
    ("annotation", "def f() -> Any: pass\n", "def f() -> list[bytes]: pass\n", APP),
    ("private-name", "class A:\n    def __f(self): pass\n", "class A:\n    def _f(self): pass\n", APP),
    ("private-name", "def f(a):\n    return a.__b\n", "def f(a):\n    return a.__class__\n", APP),
    ("missing-name", "for i in reversed([1]): pass\n", "for i in range(3, -1, -1): pass\n", APP),
    ("missing-name", "x = frozenset()\n", "x = set()\n", APP),
    ("missing-name", "x = OrderedDict()\n", "x = []\n", APP),
    ("missing-name", "try:\n    x = 1\nexcept IOError: pass\n", "try:\n    x = 1\nexcept OSError: pass\n", APP),
    ("missing-method", "x = dict.fromkeys([1])\n", "x = dict([(1, None)])\n", APP),
    ("missing-method", "x = 'a=b'.partition('=')\n", "x = 'a=b'.split('=', 1)\n", APP),
    ("missing-method", "x = 'a=b'.rpartition('=')\n", "x = 'a=b'.rsplit('=', 1)\n", APP),
    ("missing-method", "x = 'a'.center(5)\n", "x = '%5s' % 'a'\n", APP),
    ("missing-method", "x = 'a'.splitlines()\n", "x = 'a'.split('\\n')\n", APP),
    ("missing-method", "x = b'a'.hex()\n", "import ubinascii\nx = ubinascii.hexlify(b'a')\ny = hex(1)\n", APP),
    ("missing-method", "x = bytes.fromhex('00')\n", "import ubinascii\nx = ubinascii.unhexlify('00')\n", APP),
    ("missing-method", "x = memoryview(b'a').hex()\n", "x = memoryview(b'a')[0]\n", APP),
    ("missing-method", "x = (5).bit_length()\n", "x = 5 >> 1\n", APP),
    ("missing-attribute", "import math\nx = math.inf\n", "import math\nx = math.pi\n", APP),
    ("missing-attribute", "from math import nan\n", "from math import sqrt\n", APP),
    ("missing-attribute", "import ure as r\nx = r.sub('a', 'b', 'c')\n", "import ure\nx = ure.match('a', 'b')\n", APP),
    ("missing-attribute", "import utime\nx = utime.gmtime()\n", "import utime\nx = utime.localtime()\n", APP),
    ("missing-attribute", "import utime\nx = utime.time_ns()\n", "import utime\nx = utime.ticks_us()\n", APP),
    ("missing-attribute", "from ucollections import OrderedDict\n", "from ucollections import namedtuple\n", APP),
    ("bytearray-method", "def f():\n    b = bytearray(3)\n    b.find(b'a')\n", "def f(b):\n    b.find(b'a')\n", APP),
    ("bytearray-method", "def f(b: bytearray):\n    b.split()\n", "def f(b: bytes):\n    b.split()\n", APP),
    (
        "bytearray-method",
        "class A:\n    def __init__(self):\n        self.b = bytearray()\n    def f(self):\n        self.b.strip()\n",
        "class A:\n    def __init__(self):\n        self.b = bytearray()\n    def f(self):\n        self.b.append(1)\n",
        APP,
    ),
    ("function-attribute", "def f(): pass\nx = f.__name__\n", "x = __name__\n", APP),
    ("class-name", "x = type(1).__name__\n", "x = repr(type(1))\n", APP),
    ("function-attribute", "def f(): pass\nf.calls = 0\n", "class A: pass\nA.calls = 0\n", APP),
    (
        "special-method",
        "class A:\n    def __setattr__(self, k, v): pass\n",
        "class A:\n    def __getattr__(self, k): pass\n",
        APP,
    ),
    ("keyword-to-builtin", "x = 'a b'.split(sep=' ')\n", "x = 'a b'.split(' ')\ny = sorted([1], key=abs)\n", APP),
    ("keyword-to-builtin", "x = sum([1], start=2)\n", "x = sum([1], 2)\n", APP),
    ("keyword-to-builtin", "print(1, flush=True)\n", "print(1, end='')\n", APP),
    ("pow3", "x = pow(2, 3, 5)\n", "x = pow(2, 3)\n", APP),
    ("next-default", "x = next(iter([]), None)\n", "x = next(iter([1]))\n", APP),
    ("to-bytes-signed", "x = (5).to_bytes(2, 'big', True)\n", "x = (5).to_bytes(2, 'big')\n", APP),
    ("import", "import os\n", "import uos\n", APP),
    ("import", "import typing\n", "import machine\n", APP),
    ("import", "from coap import absent\n", "from coap import message\n", "lib/m2m/x.py"),
    ("import", "import usr.boot\n", "from coap.message import encode\n", APP),
    ("import", "import typing\n", "import usr.boot\n", "main.py"),
    ("relative-import", "from . import tlv\n", "from m2m import tlv\n", "lib/m2m/x.py"),
    (
        "optional-import",
        "import uhashlib\n",
        "try:\n    import uhashlib\nexcept ImportError:\n    uhashlib = None\n",
        "lib/dtls/primitives.py",
    ),
    (
        "crypto-import",
        "try:\n    import ucryptolib\nexcept ImportError:\n    ucryptolib = None\n",
        "from dtls import primitives\n",
        "lib/dtls/x.py",
    ),
    ("pure-import", "import utime\n", "import ustruct\nimport coap.message\n", "lib/coap/x.py"),
    ("pure-import", "from m2m import tlv\n", "from micropython import const\n", "lib/coap/x.py"),
    ("pure-import", "import uos\n", "from coap import message\nfrom m2m import tlv\n", "lib/m2m/x.py"),
    ("pure-import", "import urandom\n", "import ubinascii\n", "lib/dtls/x.py"),
    ("pure-import", "import ujson\n", "import ucollections\n", "lib/mqtt/x.py"),
    ("network-import", "import usocket\n", "import machine\nimport misc\n", APP),
    ("network-import", "import pm\n", "import uos\n", "lib/aep/thing.py"),
    ("network-import", "import checkNet\n", "import utime\n", "lib/device/x.py"),
    ("store-import", "import ql_fs\n", "from store import record\n", APP),
    ("broad", "try:\n    x = 1\nexcept:\n    pass\n", "try:\n    x = 1\nexcept ValueError:\n    pass\n", APP),
    (
        "broad",
        "try:\n    x = 1\nexcept (OSError, Exception):\n    pass\n",
        "try:\n    x = 1\nexcept Exception:  # dialect: broad - user code may raise anything\n    pass\n",
        APP,
    ),
    (
        "broad-in-codec",
        "try:\n    x = 1\nexcept Exception:\n    pass\n",
        "try:\n    x = 1\nexcept ValueError:\n    pass\n",
        "lib/dtls/x.py",
    ),
    ("broad-in-codec", "try:\n    x = 1\nexcept:\n    pass\n", "x = 1\n", "lib/coap/x.py"),
    ("long-timeout", "def f(s): s.settimeout(6)\n", "def f(s): s.settimeout(5)\n", "lib/link/x.py"),
    ("long-timeout", "def f(s): s.settimeout(None)\n", "def f(s, t): s.settimeout(t)\n", "lib/link/x.py"),
    (
        "long-timeout",
        "from micropython import const\n_T = const(10)\ndef f(s): s.settimeout(_T)\n",
        "from micropython import const\n_T = const(2)\ndef f(s): s.settimeout(_T)\n",
        "lib/link/x.py",
    ),
    ("open-without-close", "x = open('/usr/x').read()\n", "with open('/usr/x') as f:\n    x = f.read()\n", APP),
    (
        "open-without-close",
        "def f():\n    g = open('/usr/x')\n    return g\n",
        "def f():\n    g = open('/usr/x')\n    g.close()\n",
        APP,
    ),
    ("writes", "with open('/usr/x', 'w') as f: pass\n", "with open('/usr/x', 'rb') as f: pass\n", APP),
    ("writes", "def f(m):\n    with open('/usr/x', m) as f: pass\n", "with open('/usr/x') as f: pass\n", APP),
    ("writes", "import uos\nuos.rename('a', 'b')\n", "import uos\nuos.stat('a')\n", APP),
    ("dropped-object", "import osTimer\nosTimer().start(1, 0, f)\n", "import osTimer\nt = osTimer()\n", APP),
    ("waiver", "x = 1  # dialect: broad - none here\n", "x = 1  # dialects differ\n", APP),
    ("waiver", "try:\n    x = 1\nexcept:  # dialect: broad\n    pass\n", "x = 1\n", APP),
]


def rules_found(source, path):
    return [finding.rule for finding in lint_source(source, path, OWN)]


@pytest.mark.parametrize(("rule", "refused", "accepted", "path"), SAMPLES)
def test_rule_refuses_its_sample_and_accepts_the_replacement(rule, refused, accepted, path):
    assert rule in rules_found(refused, path)
    assert rules_found(accepted, path) == []


@pytest.mark.parametrize("room", ["coap", "m2m", "mqtt", "dtls"])
@pytest.mark.parametrize("rule", ["broad", "broad-in-codec"])
@pytest.mark.parametrize("caught", ["", " Exception", " (ValueError, BaseException)"])
def test_no_reason_allows_to_catch_everything_in_a_codec(room, rule, caught):
    source = f"try:\n    x = 1\nexcept{caught}:  # dialect: {rule} - a reason\n    pass\n"
    assert set(rules_found(source, f"lib/{room}/x.py")) == {"broad-in-codec", "waiver"}
    assert rules_found("try:\n    x = 1\nexcept (ValueError, IndexError):\n    pass\n", f"lib/{room}/x.py") == []


@pytest.mark.parametrize("module", ["ucryptolib", "uhashlib", "hashlib", "hmac"])
@pytest.mark.parametrize("path", ["lib/coap/x.py", "lib/link/x.py", "lib/store/x.py", APP, "boot.py"])
def test_hash_and_cipher_have_one_import_site(module, path):
    for statement in (f"import {module}", f"from {module} import x"):
        source = f"try:\n    {statement}\nexcept ImportError:\n    x = None\n"
        assert "crypto-import" in rules_found(source, path)
        assert rules_found(source, "lib/dtls/primitives.py") == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 cannot parse except*")
def test_except_group_is_refused():
    assert rules_found("try:\n    x = 1\nexcept* ValueError:\n    pass\n", APP) == ["except-group"]


def test_every_rule_has_samples():
    beside = {"firmware-name", "except-group"}  # tests of their own
    assert {rule for rule, *_ in SAMPLES} | beside == set(rules.RULES)


@pytest.mark.parametrize(
    "name", ["reversed", "frozenset", "OrderedDict", "TimeoutError", "ConnectionError", "FileNotFoundError"]
)
def test_names_absent_on_the_module_are_refused_unless_the_file_binds_them(name):
    refused = "missing-name" in rules_found(f"x = {name}\n", APP)
    assert refused == (name != "TimeoutError")  # quecpython.md §1.2 lists TimeoutError as present
    assert rules_found(f"def {name}(): pass\nx = {name}()\n", APP) == []


@pytest.mark.parametrize("method", ["find", "split", "startswith", "strip", "replace", "join", "count", "index"])
def test_bytearray_lacks_every_method_of_str(method):
    assert rules_found(f"x = bytearray(b'a').{method}\n", APP) == ["bytearray-method"]


@pytest.mark.parametrize("path", ["lib/log.py", "lib/queue/x.py", "lib/aep/ussl.py", "lib/lwm2m/x.py"])
def test_file_or_room_named_like_a_firmware_module_is_refused(path):
    assert rules_found("x = 1\n", path) == ["firmware-name"]


def test_the_session_file_that_the_design_calls_lwm2m_may_keep_its_name():
    assert rules_found("x = 1\n", "lib/aep/lwm2m.py") == []


@pytest.mark.parametrize(
    "path", ["lib/link/attach.py", "lib/aep/lwm2m.py", "lib/aep/lwm2m_modem.py", "lib/aep/mqtt.py", "lib/aep/tcp.py"]
)
def test_link_and_session_files_may_import_network_modules(path):
    assert rules_found("import usocket\n", path) == []


@pytest.mark.parametrize("path", ["lib/store/record.py", "boot.py"])
def test_store_and_boot_may_write(path):
    assert rules_found("import uos\nwith open('/usr/x', 'wb') as f: pass\nuos.rename('a', 'b')\n", path) == []


def test_finding_names_file_line_replacement_and_source():
    (finding,) = lint_source("\nx = reversed([1])\n", APP)
    assert str(finding).startswith("lib/app.py:2: name the module lacks: reversed: write range(")
    assert "quecpython.md §1.2" in str(finding)


def test_tree_is_walked_with_its_own_rooms_as_imports(tmp_path: Path):
    for name, text in (
        ("main.py", "import usr.boot\n"),
        ("boot.py", "import uos\n"),
        ("lib/app.py", "from coap import message\nfrom coap import missing\n"),
        ("lib/coap/message.py", "import utime\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert own_modules(tmp_path) == {"app", "coap", "coap.message"}
    assert [(f.path, f.rule) for f in lint_tree(tmp_path)] == [
        ("lib/app.py", "import"),
        ("lib/coap/message.py", "pure-import"),
    ]
