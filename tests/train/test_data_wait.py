"""The line about the time that the devices waited for data, and what would help."""

import re
from types import SimpleNamespace

import pytest

from tests.support.picture_folders import write_classes
from tests.train.test_train import CONFIG, DATA
from train.config.config import Config
from train.trainer import data_wait
from train.trainer.data_wait import describe_wait
from train.trainer.train import train


@pytest.fixture
def line(tmp_path, monkeypatch):
    """The line of a run on a machine with 8 cores."""
    write_classes(tmp_path)
    monkeypatch.setattr(data_wait, "available_cores", lambda: 8)

    def describe(share, encoding=None, simplejpeg=True, **settings):
        if encoding:
            kept = SimpleNamespace(encoding=encoding)
            monkeypatch.setattr(data_wait.manifest, "exists", lambda path: path == tmp_path)
            monkeypatch.setattr(data_wait.manifest, "read", lambda path: kept)
        monkeypatch.setattr(data_wait, "simplejpeg", simplejpeg)
        config = Config().replace(**{"data": tmp_path, "threads": 8} | settings)
        return describe_wait(share, SimpleNamespace(config=config))

    return describe


def test_a_short_wait_asks_for_nothing(line):
    assert line(0.096, threads=2) == "the devices waited for data 10 % of the time"


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"threads": 2}, "--threads 8 (now 2), records of train.prepare"),
        ({}, "records of train.prepare"),
        ({"simplejpeg": None}, "records of train.prepare"),  # which alone it decodes
        ({"encoding": "jpeg", "simplejpeg": None}, "pip install simplejpeg"),
        (
            {"encoding": "jpeg", "simplejpeg": None, "threads": 7},
            "--threads 8 (now 7), pip install simplejpeg",
        ),
        ({"encoding": "raw", "simplejpeg": None, "threads": 7}, "--threads 8 (now 7)"),
    ],
)
def test_a_long_wait_names_what_helps(line, settings, advice):
    waited = "the devices waited for data 34 % of the time"
    assert line(0.34, **settings) == f"{waited}; faster: {advice}"


@pytest.mark.parametrize("settings", [{"encoding": "jpeg"}, {"data": None, "threads": 1}])
def test_without_anything_to_gain_nothing_is_named(line, settings):
    assert line(0.34, **settings) == "the devices waited for data 34 % of the time"


def test_a_run_says_it_once_and_a_run_of_one_step_has_nothing_to_say(tmp_path, capfd):
    for steps, lines in ((1, 0), (8, 1)):
        train(CONFIG.replace(run_dir=tmp_path / str(steps), steps=steps), DATA)
        out = capfd.readouterr().out
        said = re.findall(r"^the devices waited for data \d+ % of the time$", out, re.MULTILINE)
        assert len(said) == lines == out.count("waited")
