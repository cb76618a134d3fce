# Runs inputs of fuzzing.py in a MicroPython VM: `micropython fuzz_in_vm.py LIB ROOT SEED INPUTS`. Prints the
# digest, and the most bytes of heap that one datagram left in use and that it used on the way.
import gc
import sys

sys.path[:] = [sys.argv[1], sys.argv[2]]
from tests_host.dtls import fuzzing  # noqa: E402

SAMPLE = 50  # every so many inputs are measured


class Measured(fuzzing.Fuzz):
    left = used = 0

    def received(self, watched, datagram, now):
        if self.at % SAMPLE:
            return watched.receive(datagram, now)
        gc.collect()
        before = gc.mem_alloc()
        gc.disable()
        watched.receive(datagram, now)
        self.used = max(self.used, gc.mem_alloc() - before)
        gc.enable()
        gc.collect()
        self.left = max(self.left, gc.mem_alloc() - before)
        return None


fuzz = Measured(int(sys.argv[3]))
fuzz.run(0, int(sys.argv[4]))
print(fuzz.digest(), fuzz.left, fuzz.used)
