"""What the module's Python lacks and what the house forbids, as data: the tables that `lint.py` walks.

Every rule names what to write instead and where the fact comes from. `measured` marks facts found by running
MicroPython 1.10, 1.13 and 1.28 side by side; they complete quecpython.md §1.2.
"""

from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Rule(NamedTuple):
    what: str
    instead: str
    source: str


_LANGUAGE = "quecpython.md §1.2"
_NAMES = "quecpython.md §1.3"
_HOUSE = "DESIGN §9"
_ROOMS = "DESIGN §2"
_OLD = "measured: MicroPython 1.10 or 1.13"

RULES: dict[str, Rule] = {
    # Syntax.
    "syntax": Rule("not Python", "code that compiles", _HOUSE),
    "f-string": Rule("f-string", "'%d' % x or '{}'.format(x)", _LANGUAGE),
    "display": Rule("* or ** inside a display or a tuple", "list(a) + b, or update()", _LANGUAGE),
    "unpack-twice": Rule("more than one * or ** in a call", "one joined sequence or dict", _OLD),
    "walrus": Rule("walrus", "an assignment before the test", "quecpython.md §1.2, house rules"),
    "async": Rule("async or await", "the duty cycle's loop", _NAMES),
    "nonlocal": Rule("nonlocal", "an attribute of an object", _HOUSE),
    "match": Rule("match", "if/elif or a dict", _OLD),
    "except-group": Rule("except*", "except", _OLD),
    "positional-only": Rule("positional-only parameter", "a plain parameter", _OLD),
    "keyword-only": Rule("keyword-only parameter", "a plain parameter", "quecpython.md §7.14"),
    "class-keyword": Rule("keyword in a class statement", "a base class", _OLD),
    "variable-annotation": Rule(
        "annotated variable (a syntax error before 1.13)", "the value alone, or a `# type:` comment", _OLD
    ),
    "annotation": Rule("annotation with a name that is neither built-in nor ours", "a built-in or own type", _HOUSE),
    "private-name": Rule("__private name (CPython mangles it, the module does not)", "one underscore", _HOUSE),
    # Built-ins, methods, attributes.
    "missing-name": Rule("name the module lacks", "", _LANGUAGE),
    "missing-method": Rule("method the module lacks", "", _LANGUAGE),
    "missing-attribute": Rule("attribute the module lacks", "", _LANGUAGE),
    "bytearray-method": Rule(
        "str-like method on a bytearray", "bytes(x) first, or a loop over indices", "quecpython.md §1.2, measured"
    ),
    "function-attribute": Rule("attribute on a function", "a dict or an object", _LANGUAGE),
    "class-name": Rule(
        "type(x).__name__ (in upstream 1.10 to 1.28; whether in the firmware is not known)",
        "a name that the class holds, or repr()",
        "quecpython.md §1.2, §8",
    ),
    "special-method": Rule("special method the port switches off", "a plain method", _LANGUAGE),
    "keyword-to-builtin": Rule("keyword argument to a built-in that takes none", "positional arguments", _OLD),
    "pow3": Rule("3-argument pow (can loop for ever)", "square and multiply with folding", _LANGUAGE),
    "next-default": Rule("next() with a default", "a for loop with break, or try/except StopIteration", _OLD),
    "to-bytes-signed": Rule("to_bytes with other than 2 arguments", "to_bytes(length, 'big') of a masked int", _OLD),
    # Imports and rooms.
    "import": Rule("import of a module that the firmware and lib/ do not have", "a u-named or vendor module", _NAMES),
    "relative-import": Rule("relative import", "from room import file", "DESIGN §2: the tree is first on usys.path"),
    "optional-import": Rule("optional module imported without a fall-back", "try/except ImportError", _NAMES),
    "pure-import": Rule("import in a room without I/O, clock and randomness", "the value passed in", _ROOMS),
    "network-import": Rule("network module outside link/ and the session files", "a function of link/", _ROOMS),
    "crypto-import": Rule("hash or cipher of the firmware outside its one import site", "dtls.primitives", _ROOMS),
    "store-import": Rule("module that writes to flash outside store/ and boot.py", "a function of store/", _ROOMS),
    "firmware-name": Rule("room or file named like a firmware module (built-ins win)", "another name", _NAMES),
    # Behaviour.
    "broad-in-codec": Rule("except for everything where bytes from the network are read", "the error meant", "STYLE"),
    "broad": Rule("except for everything", "the exceptions meant, or `# dialect: broad - why`", "STYLE"),
    "long-timeout": Rule(
        "socket time-out over 5 s or none", "settimeout(5) at most, in a loop of one's own", "quecpython.md §3.9"
    ),
    "open-without-close": Rule("open() without with or close()", "with open(...) as f", _HOUSE),
    "writes": Rule("writing to flash outside store/ and boot.py", "a function of store/", _ROOMS),
    "dropped-object": Rule("timer or socket that nothing refers to (its finaliser stops it)", "a kept name", _HOUSE),
    # The waivers themselves.
    "waiver": Rule("waiver of no use", "no waiver; or `# dialect: <rule> - why` on the line it is for", "this lint"),
}

