"""Reads TensorBoard's files."""

from __future__ import annotations

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event


def events(folder: Path) -> list[Event]:
    """All events of the files of a folder, read by the format: length, checksum, event, checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        body, at = path.read_bytes(), 0
        while at < len(body):
            (length,) = struct.unpack_from("<Q", body, at)
            found.append(Event.FromString(body[at + 12 : at + 12 + length]))
            at += 16 + length
    return found
