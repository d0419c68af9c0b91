"""The forward pass with real weights: the bundled model; and at full width: RoBERTa-base with random weights."""

from __future__ import annotations

import platform
import resource
import weakref
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DistilBertConfig, RobertaConfig

from batch_classification.in_process import load_classifier
from batch_classification.settings import BUNDLED_MODEL_PATH
from batch_inference.device import set_up_gpu
from batch_inference.errors import DeviceLostError, DeviceOutOfMemoryError, ForwardPassError, ModelLoadError
from batch_inference.forward.packed import PackedClassifier
from batch_inference.model import EncoderModel
from batch_inference.token_rows import TokenRows

TEXTS = ["I love this!", "What a waste of money.", "The parcel came on Monday.", "word " * 600]


@pytest.fixture(scope="module")
def bundled() -> EncoderModel:
    return load_classifier(model="bundled", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> EncoderModel:
    """RoBERTa-base as the hub's default model has it, but with random weights, and four layers of its twelve."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, num_hidden_layers=4,
        id2label={0: "negative", 1: "neutral", 2: "positive"},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("roberta-base")
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH).save_pretrained(folder)
    return load_classifier(model=str(folder), device="cpu", precision="float32")


def encode(model: EncoderModel, texts: list[str]) -> list[list[int]]:
    return model.tokenizer.encode(texts, model.max_tokens).rows.tolists()


def probabilities(model: EncoderModel, rows: list[list[int]]) -> list[list[float]]:
    return model.answers(TokenRows.of(rows)).tolist()


def test_probabilities_are_those_of_the_plain_model(bundled: EncoderModel) -> None:
    plain = AutoModelForSequenceClassification.from_pretrained(BUNDLED_MODEL_PATH, dtype=torch.float32).eval()
    # The last row spells out the pad token, which shifts the positions after it.
    rows = [*encode(bundled, TEXTS), [0, 9, plain.config.pad_token_id, 7, 2]]
    assert not bundled.is_padded
    for row, answer in zip(rows, probabilities(bundled, rows), strict=True):
        with torch.inference_mode():
            expected = plain(input_ids=torch.tensor([row]), attention_mask=torch.ones(1, len(row))).logits
        assert answer == pytest.approx(expected.softmax(-1)[0].tolist(), abs=1e-5)


def test_the_limit_comes_from_the_position_embeddings(bundled: EncoderModel, full_size: EncoderModel) -> None:
    assert bundled.max_tokens == full_size.max_tokens == 512
    assert len(probabilities(full_size, [[5] * 512])) == 1


def test_full_size_batched_equals_alone(full_size: EncoderModel) -> None:
    rows = encode(full_size, TEXTS)
    together = probabilities(full_size, rows)
    for row, answer in zip(rows, together, strict=True):
        assert probabilities(full_size, [row])[0] == pytest.approx(answer, abs=1e-4)


def test_bfloat16_gives_the_same_labels(bundled: EncoderModel) -> None:
    half = load_classifier(model="bundled", device="cpu", precision="bfloat16")
    for one, other in zip(
        probabilities(bundled, encode(bundled, TEXTS)), probabilities(half, encode(half, TEXTS)), strict=True
    ):
        assert one.index(max(one)) == other.index(max(other))
        assert one == pytest.approx(other, abs=0.03)


def test_labels_are_the_models_own_in_upper_case(bundled: EncoderModel) -> None:
    assert bundled.labels == ("NEGATIVE", "NEUTRAL", "POSITIVE")


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"BATCH_PROCESSOR_MODEL=.*nowhere.* is not there: no such") as caught:
        load_classifier(model=str(tmp_path / "nowhere"), device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_one_sentence() -> None:
    with pytest.raises(ModelLoadError, match=r"BATCH_PROCESSOR_DEVICE='cuda', .*: .*(built for CPUs|driver is for)"):
        load_classifier(model="bundled", device="cuda")


def test_a_gpu_is_fed_by_one_thread_of_torch_and_sums_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    # There is no GPU here: its memory's bound is only noted.
    bounds: list[tuple[float, str]] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *bound: bounds.append(bound))
    num_threads = torch.get_num_threads()
    try:
        set_up_gpu("cuda:0", 0.5)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(num_threads)
    assert bounds == [(0.5, "cuda:0")]
    assert not torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction


def test_numbers_that_are_not_finite_never_leave_the_model(
    bundled: EncoderModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = bundled.forward.logits
    monkeypatch.setattr(bundled.forward, "logits", lambda rows: logits(rows) * float("nan"))
    with pytest.raises(ForwardPassError, match="not finite"):
        probabilities(bundled, [[0, 5, 2]])


def test_a_row_that_is_too_long_is_an_error_and_not_an_answer(bundled: EncoderModel) -> None:
    with pytest.raises(ForwardPassError):
        probabilities(bundled, [[5] * 513])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    ],
)
def test_out_of_device_memory_has_its_own_error(
    bundled: EncoderModel, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    # A GPU's out-of-memory cannot be had here: the errors are those that torch raises.
    def out_of_memory(rows: object) -> None:
        raise error

    monkeypatch.setattr(bundled.forward, "logits", out_of_memory)
    with pytest.raises(DeviceOutOfMemoryError):
        probabilities(bundled, [[0, 5, 2]])


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("an illegal shape")])
def test_what_a_failed_pass_computed_is_gone_when_its_error_arrives(
    bundled: EncoderModel, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def fails_midway(rows: object) -> None:
        hidden = torch.zeros(1000)
        computed.append(weakref.ref(hidden))
        raise error

    computed: list[weakref.ref[torch.Tensor]] = []
    monkeypatch.setattr(bundled.forward, "logits", fails_midway)
    try:
        probabilities(bundled, [[0, 5, 2]])
    except ForwardPassError:
        # Here the scheduler runs the pass again, in parts, and needs the memory.
        assert computed[0]() is None
    else:
        pytest.fail("the pass did not fail")


def test_a_lost_device_is_told_from_a_failed_pass(bundled: EncoderModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # A poisoned CUDA context cannot be had here: from the first failure on, nothing can be read off the device.
    def device_side_assert(rows: object) -> None:
        monkeypatch.setattr(bundled, "device", "meta")
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(bundled.forward, "logits", device_side_assert)
    with pytest.raises(DeviceLostError, match="device-side assert"):
        probabilities(bundled, [[0, 5, 2]])


def test_int8_gives_the_same_labels(bundled: EncoderModel) -> None:
    small = load_classifier(model="bundled", device="cpu", precision="int8")
    for one, other in zip(
        probabilities(bundled, encode(bundled, TEXTS)), probabilities(small, encode(small, TEXTS)), strict=True
    ):
        assert one.index(max(one)) == other.index(max(other))
        assert one == pytest.approx(other, abs=0.1)
    assert isinstance(small.forward, PackedClassifier)


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of another architecture, with random weights."""
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=14587, dim=32, n_layers=2, n_heads=2, hidden_dim=64,
        pad_token_id=1, id2label={0: "negative", 1: "positive"},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("distilbert")
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH).save_pretrained(folder)
    return folder


