"""Several models behind one queue: whose turn it is, and that none has a part in what becomes of another's texts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from batch_classification.settings import BUNDLED_MODEL_PATH, ClassifierSettings
from batch_inference.budget import Budget
from batch_inference.caller import Caller
from batch_inference.engine import Engine
from batch_inference.errors import ForwardPassError, ModelLoadError, QueueFullError
from batch_inference.heads import ClassifierHead
from batch_inference.planner import PassCost
from batch_inference.scheduled_model import ScheduledModel
from batch_inference.scheduler import Scheduler
from batch_inference.settings import load_settings
from batch_inference.start_up import Source
from batch_inference.text_groups import TextGroup
from batch_inference.token_rows import Outputs, TokenRows
from batch_inference.tokenizer import TextTokenizer
from tests.inference import checkpoints as made

Change = Callable[[dict[str, Any]], None]

WAIT_S = 30
COST = PassCost(max_batch_tokens=100, overhead_tokens=32)


class Over:
    """A pass that is over when it has been launched."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs

    def wait(self) -> None:
        pass

    def result(self) -> Outputs:
        return self._outputs


class Device:
    """Stands in for what all models run on: it does no pass before the test opens it, and then one after the other.

    Attributes:
        passes: which model ran each, and the first token of each of its rows.
    """

    def __init__(self) -> None:
        self.passes: list[tuple[str, list[int]]] = []
        self.has_begun = threading.Event()
        self.is_open = threading.Event()


class OnDevice:
    """A model on it."""

    def __init__(self, name: str, device: Device) -> None:
        self._name = name
        self._device = device

    def prepare(self, rows: TokenRows) -> TokenRows:
        return rows

    def launch(self, rows: TokenRows) -> Over:
        firsts = rows.input_ids[rows.starts]
        self._device.passes.append((self._name, firsts.tolist()))
        self._device.has_begun.set()
        assert self._device.is_open.wait(WAIT_S)
        return Over(firsts[:, None].astype(np.float32))


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def scheduler(device: Device) -> Iterator[Scheduler]:
    models = {name: ScheduledModel(OnDevice(name, device), Budget(COST)) for name in "abc"}
    scheduler = Scheduler(models, lambda record: None)
    yield scheduler
    device.is_open.set()
    scheduler.close()


def texts(model: str, *first_ids: int, length: int = 90) -> TextGroup:
    """Texts of which each fills a pass, by default."""
    return TextGroup(TokenRows.of([[first_id] * length for first_id in first_ids]), model)


def occupied(scheduler: Scheduler, device: Device, *groups: TextGroup) -> None:
    """Let a pass of `a` begin, and queue these while it is at work; then let it and all others go on."""
    blocker = texts("a", 0)
    scheduler.submit([blocker])
    assert device.has_begun.wait(WAIT_S)
    for group in groups:
        scheduler.submit([group])
    device.is_open.set()
    for group in groups:
        group.future.result(WAIT_S)


def test_a_pass_is_of_one_model(scheduler: Scheduler, device: Device) -> None:
    mixed = [texts("abc"[number % 3], number, length=5) for number in range(1, 13)]
    occupied(scheduler, device, *mixed)
    assert sorted(device.passes[1:]) == [("a", [3, 6, 9, 12]), ("b", [1, 4, 7, 10]), ("c", [2, 5, 8, 11])]


@pytest.mark.parametrize("greedy_models", ["a", "ac", "ca"])
def test_a_small_request_does_not_wait_for_other_models_greedy_clients(
    scheduler: Scheduler, device: Device, greedy_models: str
) -> None:
    """Two passes at most begin before its own, of the hundred and more that the others' requests take."""
    greedy = [texts(model, *range(20 * n, 20 * n + 20)) for n in range(5) for model in greedy_models]
    occupied(scheduler, device, *greedy, texts("b", 777, length=5))
    assert ("b", [777]) in device.passes[1:4]


def test_small_requests_of_one_model_do_not_starve_another(scheduler: Scheduler, device: Device) -> None:
    """Where small requests never end, large ones of other models have every other pass, in turns."""
    many = [texts("a", number, length=80) for number in range(1, 30)]
    occupied(scheduler, device, *many, texts("b", *range(100, 104)), texts("c", *range(200, 204)))
    first = [model for model, _ in device.passes[1:25]]
    assert first.count("b") == first.count("c") == 4
    assert first.count("a") >= 12


