"""Both engines show the application the same module, and nothing of the host."""

import asyncio

import pytest

from tests_host.module.bench import PEER, BareProfile, Bench
from tools.module.engine import HostError
from tools.module.vm.engine import heap_bytes

BOTH = pytest.mark.parametrize("engine", ["vm", "cpython"])


def printed(engine: str, main: str, **files: str) -> list[str]:
    bench = Bench(engine)
    bench.run(main, files={name.replace("__", "/") + ".py": text for name, text in files.items()})
    assert not bench.events.of("crash"), bench.events.of("crash")[0].text
    return bench.printed()


# -- what crosses the border ----------------------------------------------------------------------------------------


@BOTH
def test_values_cross_in_both_directions(engine):
    main = """
import probe
for value in (None, True, -5, 2.5, 'text', b'\\x00\\xff', (1, (2,)), [b'a', 'b'], {'k': [1]}):
    assert probe.same(value) == value and type(probe.same(value)) is type(value), value
print(probe.NAME, probe.PAIR[1] == b'\\x00\\xff', type(probe.PAIR) is tuple)
"""
    assert printed(engine, main) == ["probe True True"]


@BOTH
def test_what_the_firmware_writes_into_a_buffer_arrives_in_it(engine):
    main = """
import probe
buffer = bytearray(4)
probe.fill(buffer)
print(bytes(buffer))
probe.fill(memoryview(buffer)[2:])
print(bytes(buffer))
probe.fill(buffer, start=1)
print(bytes(buffer))
"""
    assert printed(engine, main) == ["b'ok\\x00\\x00'", "b'okok'", "b'ookk'"]


@BOTH
def test_errors_of_the_firmware_reach_the_application(engine):
    main = """
import probe
for what, error in (('os', OSError), ('value', ValueError), ('type', TypeError)):
    try:
        probe.refuse(what)
    except error as raised:
        print(what, raised.args[0])
try:
    probe.same(object())
except TypeError:
    print('not an object')
"""
    assert printed(engine, main) == ["os -2", "value range", "type int", "not an object"]


@BOTH
@pytest.mark.parametrize(("kind", "error"), [
    ("lookup", LookupError), ("file", FileNotFoundError), ("unicode", UnicodeDecodeError),
])
def test_a_defect_of_a_stand_in_ends_the_run(engine, kind, error):
    with pytest.raises(error):
        Bench(engine).run(f"import probe\ntry:\n    probe.defect('{kind}')\nexcept Exception:\n    pass\n")


@BOTH
def test_a_defect_in_a_timer_of_the_world_ends_the_run(engine):
    bench = Bench(engine)
    bench.loop.call_later(1, [].pop)
    with pytest.raises(IndexError):
        bench.run("import utime\nutime.sleep(5)\n")


# -- modules (quecpython.md §1.3) -----------------------------------------------------------------------------------


@BOTH
def test_what_the_family_lacks_is_absent(engine):
    main = """
import probe
print(hasattr(probe, 'absent_here'), hasattr(probe, 'same'))
for statement in ('from probe import absent_here', 'import lwm2m', 'from usr import nothing'):
    try:
        exec(statement)
        print('found', statement)
    except ImportError:
        print('ImportError')
"""
    assert printed(engine, main) == ["False True", "ImportError", "ImportError", "ImportError"]


@BOTH
def test_only_the_u_names_exist(engine):
    main = """
names = 'os time json socket struct sys binascii cryptolib select random re io errno collections ssl asyncio typing vfs'
for name in names.split() + ['u' + n for n in 'heapq asyncio random select ctypes platform'.split()]:
    try:
        __import__(name)
        print('leak', name)
    except ImportError:
        pass
for name in 'usys uos utime ujson ustruct ubinascii usocket uhashlib ucryptolib uio ucollections ure uerrno math gc ' \\
            'micropython _thread log'.split():
    __import__(name)
for name in ('reversed', 'frozenset'):
    try:
        eval(name + '(())')
        print('leak', name)
    except NameError:
        pass
"""
    assert printed(engine, main) == []


@BOTH
def test_mpremotes_alias_trick_works(engine):
    """quecpython.md §2.5."""
    assert printed(engine, "import uos, usys\nusys.modules['os'] = uos\nimport os\nprint(os is uos)\n") == ["True"]


@BOTH
def test_ostimer_is_a_class_as_a_module_and_power_is_static(engine):
    main = """
import osTimer
from misc import Power
timer = osTimer()
print(timer.start(5, 0, lambda nothing: print('fired', nothing)))
print(Power.powerOnReason(), Power.PSM)
import utime
utime.sleep_ms(10)
"""
    assert printed(engine, main) == ["0", "3 8", "fired None"]


