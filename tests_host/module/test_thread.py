"""`_thread` in both engines (quecpython.md §1.5): threads wait side by side, and never compute at the same time."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tests_host.module.bench import Bench
from tests_host.module.modem_rig import Rig
from tools.module.modem.meter import Meter

BOTH = pytest.mark.parametrize("engine", ["vm", "cpython"])


def printed(engine: str, main: str, **options) -> list[str]:
    bench = Bench(engine, **options)
    bench.run("import _thread, utime\n" + textwrap.dedent(main))
    assert not bench.events.of("crash"), bench.events.of("crash")[0].text
    return bench.printed()


@BOTH
def test_a_thread_has_a_number_and_runs_when_the_others_wait(engine):
    assert printed(engine, """
        def work(first, second=0):
            print(first, second, _thread.get_ident())
        print(_thread.get_ident(), _thread.start_new_thread(work, (1,), {'second': 2}), _thread.threadIsRunning(2))
        utime.sleep_ms(1)
        print(_thread.threadIsRunning(1), _thread.threadIsRunning(2), _thread.threadIsRunning(9))
    """) == ["1 2 True", "1 2 2", "True False False"]


@BOTH
def test_threads_wait_at_the_same_time(engine):
    assert printed(engine, """
        began = utime.ticks_ms()
        def nap(seconds):
            utime.sleep(seconds)
            print(seconds, utime.ticks_diff(utime.ticks_ms(), began))
        for seconds in (3, 1, 2):
            _thread.start_new_thread(nap, (seconds,))
        nap(4)
    """) == ["1 1000", "2 2000", "3 3000", "4 4000"]


@BOTH
def test_a_lock_that_another_thread_holds_is_waited_for(engine):
    assert printed(engine, """
        lock = _thread.allocate_lock()
        began = utime.ticks_ms()
        def work(name):
            with lock:
                print(name, utime.ticks_diff(utime.ticks_ms(), began))
                utime.sleep(1)
        for name in 'abc':
            _thread.start_new_thread(work, (name,))
        utime.sleep_ms(1)
        print(lock.acquire(0))
        lock.acquire()
        print(utime.ticks_diff(utime.ticks_ms(), began))
    """) == ["a 0", "False", "b 1000", "c 2000", "3000"]


@BOTH
def test_an_uncaught_exception_ends_only_its_thread_and_is_printed(engine):
    lines = printed(engine, """
        def work():
            {}[1]
        _thread.start_new_thread(work, ())
        _thread.start_new_thread(_thread.exit, ())
        utime.sleep(1)
        print('alive')
    """)
    assert lines[0] == "Unhandled exception in thread started by <function>"
    assert lines[-2:] == ["KeyError: 1", "alive"] and len(lines) == 5


@BOTH
def test_a_stopped_thread_is_gone_at_once_and_its_lock_stays_locked(engine):
    assert printed(engine, """
        lock = _thread.allocate_lock()
        def hold():
            try:
                with lock:
                    utime.sleep(1)
            finally:
                print('unwound')
        ident = _thread.start_new_thread(hold, ())
        utime.sleep_ms(500)
        _thread.stop_thread(ident)
        print(_thread.threadIsRunning(ident), lock.locked())
        utime.sleep(5)
        print(lock.acquire(0))
        lock.release()
        print(lock.acquire(0))
    """) == ["False True", "False", "True"]


@BOTH
def test_a_thread_whose_wait_has_just_ended_can_still_be_stopped(engine):
    assert printed(engine, """
        def nap():
            utime.sleep(1)
            print('went on')
        def stop():
            utime.sleep(1)
            _thread.stop_thread(ident + 1)
        ident = _thread.start_new_thread(stop, ())
        _thread.start_new_thread(nap, ())
        utime.sleep(3)
        print('end')
    """) == ["end"]


@BOTH
def test_stop_thread_takes_0_for_the_caller_and_refuses_main_and_the_unknown(engine):
    assert printed(engine, """
        def leave():
            _thread.stop_thread(0)
            print('went on')
        ident = _thread.start_new_thread(leave, ())
        utime.sleep(1)
        for bad in (0, 1, ident, 77):
            try:
                _thread.stop_thread(bad)
                print('stopped', bad)
            except ValueError:
                pass
    """) == []


@BOTH
def test_there_are_sixteen_threads_at_most(engine):
    assert printed(engine, """
        def fill():
            started = 0
            try:
                while True:
                    _thread.start_new_thread(utime.sleep, (5,))
                    started += 1
            except OSError as error:
                return started, error.args[0]
        print(fill())
        utime.sleep(6)
        print(fill())
    """) == ["(15, 12)", "(15, 12)"]


@BOTH
def test_a_deleted_lock_is_never_had_again(engine):
    assert printed(engine, """
        lock = _thread.allocate_lock()
        lock.acquire()
        _thread.delete_lock(lock)
        try:
            lock.release()
        except RuntimeError:
            print('RuntimeError', lock.acquire(0))
    """) == ["RuntimeError False"]


@BOTH
def test_stack_size_says_0_or_minus_1_when_it_is_set(engine):
    assert printed(engine, """
        print(_thread.stack_size(), _thread.stack_size(100), _thread.stack_size(16384), _thread.stack_size())
    """) == ["8448 -1 0 16384"]


@BOTH
def test_arguments_come_as_a_tuple(engine):
    assert printed(engine, """
        try:
            _thread.start_new_thread(print, [1])
        except TypeError:
            print('TypeError')
    """) == ["TypeError"]


# -- callbacks and what waiters wait for ----------------------------------------------------------------------------


@BOTH
def test_each_callback_is_delivered_once_while_several_threads_wait(engine):
    assert printed(engine, """
        import osTimer
        timers = [osTimer() for _ in range(3)]
        for timer in timers:
            timer.start(1000, 0, lambda nothing: print('fired'))
        for _ in range(3):
            _thread.start_new_thread(utime.sleep, (3,))
        utime.sleep(5)
    """) == ["fired"] * 3


@BOTH
def test_callbacks_run_one_after_the_other_whichever_thread_runs_them(engine):
    assert printed(engine, """
        import osTimer
        def slow(nothing):
            print('in')
            utime.sleep(1)
            print('out')
        timers = [osTimer(), osTimer()]
        for timer in timers:
            timer.start(1000, 0, slow)
        _thread.start_new_thread(utime.sleep, (3,))
        utime.sleep(5)
    """) == ["in", "out", "in", "out"]


@BOTH
def test_a_thread_stopped_inside_a_callback_leaves_the_next_to_others(engine):
    assert printed(engine, """
        import osTimer
        def stuck(nothing):
            print(_thread.get_ident())
            utime.sleep(100)
            print('never')
        ident = _thread.start_new_thread(utime.sleep, (1000,))
        utime.sleep_ms(1)
        timers = [osTimer(), osTimer()]
        timers[0].start(100, 0, stuck)
        timers[1].start(120, 0, lambda nothing: print('delivered by', _thread.get_ident()))
        utime.sleep_ms(150)
        _thread.stop_thread(ident)
        utime.sleep(200)
    """) == ["2", "delivered by 1"]


@BOTH
def test_two_threads_that_wait_for_one_socket_and_a_timer_miss_nothing(engine):
    """One waiter's taking note of a change must not hide it from the others."""
    assert printed(engine, """
        import usocket
        def read(s):
            s.settimeout(5)
            try:
                s.recv(10)
            except OSError as error:
                print(error.args[0])
        sockets = [usocket.socket(usocket.AF_INET, usocket.SOCK_DGRAM) for _ in range(4)]
        for s in sockets:
            s.connect(('192.0.2.1', 7))
            _thread.start_new_thread(read, (s,))
        utime.sleep(1)
        began = utime.ticks_ms()
        for s in sockets:
            s.close()
        utime.sleep_ms(1)
        print(utime.ticks_diff(utime.ticks_ms(), began))
    """) == ["9", "9", "9", "9", "1"]


