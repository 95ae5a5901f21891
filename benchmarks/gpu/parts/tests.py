"""The numerical tests of the project on the card, at the precision "highest"."""

import importlib.util
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from benchmarks.gpu.check import Check


def run(check: Check) -> None:
    """Keep the outcomes; tests that need more devices are skipped."""
    report, command = check.work / "tests.xml", [sys.executable, "-m", "pytest", "--accelerator"]
    command += ["-p", "no:cacheprovider", "--tb=line", f"--junitxml={report}"]
    # A file of tests whose imports are missing is counted, and costs itself alone.
    command += ["--continue-on-collection-errors"]
    if not check.dry and importlib.util.find_spec("xdist"):
        command += ["-n", str(min(8, os.cpu_count() or 1))]
    finished = check.run(*command, *check.sizes.tests)
    found = finished.summary() | outcomes(report)
    check.keep("tests", found)
    check.say(f"tests: {found}")
    if found.get("failed") or not found.get("counts", {}).get("passed"):
        raise RuntimeError(f"pytest ended with status {finished.status}: {found.get('failed')}")


def outcomes(report: Path) -> dict[str, Any]:
    """Return the counts of a JUnit report, and the reasons of what failed or was skipped.

    Files that import what is not installed are no failures, but are `missing`.
    """
    if not report.exists():
        return {}
    found: dict[str, Any] = {"failed": {}, "missing": {}, "skipped": {}}
    passed = 0
    for case in ElementTree.parse(report).iter("testcase"):
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        reasons = {child.tag: f"{child.get('message')}\n{child.text}" for child in case}
        reason = reasons.get("failure", reasons.get("error"))
        if reason is not None and (missing := re.search(r"No module named \S+", reason)):
            found["missing"][name] = missing[0]
        elif reason is not None:
            found["failed"][name] = reason[:300]
        elif "skipped" in reasons:
            found["skipped"][name] = reasons["skipped"].splitlines()[0]
        else:
            passed += 1
    return found | {"counts": {"passed": passed} | {kind: len(found[kind]) for kind in found}}
