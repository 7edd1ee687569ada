#!/usr/bin/env python3
"""Names every CTest entry that was skipped, with its reason: list_skipped.py TESTS.xml (of ctest --output-junit).

A reason is the text behind GoogleTest's "FILE:LINE: Skipped", or a line that begins with "skipped: ". An entry without
a reason is told as such.
"""
import re
import sys
import xml.etree.ElementTree


def reasons_in(output):
    found = re.findall(r"^.*: Skipped\n(.*)$", output, re.MULTILINE)
    found += re.findall(r"^skipped: (.*)$", output, re.MULTILINE)
    return list(dict.fromkeys(reason.strip() for reason in found if reason.strip()))


def main():
    skipped = []
    for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        if case.find("skipped") is None:
            continue
        reasons = reasons_in(case.findtext("system-out") or "")
        skipped.append((case.get("name"), "; ".join(reasons) or "no reason given"))
    if skipped:
        print(f"{len(skipped)} skipped:")
    for name, reason in skipped:
        print(f"  {name}: {reason}")


if __name__ == "__main__":
    main()
