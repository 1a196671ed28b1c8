"""What kubectl makes of a YAML value without quotes; a test asks kubectl itself."""

from __future__ import annotations

from typing import Any

SCALARS: dict[str, Any] = {
    **dict.fromkeys(("yes", "Yes", "YES", "on", "On", "y", "Y", "true", "True", "TRUE"), True),
    **dict.fromkeys(("no", "No", "off", "OFF", "n", "N", "false", "False"), False),
    **dict.fromkeys(("~", "null", "Null", "NULL"), None),
    **{
        text: text
        for text in ("tRue", "yEs", "nUll", "1:30", "1:30:15", "2026-01-02", "2026-01-02T03:04:05Z")
    },
    **{text: text for text in ("_1", "1e", "0x", "1.2.3", "0o8", "+", ".", "500m", "4Gi", "<<", "=")},
    "010": 8,
    "0o10": 8,
    "-010": -8,
    "0x1F": 31,
    "0b101": 5,
    "089": 89,
    "08.5": 8.5,
    "007": 7,
    "1_000": 1000,
    "1__0": 10,
    "1_": 1,
    "0_8": 8,
    "1.5_0": 1.5,
    ".5_0": 0.5,
    "1e3": 1000,
    "1E3": 1000,
    "1e+3": 1000,
    "0.1e1": 1,
    "5.": 5,
    "1.50": 1.5,
    ".5": 0.5,
    "+.5": 0.5,
    "1e-3": 0.001,
    "1E-3": 0.001,
    "-.5": -0.5,
    "+5": 5,
    "-0": 0,
    "1e20": 10**20,
    "1e22": 1e22,
    "4.0": 4,
    '"1"': "1",
    "'1e3'": "1e3",
    '"yes"': "yes",
    "!!str 5": "5",
    '!!int "5"': 5,
}
