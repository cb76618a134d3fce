"""This product's services, where it is not transparent (setting payload): what the platform's console lists for it.

The first ones are AEP's standard water meter; data_report has what app.py measures besides, and id and t, by which the
platform can tell a repeat and a report that had to wait. Compact binary has no field that may be missing: `empty` says
what is sent where an entry has no value. `python -m tools services` makes this file from the platform's list, and back.
"""

from aep.thing import COMMAND, ENUM, EVENT, FLOAT, INT32, REPORT, RESPONSE, TEXT, TIMESTAMP, WIRELESS, field, service

service(
    1, "data_report", REPORT,
    field("water_flow", FLOAT, unit="m3", low=0),
    field("battery_voltage", FLOAT, unit="V", low=0, high=20, empty=0),
    field("dropped", INT32, low=0, empty=0),
    field("id", INT32, low=0),
    field("t", TIMESTAMP, unit="ms"),
)  # fmt: skip
service(
    2, "signal_report", WIRELESS,
    field("rsrp", INT32, unit="dBm", low=-200, high=0),
    field("sinr", INT32, unit="dB", low=-100, high=100),
    field("pci", INT32, low=-1, empty=-1),
    field("ecl", INT32, low=-1, empty=-1),
    field("cell_id", INT32, low=-1, empty=-1),
)  # fmt: skip
service(
    3, "info_report", REPORT,
    field("manufacturer_name", TEXT),
    field("terminal_type", TEXT),
    field("module_type", TEXT),
    field("hardware_version", TEXT),
    field("software_version", TEXT),
    field("IMEI", TEXT),
    field("ICCID", TEXT),
)  # fmt: skip
service(
    1001, "error_code_report", EVENT,
    field("error_code", ENUM),
    field("error_time", TIMESTAMP, unit="ms", empty=0),
)  # fmt: skip
service(
    1002, "battery_voltage_low_alarm", EVENT,
    field("battery_state", ENUM, values={0: "good", 1: "low"}),
    field("battery_voltage", FLOAT, unit="V", low=0, high=20),
)  # fmt: skip
service(8001, "valve_onoff_cmd", COMMAND, field("valve_onoff", ENUM, values={0: "close", 1: "open"}))
service(
    9001, "valve_onoff_resp", RESPONSE,
    field("valve_onoff", ENUM, values={0: "closed", 1: "open"}),
    field("act_result", ENUM, values={0: "done", 1: "failed"}),
)  # fmt: skip
service(8004, "frozen_period_cmd", COMMAND, field("frozen_period", INT32, unit="h", low=1, high=24))
service(
    9004, "frozen_period_resp", RESPONSE,
    field("frozen_period", INT32, unit="h", low=0, high=24),
    field("act_result", ENUM, values={0: "done", 1: "failed"}),
)  # fmt: skip
service(8006, "valveoff_enable_cmd", COMMAND, field("valveoff_enable", ENUM, values={0: "no", 1: "yes"}))
service(
    9006, "valveoff_enable_resp", RESPONSE,
    field("valveoff_enable", ENUM, values={0: "no", 1: "yes"}),
    field("act_result", ENUM, values={0: "done", 1: "failed"}),
)  # fmt: skip