# Built-in names that are absent, and what to write instead. TimeoutError is there (§1.2), its relatives are not.
MISSING_NAMES = {
    "reversed": "range(len(x) - 1, -1, -1)",
    "frozenset": "a tuple or a set",
    "OrderedDict": "a list of pairs",
    "ascii": "repr()",
    "format": "'%x' % n or '{:x}'.format(n)",
    "vars": "getattr() or dir()",
    "aiter": "a loop",
    "anext": "a loop",
    "breakpoint": "print()",
    "IOError": "OSError",
    "ConnectionError": "OSError and its number",
    "ConnectionResetError": "OSError and its number",
    "ConnectionRefusedError": "OSError and its number",
    "BrokenPipeError": "OSError and its number",
    "BlockingIOError": "OSError and its number",
    "FileNotFoundError": "OSError and its number",
    "FileExistsError": "OSError and its number",
    "PermissionError": "OSError and its number",
    "InterruptedError": "OSError and its number",
    "UnicodeDecodeError": "UnicodeError",
    "UnicodeEncodeError": "UnicodeError",
    "RecursionError": "RuntimeError",
    "ModuleNotFoundError": "ImportError",
    "ExceptionGroup": "one exception",
}

# Methods that no built-in type of the module has; a call of this name on anything is refused.
MISSING_METHODS = {
    "fromkeys": "a loop over the keys",
    "partition": "find() and slices",
    "rpartition": "rfind() and slices",
    "center": "'%*s' by hand",
    "splitlines": "split('\\n')",
    "hex": "ubinascii.hexlify()",
    "fromhex": "ubinascii.unhexlify()",
    "bit_length": "a loop of shifts",
    "bit_count": "a loop of shifts",
    "tobytes": "bytes(view)",
    "zfill": "'%0*d'",
    "ljust": "'%-8s'",
    "rjust": "'%8s'",
    "isalnum": "isalpha() or isdigit()",
    "isidentifier": "a loop",
    "isdecimal": "isdigit()",
    "isnumeric": "isdigit()",
    "istitle": "a loop",
    "isprintable": "a loop",
    "isascii": "a loop",
    "title": "upper() and slices",
    "capitalize": "upper() and slices",
    "swapcase": "a loop",
    "casefold": "lower()",
    "expandtabs": "replace()",
    "translate": "replace()",
    "maketrans": "replace()",
    "format_map": "format()",
    "removeprefix": "startswith() and a slice",
    "removesuffix": "endswith() and a slice",
    "total_seconds": "integers",
}

# module -> attribute -> instead. A module's alias and `from module import attribute` are followed.
MISSING_ATTRIBUTES = {
    "math": {"inf": "a large number", "nan": "None", "isclose": "abs(a - b) < e", "gcd": "a loop"},
    "ure": {"sub": "match() and slices"},
    "utime": {"gmtime": "link.clock", "time_ns": "ticks_us()", "strftime": "'%04d-%02d' %"},
    "ucollections": {"OrderedDict": "a list of pairs", "defaultdict": "setdefault()", "Counter": "a dict"},
    "micropython": {
        "mem_info": "gc.mem_alloc()",
        "alloc_emergency_exception_buf": "nothing",
        "native": "bytecode",
        "viper": "bytecode",
    },
    "usys": {"settrace": "nothing", "exc_info": "the exception caught", "getsizeof": "gc.mem_alloc()"},
    "uos": {"sync": "close the file", "path": "strings", "environ": "settings", "getenv": "settings"},
    "ubinascii": {"crc32": "store.record.crc32"},  # not guaranteed: quecpython.md §1.6
}