@BOTH
def test_a_constructor_can_refuse_and_a_singleton_stays_one(engine):
    """quecpython.md §3.7: WDT() gives False if init fails; RTC is a singleton."""
    main = """
from machine import WDT, RTC
print(WDT(300), WDT(20).feed())
RTC().set_alarm(7)
print(RTC().get_alarm())
"""
    assert printed(engine, main) == ["False 1", "7"]


@BOTH
def test_log_writes_to_usys_stderr(engine):
    """quecpython.md §3.8."""
    bench = Bench(engine)
    bench.run("""
import log
log.basicConfig(level=log.WARNING)
logger = log.getLogger('link')
logger.info('not shown')
logger.error('%s is %d', 'answer', 42)
logger.setLevel(log.DEBUG)
logger.debug('100 %')
""")
    assert [event.text for event in bench.events.of("log")] == ["ERROR:link:answer is 42", "DEBUG:link:100 %"]


@BOTH
def test_locks_are_not_reentrant_and_refuse_release_when_free(engine):
    """quecpython.md §1.5."""
    main = """
import _thread
lock = _thread.allocate_lock()
with lock:
    print(lock.locked(), lock.acquire(0))
try:
    lock.release()
except RuntimeError:
    print('RuntimeError')
"""
    assert printed(engine, main) == ["True False", "RuntimeError"]


@BOTH
def test_a_held_lock_waits_for_the_callback_that_releases_it(engine):
    main = """
import _thread, osTimer, utime
lock = _thread.allocate_lock()
lock.acquire()
osTimer().start(2000, 0, lambda nothing: lock.release())
began = utime.ticks_ms()
lock.acquire()
print(utime.ticks_diff(utime.ticks_ms(), began))
"""
    assert printed(engine, main) == ["2000"]


# -- import (quecpython.md §1.2, §2.1) ------------------------------------------------------------------------------


@BOTH
def test_imports_start_at_the_root_and_directories_are_packages(engine):
    main = """
import usys
print(usys.path)
import usr.boot
print(usr.boot.name)
"""
    boot = """
import usys
name = __name__
usys.path.insert(0, '/usr/a')
from link import at
import link.cell
print(at.prefix, link.cell.number)
"""
    assert printed(engine, main, boot=boot, a__link__at="prefix = 'AT+'", a__link__cell="number = 7") == [
        "['']", "AT+ 7", "usr.boot",
    ]


@BOTH
def test_a_built_in_wins_over_a_file(engine):
    assert printed(engine, "import usys\nusys.path.insert(0, '/usr')\nimport ujson\nprint(ujson.dumps([1, 'a']))\n",
                   ujson="print('mine')") == ['[1, "a"]']


@BOTH
def test_a_module_that_raised_while_importing_is_there_the_second_time(engine):
    main = """
import usys
usys.path.insert(0, '/usr')
for attempt in (1, 2):
    try:
        from room import broken
        print('imported')
    except ValueError as error:
        print(error)
"""
    assert printed(engine, main, room__broken="raise ValueError('no')") == ["no", "imported"]


@BOTH
def test_a_missing_module_stays_missing(engine):
    main = """
for attempt in (1, 2):
    try:
        import nowhere
        print('imported')
    except ImportError:
        print('missing')
"""
    assert printed(engine, main) == ["missing", "missing"]


# -- the end of main.py, callbacks ----------------------------------------------------------------------------------


@BOTH
def test_an_uncaught_exception_is_recorded_and_the_module_lives_on(engine):
    bench = Bench(engine)
    end = bench.run("""
import osTimer
osTimer().start(60000, 0, lambda nothing: print('still here'))
def first():
    raise KeyError('k')
first()
""")
    crash = bench.events.of("crash")[0].text
    assert "in first" in crash and "KeyError" in crash and crash.count("File") == 2
    assert bench.printed()[0].startswith("Traceback") and bench.printed()[-1] == "still here"
    assert (end.how, end.detail) == ("exit", "main.py returned")


@BOTH
def test_a_main_that_returns_idles_until_the_power_goes(engine):
    bench = Bench(engine)
    bench.loop.call_later(3600, bench.module.power_cut)
    assert bench.run("x = 1\n").how == "cut"
    assert bench.loop.time() == 1_795_392_000 + 3600


@BOTH
def test_exceptions_in_callbacks_are_printed_and_swallowed(engine):
    """quecpython.md §1.5."""
    lines = printed(engine, """
import probe, utime
def late(argument):
    raise ValueError(argument)
probe.call_back(late, 'one')
probe.call_back(lambda pair: print(pair), (1, 'two'))
utime.sleep(1)
print('after')
""")
    assert "ValueError: one" in lines and lines[-2:] == ["(1, 'two')", "after"]


