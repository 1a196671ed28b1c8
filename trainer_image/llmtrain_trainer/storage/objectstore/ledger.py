"""Records in an object store, one after another: what makes a change whole, and an old writer harmless.

An object store has no rename and no lock. It has one thing that is atomic: an object that is written only if
it is not there yet. So the state of the output is the record with the highest number, and a change is the
creation of the next number. Who read an older record finds the number taken, reads again and is judged by the
newer one: there is no moment between check and act. Records are never changed or deleted; each holds the
whole state, so only the newest is read.
"""

from __future__ import annotations

import json
import uuid

from pydantic import ValidationError

from llmtrain_api import changed

from .bucket import Bucket
from .record import Change, Record

FOLDER = "log"
DIGITS = 12


class Ledger:
    """The records of one output.

    Attributes:
        newest: the newest record that was seen here.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.newest = Record()

    def read(self) -> Record:
        """The newest record of all.

        Raises:
            OSError: the store does not answer.
            ValueError: the newest record is none of ours.
        """
        numbers = [int(name.removesuffix(".json")) for name in self.bucket.sizes(FOLDER)]
        newest = max(numbers, default=0)
        if newest > self.newest.number:
            self.newest = self._record(newest)
        return self.newest

    def append(self, change: Change) -> Record:
        """Make a change; the record that holds it.

        Raises:
            Exception: what the change itself refuses with; nothing is written then.
            OSError: the store does not answer. The change may have been made.
        """
        own_id = uuid.uuid4().hex
        while True:
            now = self.read()
            if now.written_by == own_id:  # our answer was lost, and the library asked again
                return now
            wanted = change(now)
            if wanted is now:
                return now
            following = changed(wanted, number=now.number + 1, written_by=own_id)
            if self.bucket.create(_key(following.number), json.dumps(following.to_json(), indent=1).encode()):
                self.newest = following
                return following

    def _record(self, number: int) -> Record:
        try:
            return Record.model_validate_json(self.bucket.read(_key(number)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the object"
            raise ValueError(f"{self.bucket.url}/{_key(number)}: {where}: {first['msg']}") from None


def _key(number: int) -> str:
    return f"{FOLDER}/{number:0{DIGITS}}.json"
