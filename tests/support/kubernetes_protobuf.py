"""The two objects that kubectl sends in Kubernetes' protobuf: `create namespace` and `create secret` do."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

MAGIC = b"k8s\0"
Fields = dict[int, list[bytes]]


def decoded(body: bytes) -> dict[str, Any]:
    """The same object as JSON would have it. Raises ValueError for another kind, or a field that is not read here."""
    if not body.startswith(MAGIC):
        raise ValueError("this is no protobuf of Kubernetes")
    envelope = _fields(body[len(MAGIC) :])
    of_type = _fields(envelope[1][0])
    found: dict[str, Any] = {"apiVersion": of_type[1][0].decode(), "kind": of_type[2][0].decode()}
    message = _fields(envelope[2][0])
    found["metadata"] = _metadata(_fields(message.pop(1)[0]))
    if found["kind"] == "Namespace":
        return found
    if found["kind"] != "Secret":
        raise ValueError(f"a {found['kind']} in protobuf is not read here")
    found["data"] = dict(_entry(each) for each in message.pop(2, ()))
    found["type"] = message.pop(3, [b""])[0].decode() or "Opaque"
    if message:
        raise ValueError(f"fields {sorted(message)} of a Secret are not read here")
    return found


def _metadata(fields: Fields) -> dict[str, Any]:
    names = {1: "name", 3: "namespace"}
    found: dict[str, Any] = {
        name: fields[number][0].decode() for number, name in names.items() if any(fields.get(number, ()))
    }
    for number, name in ((11, "labels"), (12, "annotations")):
        if number in fields:
            pairs = (_fields(each) for each in fields[number])
            found[name] = {pair[1][0].decode(): pair[2][0].decode() for pair in pairs}
    return found


def _entry(message: bytes) -> tuple[str, str]:
    fields = _fields(message)
    return fields[1][0].decode(), base64.b64encode(fields[2][0]).decode()


def _fields(message: bytes) -> Fields:
    """Those of bytes, by number; numbers, of which none matters here, are left out."""
    found: Fields = {}
    rest = iter(message)
    for tag in _numbers(rest):
        number, wire_type = tag >> 3, tag & 7
        value = next(_numbers(rest))
        if wire_type == 2:
            found.setdefault(number, []).append(bytes(next(rest) for _ in range(value)))
        elif wire_type != 0:
            raise ValueError(f"wire type {wire_type} is not read here")
    return found


def _numbers(rest: Iterator[int]) -> Iterator[int]:
    """Varints."""
    value = shift = 0
    for byte in rest:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0