def test_a_large_request_waits_for_its_turn_not_for_all_that_came_before(scheduler: Scheduler, device: Device) -> None:
    greedy = [texts("a", *range(20 * n, 20 * n + 20)) for n in range(5)]
    occupied(scheduler, device, *greedy, texts("b", *range(700, 730)))
    turns = [number for number, (model, _) in enumerate(device.passes) if model == "b"]
    assert len(turns) == 30
    assert turns[0] <= 4
    assert turns[14] <= 4 * 15


class Named(ClassifierHead):
    """A classifier with a name, and no text of its own preparation."""

    def __init__(self, name: str) -> None:
        self.name = name


def source(name: str, folder: Path, **settings: object) -> Source:
    return load_settings(ClassifierSettings, model=str(folder), device="cpu", **settings), Named(name)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of models with the same tokenizer, and of one with another."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "moods": made.save_checkpoint(folder / "moods", id2label={0: "sad", 1: "glad", 2: "cross", 3: "calm"}),
        "topics": made.save_checkpoint(
            folder / "topics",
            problem_type="multi_label_classification",
            id2label={0: "food", 1: "work", 2: "sport"},
            max_position_embeddings=130,
        ),
        "others": made.save_vocab_txt_only(folder / "others"),
    }


@pytest.fixture(scope="module")
def alone(folders: dict[str, Path]) -> Iterator[dict[str, Engine]]:
    """Each of the models in an engine of its own."""
    engines = {name: Engine.start(*source(name, folder, answer_cache_mib=0)) for name, folder in folders.items()}
    yield engines
    for engine in engines.values():
        engine.close()


@pytest.fixture(scope="module")
def engine(folders: dict[str, Path]) -> Iterator[Engine]:
    first, *further = [source(name, folder) for name, folder in folders.items()]
    engine = Engine.start(*first, further=further)
    yield engine
    engine.close()


def run(engine: Engine, models: Sequence[str], texts: Sequence[str], **options: bool) -> dict[str, list[list[float]]]:
    with engine.admitted_for_several(models, texts, 512, **options) as admitted:
        return {name: outcome.answers.tolist() for name, outcome in admitted.run().by_model.items()}


@pytest.mark.parametrize("in_windows", [False, True])
def test_each_model_answers_as_it_does_alone(
    engine: Engine, alone: dict[str, Engine], tweets: list[str], long_texts: list[str], in_windows: bool
) -> None:
    names, some = ["topics", "others", "moods"], [*tweets[:20], *long_texts[:3]]
    together = run(engine, names, some, in_windows=in_windows)
    assert list(together) == names
    for name in names:
        assert together[name] == pytest.approx(alone[name].run(some, 512, in_windows=in_windows).answers, abs=1e-4)


def test_models_in_a_crowd_are_never_mistaken_for_each_other(
    engine: Engine, alone: dict[str, Engine], tweets: list[str]
) -> None:
    def one(number: int) -> tuple[str, str, list[float]]:
        name, text = list(alone)[number % 3], tweets[number % 40]
        with engine.admitted([text], 512, model=name) as admitted:
            return name, text, admitted.run().answers[0].tolist()

    with ThreadPoolExecutor(16) as pool:
        for name, text, answers in pool.map(one, range(300)):
            assert answers == pytest.approx(alone[name].run([text], 512).answers[0], abs=1e-4)


def test_a_text_is_tokenized_once_for_all_models_with_the_same_tokenizer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    moods, topics, others = (engine.served[name].model for name in ("moods", "topics", "others"))
    assert moods.tokenizer is topics.tokenizer
    assert moods.tokenizer is not others.tokenizer
    tokenized: list[tuple[str, list[str]]] = []
    for name, tokenizer in (("same", moods.tokenizer), ("other", others.tokenizer)):
        monkeypatch.setattr(tokenizer, "encode_plain", _noting(tokenized, name, tokenizer.encode_plain))
    run(engine, ["moods", "others", "topics"], ["once for all"])
    assert sorted(tokenized) == [("other", ["once for all"]), ("same", ["once for all"])]


def _noting(
    seen: list[tuple[str, list[str]]], name: str, encode: Callable[[Sequence[str]], TokenRows]
) -> Callable[[Sequence[str]], TokenRows]:
    def noting(texts: Sequence[str]) -> TokenRows:
        seen.append((name, list(texts)))
        return encode(texts)

    return noting


