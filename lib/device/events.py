"""What the journal can say (store/journal.py): one number per event, for ever. A code is never given a second meaning;
tens are subjects. `python -m tools logs` reads its words from this very file: there is no second list.

A comment is the sentence the host prints. `!` in front: something to look at. In braces is the event's value: {} as it
is, {.1} in tenths, {boot reason} and {error} by name, {1=…, 2=…} one of these, {+1=…, 2=…} a sum of these. No braces:
the value is 0.
"""

from micropython import const

BOOT = const(10)  # started: {boot reason}
LACKS = const(12)  # this module lacks {+1=PSM settings, 2=enhanced sleep, 4=eDRX, 8=cell data, 16=supply voltage}

ATTACHED = const(20)  # attached in {.1} s
REDIALED = const(21)  # ! dialled again, try {}
CFUN_CYCLED = const(22)  # ! radio switched off and on, try {}
RESTART = const(23)  # ! restarts for want of a link
NAME_KEPT = const(24)  # ! the server's name did not resolve: the address of last time is used
PATH_LOST = const(25)  # ! the address changed or the data call dropped while asleep
GUARDED = const(26)  # ! {} power-ons in a row came to nothing: waits before it tries again

RESUMED = const(30)  # session resumed by an Update
REGISTERED = const(31)  # session registered anew
DIRECT = const(32)  # session taken for granted: the report goes first
SHORT_CUT = const(33)  # ! a short cut failed: {1=report first, 2=Update, 3=longer lifetime, 4=DTLS session of before}
SECURED = const(34)  # DTLS session: {1=new, 2=new by resumption, 3=of before}
DEREGISTERED = const(35)  # deregistered
REBOOT_ASKED = const(36)  # the platform asked for a restart
UPDATE_ASKED = const(37)  # the platform asked for an Update
STRANGERS = const(38)  # ! datagrams from a stranger's address, ignored: {}

ACKNOWLEDGED = const(40)  # entries acknowledged by the platform: {}
HANDED_OVER = const(41)  # entries sent without an acknowledgement to wait for: {}
DROPPED = const(42)  # ! entries dropped because the outbox was full: {}
REFUSED = const(43)  # ! entries dropped because the thing model does not declare them so: {}

STORED = const(50)  # command of service {} stored
RUN = const(51)  # command of service {} run
REPEATED = const(52)  # command repeated by the platform, not run again

CHANGED = const(60)  # a setting changed, on trial
KEPT = const(61)  # the changed settings are kept
TAKEN_BACK = const(62)  # ! the changed settings are taken back: no uplink was acknowledged under them
CONFIG_REFUSED = const(63)  # ! config.json refused: the last good settings are used

RELEASED = const(70)  # radio connection released, tries: {}
UNRELEASED = const(71)  # ! the radio connection was not seen to be released
SLEEP = const(72)  # sleeps, {} s after power-on
PSM_REFUSED = const(73)  # ! PSM not granted
PSM_SHORTER = const(74)  # PSM granted shorter than asked for: {} s
PSM_LONGER = const(75)  # ! PSM granted longer than asked for: {} s
PSM_VETOED = const(76)  # ! PSM granted, but the module stayed awake: USB, a wakelock, a busy thread

FAULT = const(80)  # ! fault {error}
BACK_OFF = const(81)  # ! next try not before {} minutes
NO_FLASH = const(82)  # ! the flash refused to write: errno {}
DAMAGED = const(83)  # ! damaged on flash, cut off: {1=outbox, 2=settings, 3=session}

CLOCK_SET = const(90)  # the network set the clock
CLOCK_AHEAD = const(91)  # ! the clock jumped ahead by {} s
CLOCK_BACK = const(92)  # ! the clock jumped back by {} s
