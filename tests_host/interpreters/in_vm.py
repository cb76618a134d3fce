# Runs tests inside a MicroPython VM, new or old; written for 1.10. Reports one line per event: "@@" and a JSON list.
# With arguments it imports from files: lib, project, folder of the test, module, names of tests. Without (the old VM
# sees no files) the host sends calls of register() and run_tests().
import sys

import ujson
from uio import StringIO

try:
    import usys  # noqa: F401
except ImportError:  # called sys up to 1.13 (quecpython.md §1.3)
    sys.modules["usys"] = sys


def report(*row):
    print("@@" + ujson.dumps(row))


def failed(name, error):
    # 1.10 ignores the second argument and prints; the host then takes the lines printed since the start.
    text = StringIO()
    sys.print_exception(error, text)
    report("fail", name, text.getvalue())


def run_tests(find, names):
    for name in names:
        report("start", name)
        try:
            find(name)()
        except BaseException as error:
            failed(name, error)
        else:
            report("pass", name)


class SourceModule:
    # Stands in sys.modules for a module made from text: this VM cannot make module objects.
    def __init__(self, namespace):
        self._namespace = namespace
        self._code = None  # run at the first look, so that a test can put its fakes in place before

    def _load(self):
        code, self._code = self._code, None
        if code is not None:
            exec(code, self._namespace)

    def __getattr__(self, name):
        self._load()
        try:
            return self._namespace[name]
        except KeyError:
            raise AttributeError(name)


def register(name, path, source):
    namespace = {"__name__": name, "__file__": path}
    module = sys.modules[name] = SourceModule(namespace)
    room = name.rfind(".")
    if room > 0:
        setattr(sys.modules[name[:room]], name[room + 1 :], module)
    module._code = compile(source, path, "exec")
    return module


if len(sys.argv) > 4:
    sys.path[:] = [sys.argv[1], sys.argv[3], sys.argv[2]]
    try:
        tests = __import__(sys.argv[4])
    except BaseException as error:
        failed("*", error)
    else:
        run_tests(lambda name: getattr(tests, name), sys.argv[5:])
