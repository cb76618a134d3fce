"""Writes recorded.py: sessions of ours with OpenSSL's s_server, datagram by datagram, for tests without a network.
Run by `python -m tests_host.dtls.record_openssl` from the root, once: another run has other keys."""

import sys
from pathlib import Path

from tests_host.interpreters import aliases

aliases.install()
sys.path.insert(0, "lib")

HEAD = '''"""What passed between our client and OpenSSL's s_server, by record_openssl.py: (way, datagram), ours ">".

Both sides have the identity 868543060974334 and the key TYvoiTk34D3NZ6GN; the client's random is `RANDOM`. Each session
has a cookie, "ping\\\\n" and its echo, and close_notify from both sides. `AGAIN` resumes `CCM`.
"""

'''


def main() -> None:
    from dtls import client as c
    from tests_host.dtls.driven import CIPHERS, EVERYWHERE, session
    from tests_host.dtls.servers import openssl

    steps = [("send", b"ping\n"), ("hear", 1), ("close", 0)]
    sessions = {}
    for name, suite in (("CCM", c.CCM_8), ("CBC", c.CBC)):
        with openssl(CIPHERS[suite]) as server:
            sessions[name] = session(EVERYWHERE[0], server.port, steps, suites=[suite])
            if name == "CCM":
                sessions["AGAIN"] = session(EVERYWHERE[0], server.port, steps, resume=sessions[name].session)
    text = HEAD + f'RANDOM = "{sessions["CCM"].log[0][1][27:59].hex()}"\n'
    for name, told in sessions.items():
        text += f"\n{name} = (\n"
        for way, data in told.log:
            parts = [data.hex()[at : at + 96] for at in range(0, 2 * len(data), 96)]
            text += f'    ("{way}", ' + "\n          ".join(f'"{part}"' for part in parts) + "),\n"
        text += ")  # fmt: skip\n"
    Path(__file__).with_name("recorded.py").write_text(text)


if __name__ == "__main__":
    main()
