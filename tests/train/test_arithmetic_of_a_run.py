"""The precision and determinism of a run: flags, config.json, and what a resumed run says."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.train.runtime.test_arithmetic import TPU, gpu
from train.config.config import Config
from train.config.errors import BadInput
from train.config.flags import parse
from train.config.saved import load_config
from train.data.dataset import open_data
from train.run_dir.folder import arithmetic_note, record_run
from train.runtime.arithmetic import Arithmetic
from train.trainer import description

OLD_RUN = Path(__file__).parents[1] / "support" / "made_at_a1eac61" / "run"
"""Its config.json has "precision": "float32", which was the name of the default."""
RESUME = ["--run-dir", str(OLD_RUN), "--resume"]
DIGITS = open_data(None, "auto", 28)
ON_CPU, ON_GPU = Arithmetic(0, "cpu", "float32"), Arithmetic(40, "NVIDIA H100", "TF32")


def test_float32_is_the_default_by_its_former_name():
    assert Config().recipe.precision == "default"
    assert Config().replace(precision="float32") == Config()
    assert parse(["--precision", "float32"]) == parse([])
    with pytest.raises(BadInput, match=r"--precision: .*'float16'"):
        parse(["--precision", "float16"])
    with pytest.raises(BadInput, match="`precision` must be default, highest or bfloat16"):
        Config().replace(precision="float16")


def test_an_older_run_keeps_its_precision_and_is_not_resumed_at_another():
    assert json.loads((OLD_RUN / "config.json").read_text())["config"]["precision"] == "float32"
    assert load_config(OLD_RUN).recipe.precision == "default"
    for same in ("default", "float32"):
        assert parse([*RESUME, "--precision", same]) == parse(RESUME)
    for other in ("highest", "bfloat16"):
        with pytest.raises(BadInput, match=f"holds a run with --precision default, not {other}"):
            parse([*RESUME, "--precision", other])


def test_a_resumed_run_may_be_made_deterministic_and_stays_so(tmp_path):
    config = parse([*RESUME, "--deterministic"]).replace(run_dir=tmp_path, resume=False)
    record_run(config, DIGITS, ON_CPU)
    assert load_config(tmp_path).launch.deterministic
    resume = ["--run-dir", str(tmp_path), "--resume"]
    assert parse(resume).launch.deterministic
    assert not parse([*resume, "--no-deterministic"]).launch.deterministic


def test_config_json_keeps_what_each_part_of_a_run_was_computed_in(tmp_path):
    config = Config().replace(run_dir=tmp_path)
    record_run(config, DIGITS, ON_CPU)
    for step in (20, 30):  # the same again
        record_run(config.replace(resume=True), DIGITS, ON_CPU._replace(from_step=step))
    record_run(config.replace(resume=True), DIGITS, ON_GPU)
    assert json.loads((tmp_path / "config.json").read_text())["arithmetic"] == [
        {"from_step": 0, "device": "cpu", "products": "float32"},
        {"from_step": 40, "device": "NVIDIA H100", "products": "TF32"},
    ]


def test_a_resumed_run_says_that_its_products_change(tmp_path):
    record_run(Config().replace(run_dir=tmp_path), DIGITS, ON_CPU)
    assert arithmetic_note(tmp_path, ON_CPU) is None
    assert arithmetic_note(tmp_path, ON_CPU._replace(device="another CPU")) is None
    note = arithmetic_note(tmp_path, ON_GPU)
    assert note is not None
    assert "were made in float32, on cpu; from here on they are made in TF32, on NVIDIA H1" in note
    assert arithmetic_note(OLD_RUN, ON_GPU) is None  # which did not record it


@pytest.mark.parametrize("damaged", [5, None, [5], [{"from_step": 0}], {"a": 1}, [None]])
def test_a_damaged_record_of_the_arithmetic_is_begun_anew(tmp_path, damaged):
    config = Config().replace(run_dir=tmp_path)
    record_run(config, DIGITS, ON_CPU)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"arithmetic": damaged}))
    assert arithmetic_note(tmp_path, ON_GPU) is None
    record_run(config.replace(resume=True), DIGITS, ON_GPU)
    assert json.loads(path.read_text())["arithmetic"] == [ON_GPU._asdict()]


def imitated_run(device, **settings):
    mesh = SimpleNamespace(devices=np.array([[device]]))
    return SimpleNamespace(config=Config().replace(**settings), mesh=mesh)


def test_the_arithmetic_of_a_run_is_that_of_its_devices():
    t4, h100 = gpu("7.5", "Tesla T4"), gpu("9.0", "NVIDIA H100")
    assert description.arithmetic(imitated_run(h100), 40) == ON_GPU
    assert description.arithmetic(imitated_run(h100, precision="highest"), 0).products == "float32"
    assert description.arithmetic(imitated_run(TPU, precision="highest"), 0)[1:] == (
        "TPU v5 lite",
        "six bfloat16 passes",
    )
    [note] = description.arithmetic_notes(
        imitated_run(t4, precision="bfloat16"), Path("nowhere"), 0
    )
    assert note.startswith("note: Tesla T4")
    assert not description.arithmetic_notes(
        imitated_run(h100, precision="bfloat16"), Path("nowhere"), 0
    )