SAME: dict[str, Change] = {
    "another name": lambda state: None,
    "its training's truncation and padding": lambda state: state.update(
        truncation={"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        },
    ),
    "another way back to text": lambda state: state.update(decoder={"type": "Fuse"}),
}  # fmt: skip
OTHER: dict[str, Change] = {
    "letters keep their case": lambda state: state["normalizer"].update(lowercase=False),
    "two words swapped": lambda state: state["model"]["vocab"].update(
        good=state["model"]["vocab"]["bad"], bad=state["model"]["vocab"]["good"]
    ),
}


@pytest.mark.parametrize("kind", [*SAME, *OTHER])
def test_tokenizers_are_compared_by_what_they_do(tmp_path: Path, kind: str) -> None:
    own = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
    own.save_pretrained(tmp_path)
    state = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    (SAME | OTHER)[kind](state)
    (tmp_path / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    other = TextTokenizer(AutoTokenizer.from_pretrained(tmp_path), str)
    assert (TextTokenizer(own, str).rules == other.rules) is (kind in SAME)


def test_each_model_has_its_own_answers_kept(engine: Engine) -> None:
    text = ["kept by each for itself"]
    before = {name: served.stats.snapshot() for name, served in engine.served.items()}
    first = run(engine, ["moods"], text)
    both = run(engine, ["moods", "topics"], text)
    assert both["moods"] == first["moods"]
    after = {name: served.stats.snapshot() for name, served in engine.served.items()}
    assert after["moods"].cache_hits - before["moods"].cache_hits == 1
    assert after["moods"].forward_passes - before["moods"].forward_passes == 1
    assert after["topics"].forward_passes - before["topics"].forward_passes == 1
    assert after["others"] == before["others"]


def test_a_request_is_admitted_by_the_tokens_of_all_its_models(folders: dict[str, Path]) -> None:
    first = source("moods", folders["moods"], max_queued_tokens=60, answer_cache_mib=0)
    engine = Engine.start(*first, further=[source("topics", folders["topics"])])
    # Large requests have room for 52 tokens: once for 22, but not for both models' 44 beside another 22.
    with engine.admitted(["word " * 20], 512):
        assert len(run(engine, ["topics"], ["word " * 20])["topics"]) == 1
        with pytest.raises(QueueFullError):
            run(engine, ["moods", "topics"], ["word " * 20])
    assert len(run(engine, ["moods", "topics"], ["word " * 20])) == 2
    engine.close()


def test_who_leaves_takes_the_texts_of_all_models_along(engine: Engine) -> None:
    caller, served = Caller(), engine.served["moods"]
    before = engine.stats.snapshot().models.rows
    many = [f"{number} " * 400 for number in range(100)]
    with ThreadPoolExecutor(1) as pool:

        def call() -> None:
            with engine.admitted_for_several(["moods", "topics", "others"], many, 512, caller) as admitted:
                admitted.run()

        waiting = pool.submit(call)
        while not engine.num_queued_texts:
            assert not waiting.done()
        caller.leave()
        with pytest.raises(CancelledError):
            waiting.result(WAIT_S)
    run(engine, ["moods"], ["next"])
    assert engine.num_queued_texts == 0
    assert engine.stats.snapshot().models.rows - before < 300
    assert served.budget.cost.max_batch_tokens > 1


def test_a_text_that_one_model_fails_on_is_answered_by_the_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = engine.served["moods"].model.forward
    logits = forward.logits

    def failing(rows: Any) -> torch.Tensor:
        raise RuntimeError("poison") if rows.num_rows == 1 else logits(rows)

    monkeypatch.setattr(forward, "logits", failing)
    with pytest.raises(ForwardPassError):
        run(engine, ["topics", "moods"], ["poison to one of them"])
    assert len(run(engine, ["topics", "others"], ["poison to one of them"])) == 2


def test_the_memory_that_one_model_lacks_costs_no_other_its_budget(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = engine.served["moods"].model.forward
    logits = forward.logits
    full = {name: served.budget.cost.max_batch_tokens for name, served in engine.served.items()}

    def small(rows: Any) -> torch.Tensor:
        if rows.num_rows > 2:
            raise torch.OutOfMemoryError
        return logits(rows)

    monkeypatch.setattr(forward, "logits", small)
    answers = run(engine, ["moods", "topics"], [f"text number {number}" for number in range(9)])
    assert len(answers["moods"]) == len(answers["topics"]) == 9
    now = {name: served.budget.cost.max_batch_tokens for name, served in engine.served.items()}
    assert now["moods"] < full["moods"]
    assert (now["topics"], now["others"]) == (full["topics"], full["others"])


def test_a_model_that_cannot_be_loaded_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    missing = source("topics", tmp_path / "nowhere")
    with pytest.raises(ModelLoadError, match=r"^Analysis 'topics': .*nowhere' is not there: no such folder"):
        Engine.start(*source("moods", folders["moods"]), further=[missing])
