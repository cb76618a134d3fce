"""AEP's service list, as its API gives it: `GET /aep_device_model/dm/app/model/services` (QueryServiceList, version
20190712224233, of China Telecom's API documents).

    {"code": 0, "msg": "ok", "result": {"pageNum": 1, "pageSize": 20, "total": 1, "list": [
      {"serviceId": 1, "serviceFlag": "data_report", "serviceName": "...", "serviceType": 1, "description": "",
       "properties": [{"propertyFlag": "water_flow", "propertyName": "...", "dataType": "float", "len": 4,
                       "unit": "m3", "min": "0", "max": "99999", "description": ""}],
       "parameters": [{"parameterFlag": ..., the same}]}]}}

A list alone, or {"services": [...]}, is read as well. Three keys are ours, and the platform has nothing like them:
`wireless` (the kind whose frame begins with 03), and of a field `empty` and `least` (bytes of a text).
"""

import json
from pathlib import Path
from typing import Any

from tools.things.model import (
    BOOL,
    COMMAND,
    DOUBLE,
    ENUM,
    EVENT,
    FLOAT,
    INT32,
    REPORT,
    RESPONSE,
    TEXT,
    TIMESTAMP,
    WHOLE,
    WIRELESS,
    Field,
    ModelError,
    Service,
    check,
)

STANDARD = Path(__file__).with_name("water_meter.json")
"""AEP's standard water meter (ctwing.md §2.6), as a list of the platform."""

KINDS = {1: REPORT, 2: EVENT, 6: COMMAND, 7: RESPONSE}
OTHER_KINDS = {3: "数据获取", 4: "参数查询", 5: "参数配置"}
"""Service types that no device of ours speaks."""

# The documents show integer, float, enum, bool and fix-string; the others are named as its console names the types.
TYPES = {
    "integer": INT32, "float": FLOAT, "double": DOUBLE, "enum": ENUM, "bool": BOOL, "fix-string": TEXT, "string": TEXT,
    "timestamp": TIMESTAMP,
    "int": INT32, "int32": INT32, "var-string": TEXT, "text": TEXT, "date": TIMESTAMP, "long": TIMESTAMP,
}  # fmt: skip
LENGTHS = {INT32: 4, FLOAT: 4, DOUBLE: 8, ENUM: 1, BOOL: 1, TIMESTAMP: 8}


def read(source: str) -> tuple[list[Service], list[str]]:
    """The services of a list, and what of it could not be taken over. Raises ModelError."""
    try:
        body = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"not JSON: {error}") from None
    warnings: list[str] = []
    found = [_service(row, warnings) for row in _rows(body, warnings)]
    services = [service for service in found if service is not None]
    if not services:
        raise ModelError("no service that a device could have is in it")
    check(services)
    return services, warnings


def _rows(body: Any, warnings: list[str]) -> list[Any]:
    if isinstance(body, dict) and body.get("code", 0) != 0:
        raise ModelError(f"the platform's answer is an error: {body['code']} {body.get('msg', '')}".strip())
    rows = body
    if isinstance(rows, dict):
        rows = rows.get("result", rows.get("services"))
    if isinstance(rows, dict):
        total, rows = rows.get("total"), rows.get("list")
        if isinstance(rows, list) and isinstance(total, int) and total > len(rows):
            warnings.append(f"{len(rows)} of {total} services are in it: ask for a greater pageSize")
    if not isinstance(rows, list):
        raise ModelError("no list of services: {\"result\": {\"list\": [...]}} of QueryServiceList is wanted")
    return rows


def _service(row: Any, warnings: list[str]) -> Service | None:
    if not isinstance(row, dict) or not isinstance(row.get("serviceFlag"), str):
        raise ModelError(f"a service without serviceFlag: {json.dumps(row, ensure_ascii=False)[:80]}")
    who = f"service {row.get('serviceId')} {row['serviceFlag']}"
    kind = row.get("serviceType")
    if not isinstance(kind, int) or kind not in {**KINDS, **OTHER_KINDS}:
        raise ModelError(f"{who}: serviceType {kind!r} is none of {', '.join(map(str, KINDS))}")
    if kind in OTHER_KINDS:
        warnings.append(f"{who}: left out, type {kind} ({OTHER_KINDS[kind]}) is none that a device of ours speaks")
        return None
    lists = [("property", row.get("properties") or []), ("parameter", row.get("parameters") or [])]
    if any(not isinstance(rows, list) for _, rows in lists):
        raise ModelError(f"{who}: properties and parameters are lists")
    if all(rows for _, rows in lists):
        warnings.append(f"{who}: the list does not say how properties and parameters are mixed; properties come first "
                        "here, compare with the console")
    fields = [_field(who, name, one) for name, rows in lists for one in rows]
    wireless = KINDS[kind] == REPORT and row.get("wireless") is True
    title = row.get("serviceName")
    return Service(row.get("serviceId", 0), row["serviceFlag"], WIRELESS if wireless else KINDS[kind], fields,
                   title if isinstance(title, str) and title != row["serviceFlag"] else "")


