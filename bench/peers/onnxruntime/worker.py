"""onnxruntime, its graph fused for encoders; in int8 quantised dynamically, as its own documentation says for them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model
from runtime_worker import Forward, export_onnx, serve


def load(checkpoint: Path, is_int8: bool, threads: int) -> Forward:
    """Export, optimise and, if asked to, quantise."""
    config = json.loads((checkpoint / "config.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        exported, optimised, small = (str(Path(folder, name)) for name in ("a.onnx", "b.onnx", "c.onnx"))
        export_onnx(checkpoint, Path(exported))
        optimize_model(
            exported, "bert", num_heads=config["num_attention_heads"], hidden_size=config["hidden_size"]
        ).save_model_to_file(optimised)
        if is_int8:
            # What the fused operators give is not known to ONNX's own shape inference.
            types = {"DefaultTensorType": onnx.TensorProto.FLOAT}
            quantize_dynamic(optimised, small, weight_type=QuantType.QInt8, extra_options=types)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(small if is_int8 else optimised, options, ["CPUExecutionProvider"])
    return lambda ids, mask: session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]


serve(load)
