"""Fails when a test was skipped (or expected to fail) without standing on the list of allowed skips.

    python tests/check_skips.py tests/allowed_skips.txt REPORT.xml...

Each line of the list is `test | reason`, both shell patterns; the test is named as JUnit names it, such as
`tests.yolact.ops.test_nms::test_ties`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

Skip = tuple[str, str]
"""(test, reason)"""


def allowed_skips(text: str) -> list[Skip]:
    """The patterns of a list; blank lines and lines that begin with # don't count.

    Raises:
        ValueError: a line without a test or without a reason.
    """
    lines = [line.strip() for line in text.splitlines()]
    patterns = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        test, bar, reason = (part.strip() for part in line.partition("|"))
        if not (test and bar and reason):
            raise ValueError(f"expected `test | reason`, got {line!r}")
        patterns.append((test, reason))
    return patterns


def skips(report: Path) -> Iterator[Skip]:
    """What a JUnit report says was skipped."""
    for case in ElementTree.parse(report).iter("testcase"):
        for skipped in case.iter("skipped"):
            yield f"{case.get('classname')}::{case.get('name')}", skipped.get("message") or ""


def unlisted(found: Iterable[Skip], patterns: list[Skip]) -> list[Skip]:
    """The skips that no pattern covers."""
    return [
        (test, reason)
        for test, reason in found
        if not any(fnmatchcase(test, name) and fnmatchcase(reason, why) for name, why in patterns)
    ]


def main(listing: str, *reports: str) -> int:
    found = [skip for report in reports for skip in skips(Path(report))]
    wrong = unlisted(found, allowed_skips(Path(listing).read_text()))
    for test, reason in wrong:
        print(f"not on {listing}: {test} skipped: {reason}", file=sys.stderr)
    print(f"{len(found)} skipped, {len(wrong)} of them without leave")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
