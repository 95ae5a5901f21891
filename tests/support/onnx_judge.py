"""ONNX models run by the reference evaluator of the package onnx."""

import numpy as np
import pytest

from tests.support import reference

onnx = pytest.importorskip("onnx")
op_run = pytest.importorskip("onnx.reference.op_run")
evaluation = pytest.importorskip("onnx.reference")


class LRN(op_run.OpRun):
    """The formula as a loop: onnx 1.23's operator takes the batch size for the number of maps."""

    op_domain = ""

    def _run(self, x, alpha, beta, bias, size):
        maps = x.transpose(0, 2, 3, 1)
        out = reference.response_norm(maps, int(size), bias, alpha / size, beta)
        return (out.transpose(0, 3, 1, 2).astype(np.float32),)


def outputs(model, **inputs):
    """All outputs of a serialized model."""
    evaluator = evaluation.ReferenceEvaluator(onnx.load_from_string(model), new_ops=[LRN])
    return evaluator.run(None, inputs)


def first_output(model, **inputs):
    """The first output of a serialized model."""
    return outputs(model, **inputs)[0]