# Attributes of anything that only functions and classes of CPython have.
FUNCTION_ATTRIBUTES = _words("__name__ __qualname__ __doc__ __annotations__ __wrapped__ __defaults__ __code__")

SPECIAL_METHODS = _words(
    "__setattr__ __delattr__ __get__ __set__ __set_name__ __init_subclass__ __class_getitem__ __getattribute__ "
    "__format__ __del__"
)

# On 1.13 a bytearray has append, extend, decode, nothing else; the newest VM has all of these.
BYTEARRAY_METHODS = _words(
    "split rsplit find rfind index rindex count startswith endswith strip lstrip rstrip replace join lower upper "
    "isalpha isdigit islower isupper isspace format insert pop remove clear copy reverse"
)

# Called with a keyword these raise TypeError on 1.13 (the argument is the built-in's or the method's name).
NO_KEYWORDS = ("sum", "int", "zip", "pow", "getattr", "divmod", "round")
NO_KEYWORD_METHODS = _words(
    "to_bytes from_bytes encode decode split rsplit replace startswith endswith find settimeout sendto connect recv"
)

# Firmware modules, quecpython.md §1.3. ALLOWED may be imported; FORBIDDEN exist on some image but not as a contract.
CORE = _words(
    "usys uio ujson ustruct ubinascii ucollections urandom ure uerrno uselect uzlib uctypes uhashlib ucryptolib "
    "ussl math gc micropython _thread utime uos usocket"
)
VENDOR = _words(
    "machine misc net sim modem dial sms pm atcmd utils SecureData cellLocator wifiScan audio osTimer fota lwm2m "
    "dataCall checkNet log queue sys_bus request umqtt ntptime app_fota ql_fs backup_restore checksum file_crc32 "
    "hashlib hmac"
)
FORBIDDEN = _words(
    "sys io json struct binascii collections random re errno select zlib uasyncio _uasyncio cmath example _boot "
    "app_fota_download app_fota_updater app_fota_mount bak_util system event_message aLiYun base64 TenCentYun "
    "unzip file_sha256 uheapq btree ubluetooth usr"
)
ALLOWED = CORE | VENDOR
FIRMWARE = ALLOWED | FORBIDDEN

# Not on every image (quecpython.md §0, §1.3, §1.7): each import needs a fall-back.
OPTIONAL = _words("uhashlib ucryptolib ussl uselect uzlib hashlib hmac SecureData lwm2m audio wifiScan")

NETWORK = _words(
    "net sim modem dial sms dataCall checkNet pm usocket ussl atcmd umqtt request ntptime lwm2m wifiScan "
    "cellLocator"
)
NETWORK_FILES = (
    "lib/link/", "lib/aep/lwm2m.py", "lib/aep/lwm2m_modem.py", "lib/aep/mqtt.py", "lib/aep/native_mqtt.py",
    "lib/aep/tcp.py",
)

# Sans-I/O rooms and files: what each may import besides its own room.
_PURE = ("ustruct", "ubinascii", "micropython", "ucollections")
PURE = {
    "lib/coap/": _PURE,
    "lib/m2m/": _PURE + ("coap",),
    "lib/mqtt/": _PURE,
    "lib/dtls/": _PURE,
    "lib/link/gprs_timer.py": _PURE,
}

NEVER_WAIVED = ("broad-in-codec",)
CODECS = ("lib/coap/", "lib/m2m/", "lib/mqtt/", "lib/dtls/")
CRYPTO = _words("uhashlib ucryptolib hashlib hmac")
CRYPTO_FILE = "lib/dtls/primitives.py"

STORE_FILES = ("lib/store/", "boot.py")
STORE_MODULES = frozenset(("ql_fs", "backup_restore", "SecureData"))
WRITING_CALLS = frozenset(("remove", "unlink", "rename", "mkdir", "rmdir", "mount", "umount", "VfsLfs1", "VfsLfs2"))

# A name of the firmware inside a room is looked up with the room's name (`aep.lwm2m`), so no built-in can win there;
# DESIGN §2 names this one.
NAMED_LIKE_FIRMWARE = ("lib/aep/lwm2m.py",)

KEPT = ("osTimer", "Timer", "socket", "ExtInt", "UART")  # constructors whose object must be kept
LONGEST_TIMEOUT_S = 5
