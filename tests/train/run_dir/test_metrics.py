"""The log of a run, also after a crash."""

import json
import struct

from tensorboardX.proto.event_pb2 import Event

from train.figures.curves import draw_curves
from train.run_dir.metrics import MetricsLog, read_metrics


def test_rows_after_the_step_that_a_run_resumes_from_are_replaced(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        for step in range(1, 6):
            log.write(step, {"loss": 1 / step})
    with MetricsLog(tmp_path, 3) as log:
        log.write(4, {"loss": 0.5})
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path)] == [
        (1, 1.0),
        (2, 0.5),
        (3, 0.333333),
        (4, 0.5),
    ]


def test_a_damaged_line_is_skipped_and_all_others_are_read(tmp_path):
    good = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    lines = [good[0], "", "5", '{"loss": 1}', good[1], '{"step": 9, "lo', good[2]]
    (tmp_path / "metrics.jsonl").write_bytes("\n".join(lines).encode() + b"\n\xff\xfe")
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]
    assert draw_curves(tmp_path).exists()


def test_tensorboard_reads_every_number_and_drops_the_replaced_rows(tmp_path):
    with MetricsLog(tmp_path, 3) as log:
        log.write(4, {"loss": 0.5, "top1_error": 0.25})
    [path] = (tmp_path / "tensorboard").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    data, events = path.read_bytes(), []
    while data:  # a length and its checksum, an event and its checksum
        [length] = struct.unpack_from("<Q", data)
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[12 + length + 4 :]
    values = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    assert values == [(4, "loss", 0.5), (4, "top1_error", 0.25)]
    [start] = [event for event in events if event.HasField("session_log")]
    assert (start.step, start.session_log.status) == (4, 1)
