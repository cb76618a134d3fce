"""python-mbedtls as both ends of a DTLS session use it: the platform's server and the modem's own client."""

SUITES = ("TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CBC-SHA256")  # ctwing.md §2.7
NEVER_S = 86_400.0  # of its timers: longer than any wait for the peer's next flight in real time
DATAGRAM_LIMIT = 16_384  # bytes; the library's ring takes 32 K, a record 16 K
PLAINTEXT_LIMIT = 16_384
OVER = "HANDSHAKE_OVER"  # its state's name once the handshake has been
