"""`python -m train.findings`: its flags, and the command at the head of a report."""

import pytest

from train.config.errors import BadInput
from train.findings import __main__ as command
from train.findings import findings
from train.findings.findings import Finding
from train.findings.report import Report


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--seeds", "-1"), "--seeds: '-1' is not a whole number from 0 on"),
        (("--out", "FILE"), "--out: FILE/pooling cannot be made a folder: Not a directory"),
        (("--out", "/proc/x"), "--out: /proc/x/pooling cannot be made a folder: "),
    ],
)
def test_bad_flags_are_refused_before_anything_is_trained(tmp_path, monkeypatch, flags, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    with pytest.raises(BadInput) as caught:
        command.main(["pooling", "--data", str(tmp_path), *flags])
    assert sentence in caught.value.with_flags()


@pytest.mark.parametrize("more", [(), ("--out", "elsewhere")])
def test_a_report_begins_with_the_command_that_makes_it(tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    report = Report("nothing was found.", ("arm",), (("a",),), lambda file: file)
    monkeypatch.setattr(
        findings, "get_finding", lambda name: Finding("x", (0, 1), lambda _: report)
    )
    command.main(["pooling", "--data", ".", *more])
    out = tmp_path / (more[1] if more else "runs/findings")
    words = " ".join(("--data . --seeds 0 1", *more))
    expected = f"`python -m train.findings pooling {words}`\n"
    assert (out / "pooling" / "report.md").read_text().startswith(expected)
