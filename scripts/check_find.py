#!/usr/bin/env python3
"""Holds the answer of a search against the one computed from the dials: check_find.py COMPUTED.json FOUND.json.

COMPUTED is what `plimsoll target explain ... --json` prints, FOUND what `plimsoll find ... --json` prints. Every claim that does not
hold is named; the exit code is 0 only when all do.
"""

import json
import sys

# How far the found load line may lie from the computed one: the shipped search stops at 5 %, and p99 breaks a little above N*.
TOLERANCE_RATIO = 0.10
RESOURCE = "mongodb.pool"


def claims(computed, found):
    """Yields (what is claimed, whether it holds)."""
    users = next(row["users"] for row in computed if row["resource"] == RESOURCE)
    line = (found["load_line"] or {}).get("typical")
    near = line is not None and abs(line / users - 1) <= TOLERANCE_RATIO
    yield f"load line {line} within {TOLERANCE_RATIO:.0%} of the computed {users:.0f} users", near

    bottleneck = found["bottleneck"] or {}
    named = (bottleneck.get("status"), bottleneck.get("resource"))
    yield f"named first to give way: {named[1]} ({named[0]})", named == ("named", RESOURCE)

    counts = found["counts"]
    ended = sum(counts[end] for end in ("completed", "failed", "dropped", "interrupted", "lost"))
    yield f"planned {counts['planned']} = all ends together {ended}", counts["planned"] == ended > 0

    verdict = (found["verdict"], found["exit_code"])
    yield f"verdict {verdict[0]}, exit code {verdict[1]}", verdict == ("pass", 0)
    yield f"the generator was not the limit: valid {found['generator']['valid']}", found["generator"]["valid"]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    documents = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            documents.append(json.load(file))
    broken = 0
    for claim, holds in claims(*documents):
        print("holds:" if holds else "DOES NOT HOLD:", claim)
        broken += not holds
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