@BOTH
def test_a_thread_that_calls_and_never_waits_does_not_stop_the_others(engine):
    assert printed(engine, """
        def spin():
            while True:
                utime.ticks_ms()
        _thread.start_new_thread(spin, ())
        utime.sleep(1)
        print('went on')
        from misc import Power
        Power.powerDown()
    """) == ["went on"]


# -- the end of the power-on ----------------------------------------------------------------------------------------


@BOTH
def test_a_thread_can_switch_the_power_off(engine):
    bench = Bench(engine)
    end = bench.run("""
import _thread, utime
from misc import Power
def off():
    utime.sleep(1)
    Power.powerDown()
_thread.start_new_thread(off, ())
try:
    utime.sleep(100)
finally:
    open('/usr/late', 'w').close()
""")
    assert end.how == "down" and not bench.module.flash.exists("late")


@BOTH
def test_threads_die_with_the_power_and_nothing_of_them_has_an_effect(engine):
    bench = Bench(engine)
    end = bench.run("""
import _thread, utime
def write():
    try:
        utime.sleep(100)
    finally:
        open('/usr/late', 'w').close()
        print('late')
def loop():
    while True:
        try:
            utime.sleep(100)
        except Exception:
            pass
from misc import Power
stopped = _thread.start_new_thread(write, ())
_thread.start_new_thread(write, ())
_thread.start_new_thread(loop, ())
utime.sleep(1)
_thread.stop_thread(stopped)
Power.powerDown()
""")
    assert end.how == "down" and not bench.module.flash.exists("late") and bench.printed() == []
    assert bench.run("print('boots')\n").how == "exit" and bench.printed() == ["boots"]