def _field(who: str, name: str, row: Any) -> Field:
    flag = row.get(f"{name}Flag") if isinstance(row, dict) else None
    if not isinstance(flag, str):
        raise ModelError(f"{who}: a {name} without {name}Flag")
    who = f"{who}: {flag}"
    kind = row.get("dataType")
    if not isinstance(kind, str) or kind not in TYPES:
        raise ModelError(f"{who}: dataType {kind!r} is none of {', '.join(TYPES)}")
    type_ = TYPES[kind]
    fixed = kind == "fix-string"
    size = row.get("len")
    if fixed and not isinstance(size, int):
        raise ModelError(f"{who}: a fix-string has a len")
    if type_ == TEXT:
        low, high = row.get("least"), None if fixed else size
    else:
        low, high = _bound(who, row, "min", type_), _bound(who, row, "max", type_)
    unit = row.get("unit")
    return Field(flag, type_, unit if isinstance(unit, str) and unit != "null" else "", low, high, row.get("empty"),
                 size if fixed else 0, _values(who, row) if type_ == ENUM else None)


def _bound(who: str, row: dict[str, Any], name: str, type_: str) -> float | None:
    value = row.get(name)
    if value in (None, "") or type_ == BOOL:
        return None
    try:
        number = float(value)
        return int(value) if type_ in WHOLE or number.is_integer() and "e" not in str(value).lower() else number
    except (TypeError, ValueError, OverflowError):
        raise ModelError(f"{who}: {name} {value!r} is not a number of its type") from None


def _values(who: str, row: dict[str, Any]) -> dict[int, str] | None:
    found = row.get("enumDetail")
    if not found:
        return None
    try:
        return {int(key): str(text) for key, text in found.items()}
    except (AttributeError, ValueError):
        raise ModelError(f"{who}: enumDetail is {{\"number\": \"name\"}}") from None


def rows(services: list[Service]) -> list[dict[str, Any]]:
    """The services as rows of the list. Raises ModelError."""
    check(services)
    kinds = {kind: number for number, kind in KINDS.items()} | {WIRELESS: 1}
    out = []
    for service in services:
        name = "property" if kinds[service.kind] == 1 else "parameter"
        fields = [_row(name, one) for one in service.fields]
        out.append({
            "serviceId": service.id, "serviceFlag": service.identifier,
            "serviceName": service.title or service.identifier, "serviceType": kinds[service.kind],
            **({"eventType": 1} if service.kind == EVENT else {}),
            **({"wireless": True} if service.kind == WIRELESS else {}),
            "description": "",
            "properties": fields if name == "property" else [], "parameters": fields if name == "parameter" else [],
        })  # fmt: skip
    return out


def _row(name: str, one: Field) -> dict[str, Any]:
    kinds = {type_: text for text, type_ in reversed(TYPES.items())}
    row: dict[str, Any] = {f"{name}Flag": one.name, f"{name}Name": one.name, "dataType": kinds[one.type]}
    if one.type == TEXT:
        row["dataType"] = "fix-string" if one.size else "string"
        if one.size or one.high is not None:
            row["len"] = one.size or one.high
        if one.low is not None:
            row["least"] = one.low
    else:
        row["len"] = LENGTHS[one.type]
        row.update({key: value for key, value in (("min", one.low), ("max", one.high)) if value is not None})
    if one.unit:
        row["unit"] = one.unit
    if one.values is not None:
        row["enumDetail"] = {str(number): text for number, text in one.values.items()}
    if one.empty is not None:
        row["empty"] = one.empty
    return {**row, "description": ""}


def write(services: list[Service]) -> str:
    """The list as QueryServiceList gives it."""
    found = rows(services)
    page = {"pageNum": 1, "pageSize": len(found), "total": len(found), "list": found}
    return json.dumps({"code": 0, "msg": "ok", "result": page}, indent=1, ensure_ascii=False) + "\n"