@BOTH
def test_usys_exit_in_a_callback_ends_the_callback_only(engine):
    """quecpython.md §1.5."""
    lines = printed(engine, """
import probe, usys, utime
probe.call_back(lambda nothing: usys.exit(), None)
utime.sleep(1)
print('after')
""")
    assert lines[-1] == "after"


def test_callbacks_beyond_the_schedulers_depth_are_lost():
    """quecpython.md §1.5: 64 in S21."""
    bench = Bench("cpython")
    bench.run("""
import probe, utime
heard = []
for number in range(70):
    probe.call_back(heard.append, number)
utime.sleep(1)
print(heard == list(range(64)))
""")
    assert bench.printed() == ["True"]
    assert len(bench.events.of("overflow")) == 6


@BOTH
def test_a_callback_may_call_the_firmware_but_no_other_interrupts_it(engine):
    assert printed(engine, """
import probe, utime
def slow(argument):
    print('begin', argument)
    utime.sleep_ms(100)
    print('end', argument)
probe.call_back(slow, 1)
probe.call_back(slow, 2)
utime.sleep(1)
""") == ["begin 1", "end 1", "begin 2", "end 2"]


@BOTH
@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "-Infinity", "{'a': 1}"])
def test_ujson_refuses_bad_input_with_value_error(engine, text):
    """quecpython.md §1.6."""
    assert printed(engine, f"""
import ujson
try:
    print(ujson.loads({text!r}))
except ValueError:
    print('ValueError')
""") == ["ValueError"]


# -- /usr and the host ----------------------------------------------------------------------------------------------


@BOTH
def test_nothing_but_usr_is_there(engine):
    main = """
import uos
print(uos.getcwd(), uos.listdir('/'))
for path in ('/etc/passwd', '/x', 'x'):
    try:
        open(path, 'w')
        print('leak', path)
    except OSError as error:
        print(error.args[0])
"""
    assert printed(engine, main) == ["/ ['usr']", "19", "19", "19"]


@BOTH
def test_files_behave_as_on_littlefs(engine):
    main = """
import uos
with open('/usr/f.txt', 'w') as file:
    print(file.write('one\\ntwo\\n'))
with open('/usr/f.txt', 'a') as file:
    file.write('three')
with open('/usr/f.txt') as file:
    print(file.readline() == 'one\\n', [line for line in file])
with open('/usr/f.txt', 'rb') as file:
    print(file.seek(4), file.read(3), file.tell(), file.read(99), file.read())
uos.mkdir('/usr/d')
uos.rename('/usr/f.txt', '/usr/d/g')
with open('/usr/old', 'wb') as file:
    file.write(b'old')
uos.rename('/usr/d/g', '/usr/old')
print(uos.listdir('/usr/d'), uos.stat('/usr/old')[6], uos.stat('/usr/d')[0] & 0x4000 != 0)
print([entry[:2] for entry in uos.ilistdir('/usr') if entry[0] == 'd'])
print(uos.statvfs('/usr')[:3], uos.statvfs('/usr')[9])
uos.chdir('/usr')
print(open('old').read(3), uos.getcwd())
for action in (lambda: open('/usr/none'), lambda: uos.remove('/usr/none'), lambda: uos.mkdir('/usr/d')):
    try:
        action()
    except OSError as error:
        print(error.args[0])
"""
    assert printed(engine, main) == [
        "8", "True ['two\\n', 'three']", "4 b'two' 7 b'\\nthree' b''", "[] 13 True", "[('d', 16384)]",
        "(4096, 4096, 64) 255", "one /usr", "2", "2", "17",
    ]


@BOTH
def test_flash_survives_and_memory_does_not(engine):
    bench = Bench(engine)
    bench.run("open('/usr/kept', 'w').close()\nimport usys\nusys.modules['mine'] = usys\n")
    bench.run("import uos, usys\nprint('kept' in uos.listdir('/usr'), 'mine' in usys.modules)\n")
    assert bench.printed() == ["True False"]


@BOTH
def test_nothing_is_written_after_the_power_went(engine):
    """Neither `with` nor `finally` has an effect after the cut: what was not closed is lost (quecpython.md §2.2)."""
    bench = Bench(engine)
    end = bench.run("""
from misc import Power
import uos
try:
    with open('/usr/half', 'w') as file:
        file.write('unsaved')
        Power.powerDown()
finally:
    open('/usr/late', 'w').close()
""")
    assert end.how == "down"
    assert not bench.module.flash.exists("late")
    assert not bench.module.flash.exists("half") or bench.module.flash.read("half") == b""


