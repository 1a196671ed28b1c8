"""An editor without a screen: it opens files by yaml-language-server, and tells what a person would see."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

JSON = dict[str, Any]
SETTINGS = [{"validate": True, "hover": True, "schemaStore": {"enable": False}}, {}, {}, {}]
"""Of the sections that it asks for. It fetches nothing: schemas are those that files name."""


class Editor:
    """Begins the server; `close` ends it.

    Args:
        server: the program.
        folder: that is open.
    """

    def __init__(self, server: Path, folder: Path) -> None:
        self._process = subprocess.Popen(
            [server, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._number = 0
        self._mistakes: dict[str, list[JSON]] = {}
        self.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": CAPABILITIES})
        self._tell("initialized", {})

    def open(self, path: Path, text: str) -> list[JSON]:
        """Open a file with that text in it; what is marked in it."""
        item = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._mistakes.pop(path.as_uri(), None)
        self._tell("textDocument/didOpen", {"textDocument": item})
        while path.as_uri() not in self._mistakes:
            self._take()
        return self._mistakes[path.as_uri()]

    def rests(self, path: Path, line: int, column: int) -> str:
        """What is shown where the mouse rests."""
        at = {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": column}}
        found = self.ask("textDocument/hover", at)
        return str(found["contents"]["value"]) if found else ""

    def ask(self, method: str, params: JSON) -> Any:
        """The answer of the server."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while True:
            message = self._take()
            if message.get("id") == self._number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def close(self) -> None:
        """End it."""
        self.ask("shutdown", {})
        self._tell("exit", {})
        self._process.communicate(timeout=30)

    def _tell(self, method: str, params: JSON) -> None:
        self._send({"method": method, "params": params})

    def _send(self, message: JSON) -> None:
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _take(self) -> JSON:
        """The next message; what is marked in files is kept, and questions of the server are answered."""
        assert self._process.stdout is not None
        length = 0
        while (line := self._process.stdout.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the server has ended"
        message: JSON = json.loads(self._process.stdout.read(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            self._mistakes[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and "method" in message:
            wanted = message["method"] == "workspace/configuration"
            self._send({"id": message["id"], "result": SETTINGS if wanted else None})
        return message


CAPABILITIES: JSON = {
    "workspace": {"configuration": True},
    "textDocument": {"hover": {"contentFormat": ["markdown"]}, "publishDiagnostics": {}},
}
