"""The installed commands, run under their own name from any folder."""

import pytest

from tests.support.commands import assert_one_sentence, run


def test_an_installed_command_names_itself_in_help_and_messages(tmp_path):
    done = run("alexnet_jax_train.figures", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m alexnet_jax_train.figures ")
    assert "alexnet_jax_train.figures FIGURE --help`" in " ".join(done.stdout.split())
    assert " train." not in done.stdout
    done = run("alexnet_jax_train.main", "--bogus", cwd=tmp_path)
    assert_one_sentence(done, "; python -m alexnet_jax_train.main --help ")


@pytest.mark.parametrize("package", ["train", "alexnet_jax_train"])
def test_a_message_of_the_library_names_the_command_that_was_called(package, tmp_path):
    """A folder of records that train.prepare has not completed."""
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "unfinished.jsonl").write_text("{}\n")
    options = {} if package == "train" else {"cwd": tmp_path}
    done = run(f"{package}.main", "--data", tmp_path / "shards", **options)
    assert_one_sentence(done, f"holds no manifest.json, which {package}.prepare writes")