@BOTH
def test_a_defect_of_a_stand_in_called_by_a_thread_ends_the_run(engine):
    main = "import _thread, utime, probe\n_thread.start_new_thread(probe.defect, ('lookup',))\nutime.sleep(9)\n"
    with pytest.raises(LookupError):
        Bench(engine).run(main)


@BOTH
def test_threads_outlive_main_py(engine):
    assert printed(engine, """
        def later():
            utime.sleep(10)
            print('later')
        _thread.start_new_thread(later, ())
    """) == ["later"]


def test_waiting_in_two_threads_draws_the_charge_of_waiting_once():
    charge = []
    for naps in (1, 2):
        rig = Rig().until_ready().until_idle()
        meter: Meter = rig.board.meter
        before = meter.report()["charge_mc"]

        async def play(rig=rig, naps=naps):
            await asyncio.gather(*[rig.board.wait(100) for _ in range(naps)])

        rig.loop.run_until_complete(play())
        charge.append(meter.report()["charge_mc"] - before)
    assert charge[0] == charge[1] > 0


# -- the VM ---------------------------------------------------------------------------------------------------------

STRESS = """
import gc
lock = _thread.allocate_lock()
kept = []
def work(name):
    own = [bytes([name]) * 50 for _ in range(20)]
    for i in range(20):
        utime.sleep_ms(7 * name)
        junk = [bytes(200) for _ in range(20)]
        gc.collect()
        with lock:
            kept.append((name, i))
            utime.sleep_ms(1)
        assert own == [bytes([name]) * 50 for _ in range(20)]
for name in range(1, 9):
    _thread.start_new_thread(work, (name,))
for _ in range(200):
    utime.sleep_ms(10)
    gc.collect()
print(len(kept), utime.ticks_ms(), kept[-3:])
"""


def test_the_garbage_collector_finds_what_waiting_threads_hold():
    lines = [printed(engine, STRESS, **options) for engine, options in (
        ("vm", {}), ("vm", {"measure_heap": True}), ("cpython", {}),
    )]
    assert lines[0] == lines[1] == lines[2] and lines[0][0].startswith("160 ")


def test_heap_with_many_threads_is_nearly_the_same_in_every_run():
    """Not to the byte: what lies on a C stack and looks like a pointer differs a little from run to run."""
    peaks = []
    for _ in range(2):
        bench = Bench("vm", measure_heap=True)
        bench.run("import _thread, utime\n" + STRESS)
        peaks.append(bench.module.heap_peak)
    assert 0 < max(peaks) <= min(peaks) * 1.05


def test_a_thousand_threads_one_after_the_other_leave_nothing():
    bench = Bench("vm", measure_heap=True)
    bench.run("""
import _thread, utime, gc
def work():
    utime.sleep_ms(1)
def some(count):
    for _ in range(count):
        _thread.start_new_thread(work, ())
        utime.sleep_ms(2)
    gc.collect()
    return gc.mem_alloc()
some(20)
before = some(10)
print(some(1000) - before)
""")
    assert int(bench.printed()[0]) <= 64


def test_a_vm_whose_host_is_gone_ends_also_when_a_thread_reads_the_link(tmp_path):
    code = """
import os, sys
from tests_host.module.bench import Bench
from tools.module.vm.engine import Vm
told = Vm.tell
def tell(self, thread, kind, value, extra=None):
    if thread == 2:
        print(self._process.pid, flush=True)
        sys.stdin.read()
    told(self, thread, kind, value, extra)
Vm.tell = tell
Bench("vm").run("import _thread, utime\\n_thread.start_new_thread(utime.sleep, (5,))\\nutime.sleep(9)\\n")
"""
    host = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert host.stdout is not None
    pid = int(host.stdout.readline())
    host.send_signal(signal.SIGKILL)
    host.wait()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the VM is still there")
