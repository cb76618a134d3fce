"""What to check, for each code of the fault family (link/fault.py, aep/session.py). Loaded only to be said."""

HINTS = {
    1: "Unexpected; the text says what was seen.",
    11: "No usable SIM: seated? contacts? locked by a PIN? (AT+CPIN?)",
    12: "No registration: antenna, coverage, data subscription, IMEI-bound SIM? (AT+CEREG?, AT+QENG)",
    13: "Registered but no data call: APN, data volume used up, SIM restrictions? (AT+CGPADDR)",
    14: (
        "The server's name does not resolve: right name? DNS server? (AT+QIDNSCFG) address of the APN's IP "
        "version?"
    ),
    15: "The socket died: the address changed or the data call dropped.",
    16: "An AT command found no answer; the text names it.",
    17: "The flash refuses to write: is it full, or worn out? (uos.statvfs('/usr'))",
    18: "Services of the thing model: is services.py on the module, and what does the text say is wrong in it?",
    21: (
        "The platform does not accept this device: is it created there, under the right product, with this "
        "IMEI and endpoint format? Delete and add it again; is the SIM restricted to certain addresses "
        "(guide FAQ, +QLWREG: -9)?"
    ),
    22: "The platform refuses a parameter: lifetime within 300-86400 s? endpoint format as the product's?",
    23: "The platform refuses the LwM2M version: is the product's protocol LwM2M?",
    24: "The platform answered with an error code that this device does not expect; see the text.",
    25: (
        "No answer from the platform: address and port? plain port for a plain product? APN or SIM "
        "restricted to other addresses?"
    ),
    26: (
        "The platform has ended the session (lifetime over, device created anew); the device registers "
        "again."
    ),
    27: "The platform did not subscribe: is automatic subscription switched on for this device?",
    28: "Datagrams without end: a platform that loops, or an attack; is the SIM in a private network (APN)?",
    31: (
        "No DTLS server answers: address and port (5684)? Is the product's encryption DTLS, not plain? APN or SIM "
        "restricted to other addresses?"
    ),
    32: (
        "Key or identity refused: is `psk` the text that the platform shows (hex goes into psk_hex)? l or I, O or 0? "
        "psk_id the IMEI? A product with encryption DTLS?"
    ),
    33: "The server refuses the handshake: does the product use DTLS with PSK? Does dtls.suites offer its suite?",
    34: (
        "DTLS is up, but the platform is silent: has the carrier's NAT moved us, or does the platform not take this "
        "device? The device begins a new session."
    ),
    35: "The server has ended the DTLS session; the device begins a new one.",
}