WRITER = """
import uos
n = 0
while n < 5:
    n += 1
    with open('/usr/new', 'w') as file:
        file.write(str(n) * 700)
    uos.rename('/usr/new', '/usr/record')
"""


@BOTH
def test_a_cut_at_any_program_leaves_the_old_record_or_the_new(engine):
    found = set()
    for program in range(1, 20):
        bench = Bench(engine)
        bench.module.cut_at_program = program
        end = bench.run(WRITER)
        assert end.how == "cut", f"no program {program}"
        content = bench.module.flash.read("record") if bench.module.flash.exists("record") else b""
        assert len(content) in (0, 700) and len(set(content)) <= 1
        found.add(content[:1])
    assert found >= {b"", b"1", b"2"}


def test_both_engines_reach_the_same_content_at_the_same_program():
    """The two littlefs versions program the flash alike, so a cut means the same in both."""
    for program in (1, 4, 7, 10):
        contents = []
        for engine in ("vm", "cpython"):
            bench = Bench(engine)
            bench.module.cut_at_program = program
            bench.run(WRITER)
            contents.append(bench.module.flash.list())
        assert contents[0] == contents[1]
    counts = []
    for engine in ("vm", "cpython"):
        bench = Bench(engine)
        bench.run(WRITER)
        counts.append(bench.module.programs)
    assert counts[0] == counts[1] >= 20


# -- the VM alone ---------------------------------------------------------------------------------------------------


def test_the_vms_heap_is_bounded():
    bench = Bench("vm", heap="64k")
    bench.run("try:\n    x = bytearray(45000)\n    print('fits')\n    y = bytearray(25000)\nexcept MemoryError:\n"
              "    print('MemoryError')\n")
    assert bench.printed() == ["fits", "MemoryError"]
    assert heap_bytes("64k") == 65536 and heap_bytes("1m") == 1 << 20 and heap_bytes("700") == 700


def test_heap_peak_is_what_the_application_holds():
    bench = Bench("vm", measure_heap=True)
    bench.run("import utime\nx = bytearray(20000)\nutime.ticks_ms()\nx = None\nutime.ticks_ms()\n")
    empty = bench.module.empty_heap()
    assert empty is not None and 20_000 < bench.module.heap_peak - empty < 24_000


def test_a_full_heap_is_a_crash_like_any_other():
    bench = Bench("vm", heap="64k")
    end = bench.run("x = []\nwhile True:\n    x = [x, x]\n")
    assert "MemoryError" in bench.events.of("crash")[0].text and end.detail == "main.py returned"


def test_a_vm_that_dies_ends_the_power_on_with_its_last_words():
    end = Bench("vm", heap="1k").run()
    assert end.how == "exit" and "MemoryError" in end.detail


def test_an_application_that_never_calls_is_noticed(monkeypatch):
    monkeypatch.setattr("tools.module.vm.engine.SILENCE_LIMIT", 0.3)
    with pytest.raises(HostError, match="without a call"):
        Bench("vm").run("while True:\n    pass\n")


# -- both engines together ------------------------------------------------------------------------------------------


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(b"re:" + data, addr)


CHATTER = """
import osTimer, usocket, utime, uos
def tick(nothing):
    print('tick', utime.ticks_ms())
timer = osTimer()
timer.start(300, 0, tick)
s = usocket.socket(usocket.AF_INET, usocket.SOCK_DGRAM)
s.connect(('lwm2m.ctwing.cn', 5683))
s.settimeout(0.5)
for i in range(40):
    s.send(uos.urandom(4))
    try:
        print(len(s.recv(100)), utime.ticks_us())
    except OSError as error:
        print(error.args[0], utime.ticks_us())
"""


def chat(engine: str) -> tuple:
    bench = Bench(engine, loss=0.2, profile=BareProfile(boot_ms=700))

    async def play():
        transport, _ = await bench.loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
        bench.network.serve(*PEER, transport.get_extra_info("sockname"), ["lwm2m.ctwing.cn"])
        bench.module.flash.write("main.py", CHATTER.encode())
        end = await bench.module.power_on(3)
        transport.close()
        await bench.network.close()
        return end.how

    how = bench.loop.run_until_complete(play())
    told = [(event.t, event.kind, event.text) for event in bench.events.log]
    return how, told, bench.network.trace_sha256(), bench.network.since()


def test_the_same_seed_gives_the_same_events_and_trace_in_both_engines():
    first, second = chat("vm"), chat("cpython")
    assert first == second
    assert any(text.startswith("110") for _, _, text in first[1]) and first[3]["datagrams_up"] == 40
