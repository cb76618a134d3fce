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
    16: "The modem does not do what the text names: does this image have that AT command or client?",
    17: "The flash refuses to write: is it full, or worn out? (uos.statvfs('/usr'))",
    18: "Services of the thing model: is services.py on the module, and what does the text say is wrong in it?",
    21: (
        "The platform does not accept this device: is it created there, under the right product, with this "
        "IMEI and endpoint format (MQTT, TCP: device.id and device.token)? Delete and add it again; is the SIM "
        "restricted to certain addresses (guide FAQ, +QLWREG: -9)?"
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
    41: (
        "The platform takes no connection: address and port (MQTT 1883, MQTTS 8883, TCP 8996)? APN or SIM restricted "
        "to other addresses? More than 30 connects a minute from one address are a ban of two hours."
    ),
    42: "The platform or the network has ended the connection; the device connects again.",
    43: (
        "An earlier connection of this device still counts as logged in: the platform forgets it after 5 minutes "
        "without a heartbeat. Does another device have the same device.id?"
    ),
    44: (
        "The platform's certificate does not hold: is the CA in the file of mqtt.ca the one that signed it (AEP's ends "
        "on 2028-12-09), is server.host the name in it, is the clock right?"
    ),
    45: "TLS does not come about: is the port that of MQTTS (8883)? Can this image do it, is its clock set?",
    46: "What came is no message of this protocol: are port and protocol those of the product?",
    47: (
        "The connection stands, but what was sent is not acknowledged: is the topic right, does the payload fit the "
        "product's thing model? The device connects again and repeats it."
    ),
}
