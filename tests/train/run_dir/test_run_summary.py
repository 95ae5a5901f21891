"""`train.runs` and `train.figures compare`: what they read from the folders of runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.recorded_runs import write_run
from train import runs
from train.config.errors import BadInput
from train.figures import compare, page
from train.figures.__main__ import main as draw


def test_the_table_has_a_line_for_each_run(tmp_path, capsys):
    write_run(tmp_path / "b", net="PAPER", seed=3, data=Path("/sets/flowers"), experiment="paper")
    write_run(tmp_path / "a" / "deeper")
    out = tmp_path / "runs.json"
    runs.main([str(tmp_path), "--json", str(out)])
    table = json.loads(out.read_text())["runs"]
    assert [row["run"] for row in table] == ["a/deeper", "b"]
    assert table[1] | {"began": 0} == {
        "run": "b",
        "network": "PAPER",
        "data": "flowers",
        "seed": 3,
        "step": 20,
        "epoch": 2.0,
        "training": 0.25,
        "validation": 0.5,
        "test": 0.125,
        "began": 0,
        "took": 40,  # 20 steps of 64 images, 32 a second
    }
    printed = capsys.readouterr().out
    assert "25.00 %" in printed
    assert "12.50 %" in printed
    assert "0:00:40" in printed


def test_a_run_began_with_its_oldest_file(tmp_path):
    write_run(tmp_path / "run", began=1_500_000_000)
    out = tmp_path / "runs.json"
    runs.main([str(tmp_path / "run"), "--json", str(out)])
    [row] = json.loads(out.read_text())["runs"]
    assert row["run"] == "run"
    assert row["began"].startswith("2017-07-1")  # the 14th, in whatever time zone


def test_a_run_without_steps_is_listed(tmp_path, capsys):
    (write_run(tmp_path / "new") / "metrics.jsonl").unlink()
    runs.main([str(tmp_path)])
    assert "0:00:00" in capsys.readouterr().out


def test_a_damaged_run_is_left_out_with_a_sentence(tmp_path, capsys):
    write_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text("{")
    runs.main([str(tmp_path)])
    printed = capsys.readouterr()
    assert "good" in printed.out
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(f"left out: {tmp_path}/bad: ")


@pytest.mark.parametrize("folder", ["nowhere", "empty", "file"])
def test_a_folder_without_runs_is_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=rf"{folder} (does not exist|holds no runs|is a file)"):
        runs.main([str(tmp_path / folder)])


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written, in a list."""
    figures = []
    monkeypatch.setattr(page, "write", lambda figure, path: (figures.append(figure), path)[1])
    return figures


def labels(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_runs_that_differ_in_their_seed_share_a_line_and_a_band(tmp_path, drawn):
    seeds = [write_run(tmp_path / f"s{i}", seed=i, shift=0.1 * i) for i in range(3)]
    other = write_run(tmp_path / "other", learning_rate=0.5, epochs=(0.4, 0.3, 0.2))
    compare.draw_comparison([*seeds, other], tmp_path / "x.png")
    [figure] = drawn
    assert labels(figure) == ["learning_rate 0.01 (3 seeds)", "learning_rate 0.5"]
    losses, _, errors, held_out = figure.axes
    for axes, expected in ((losses, [1.5, 0.75]), (errors, [50, 25]), (held_out, [100, 50])):
        middle = [value + (0.3 if axes is losses else 10) for value in expected]  # of the three
        np.testing.assert_allclose(axes.lines[0].get_xydata().T, [[1, 2], middle])
        [band] = axes.collections
        low, high = band.get_datalim(axes.transData).get_points()[:, 1]
        assert (low, high) == pytest.approx((expected[1], 2 * middle[0] - expected[0]))
    assert list(errors.lines[1].get_xdata()) == [1, 2, 3]


def test_runs_of_unequal_length_are_compared_as_far_as_all_have_come(tmp_path, drawn):
    long, short = write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=1, epochs=(0.5,))
    compare.draw_comparison([long, short], tmp_path / "x.png", accuracy=True)
    [line] = drawn[0].axes[2].lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 50]])


def test_a_sweep_is_drawn_by_its_folder_or_by_all_that_is_in_it(tmp_path, drawn):
    for seed in range(3):
        run = write_run(tmp_path / f"seed-{seed}", seed=seed)
        run.with_name(f"{run.name}.log").write_text("step 1\n")
    (run / "metrics.jsonl").write_text("")  # stopped before its first epoch
    for named in ([tmp_path], sorted(tmp_path.iterdir())):
        compare.draw_comparison(named, tmp_path / "x.png")
        assert len(drawn[-1].axes[0].lines) == 1
    with pytest.raises(BadInput, match=r"seed-0\.log is a file"):
        compare.draw_comparison([tmp_path / "seed-0.log"], tmp_path / "x.png")


def test_lines_that_differ_in_many_values_are_named_after_their_folders(tmp_path, drawn):
    changes = {"momentum": 0.8, "flip": True, "mean": "channel", "patience": 2}
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", **changes)]
    compare.draw_comparison(folders, tmp_path / "x.png")
    assert [label.rpartition(", ")[2] for label in labels(drawn[0])] == ["a", "b"]


def test_the_figure_is_drawn_by_the_command(tmp_path, capsys):
    write_run(tmp_path / "run")
    file = tmp_path / "out.png"
    draw(["compare", str(tmp_path / "run"), str(file), "--metric", "accuracy"])
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_run_that_diverged_is_in_no_group_until_it_has_come_further(tmp_path, capsys):
    for seed in range(3):
        write_run(tmp_path / f"seed-{seed}", seed=seed)
    said = "in no group, as they have diverged: seed-1\n"
    for step, is_left_out in ((21, True), (20, True), (19, False)):
        (tmp_path / "seed-1" / "diverged.json").write_text(json.dumps({"step": step}))
        runs.main([str(tmp_path)])
        assert (said in capsys.readouterr().out) == is_left_out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone", "x.png"], "gone does not exist"),
        (["run", "x.txt"], "should end in"),
        (["run"], "FILE"),
    ],
)
def test_a_comparison_that_cannot_be_drawn_is_refused(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    with pytest.raises(BadInput, match=message):
        draw(["compare", *words])