def test_a_model_that_cannot_be_packed_is_padded(distilbert: Path) -> None:
    padded = load_classifier(model=str(distilbert), device="cpu", precision="float32")
    assert padded.is_padded
    assert padded.labels == ("NEGATIVE", "POSITIVE")
    plain = AutoModelForSequenceClassification.from_pretrained(distilbert, dtype=torch.float32).eval()
    rows = encode(padded, TEXTS)
    for row, answer in zip(rows, probabilities(padded, rows), strict=True):
        with torch.inference_mode():
            expected = plain(input_ids=torch.tensor([row])).logits.softmax(-1)[0].tolist()
        assert answer == pytest.approx(expected, abs=1e-5)


def test_int8_for_such_a_model_is_refused_in_one_sentence(distilbert: Path) -> None:
    with pytest.raises(ModelLoadError, match="BATCH_PROCESSOR_PRECISION='int8' needs a RoBERTa or BERT model"):
        load_classifier(model=str(distilbert), device="cpu", precision="int8")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such setting")
def test_passes_reuse_the_memory_of_earlier_ones(bundled: EncoderModel) -> None:
    rows = [[0] + [5] * 30 + [2]] * 40
    for _ in range(3):
        probabilities(bundled, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        probabilities(bundled, rows)
    # A pass that gets fresh memory from the system has about 10,000 page faults.
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 5 < 3000
