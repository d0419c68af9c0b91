"""`make preflight` says before the upload what the server would say after it."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_classification.settings import ClassifierSettings
from platform_rules.chute_args import ChuteArgs
from platform_rules.gpus import LAST_KNOWN_PRICES, published_prices
from platform_rules.refusals import image_refusal, refusals
from rehearsal.deployment import Deployer
from rehearsal.dev_server import ROOT
from tests.platform.deploying import CHUTE
from tools.hub import needs_token


@pytest.fixture(scope="module")
def preflight(deployer: Deployer) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs the tool; gives its exit code, and all that it printed."""

    def run(*arguments: str, **settings: str) -> tuple[int, str]:
        return deployer.run("tools.preflight", *arguments, **settings)

    # It prints how large they are, and looks at no more than their first bytes, all that the deployer's clone has.
    for weights in deployer.clone.glob("models/*/*.safetensors"):
        os.truncate(weights, (ROOT / weights.relative_to(deployer.clone)).stat().st_size)
    yield run
    deployer.cut_weights()


def test_what_will_be_deployed_and_what_it_costs(preflight: Callable[..., tuple[int, str]]) -> None:
    code, printed = preflight("--rate", "4000", BATCH_PROCESSOR_ANALYSES="emotion=org/feelings@abc123")
    assert code == 0
    for part in [
        "rehearsal/batch-processor:0.1.0-",
        "batch_inference/engine.py",
        "1 x pro_6000, trusted",
        "POST /process-batch-stream, a stream",
        "POST /text-classification/emotion",
        "sentiment: bundled, 0.02 GiB of weights",
        "emotion: org/feelings@abc123, of unknown size",
        'BATCH_PROCESSOR_ANALYSES="emotion=org/feelings@abc123"',
        "BATCH_PROCESSOR_DEVICE=cuda",
        "last known, of June 2026",
        "$5.40 for the first deployment",
        "$1.80 an hour",
        "$0.30 for the 600 s",
        "$0.125 per million texts at 4000 texts/s",
    ]:
        assert part in printed, part
    assert "second instance" not in printed
    last = printed.strip().splitlines()
    assert last[-4] == "  make deploy"
    assert [line.split()[1] for line in last[-2:]] == ["build", "deploy"]


def test_each_rule_that_is_broken_gets_a_sentence(preflight: Callable[..., tuple[int, str]]) -> None:
    code, printed = preflight(
        BATCH_PROCESSOR_TEE="false",
        BATCH_PROCESSOR_MAX_HOURLY_PRICE="1.50",
        BATCH_PROCESSOR_USERNAME="myuser",
        BATCH_PROCESSOR_CHUTE_NAME="leoma." + "a" * 57,
    )
    assert code == 1
    assert printed.splitlines()[-5:] == [
        "The platform would refuse this, for 4 reason(s):",
        "  BATCH_PROCESSOR_USERNAME is not set: the image and the chute must be your own.",
        f"  The name 'leoma.{'a' * 57}' contains 'leoma', which is for the miners of that subnet: take another.",
        "  Only TEE chutes are supported as of 2026-05-12, please set tee=True",
        "  No GPU is below MAX_HOURLY_PRICE=1.50 (pro_6000 costs $1.80 an hour): raise or unset it.",
    ]
    assert "make deploy" not in printed


def test_gpus_that_are_not_to_be_had(preflight: Callable[..., tuple[int, str]]) -> None:
    limited = "TEE private deployments are limited at this time due to infrastructure capacity limitations."
    assert limited in preflight(BATCH_PROCESSOR_GPU_COUNT="2")[1]
    for known in ("h200", "B300", "5090"):
        assert limited in preflight(BATCH_PROCESSOR_GPU=known)[1]
    assert "Invalid GPU identifiers: {'pro_6001'}" in preflight(BATCH_PROCESSOR_GPU="pro_6001")[1]


def test_the_gpu_in_capitals_and_further_instances(preflight: Callable[..., tuple[int, str]]) -> None:
    code, printed = preflight(BATCH_PROCESSOR_GPU="PRO_6000", BATCH_PROCESSOR_MAX_INSTANCES="3")
    assert code == 0
    assert "BATCH_PROCESSOR_GPU=pro_6000\n" in printed
    assert "$1.89 at least for a second instance: it lives 63 minutes" in printed


def test_names_and_tags_of_images() -> None:
    assert image_refusal("batch-processor", "0.1.0-0123456789ab") is None
    for name, tag in [("ab", "0.1.0"), ("-abc", "0.1.0"), ("a" * 66, "0.1.0"), ("abc", "1"), ("abc", "a" * 34)]:
        refusal = image_refusal(name, tag)
        assert refusal
        assert refusal.status == 500
        assert "must have" in refusal.sentence


def test_a_cap_is_held_against_the_published_price() -> None:
    chute = ChuteArgs.model_validate(
        CHUTE | {"node_selector": {"include": ["pro_6000"], "max_hourly_price_per_gpu": 1.9}}
    )
    assert not list(refusals(chute))
    (refusal,) = refusals(chute, LAST_KNOWN_PRICES | {"pro_6000": 2.0})
    assert refusal.sentence.startswith("No GPU is below MAX_HOURLY_PRICE=1.90 (pro_6000 costs $2.00 an hour)")


@pytest.mark.parametrize(
    ("change", "beginnings"),
    [
        ({"name": "my-glyph-affine-reader"}, ["The name 'my-glyph-affine-reader' contains 'affine'"]),
        ({"tee": False}, ["Only TEE chutes are supported"]),
        (
            {"node_selector": {"include": ["pro_6000"], "exclude": ["a40", "a100", "h100", "h200", "b200", "l40"]}},
            ["Maximum of 5 GPUs can be included in the `exclude` field"],
        ),
        ({"node_selector": {"include": ["PRO_6000"]}}, ["The server fails on GPU names in capitals: PRO_6000."]),
        (
            {"node_selector": {"include": ["pro_6000"], "min_vram_gb_per_gpu": 140}},
            ["No GPU satisfies the node selector."],
        ),
        (
            {"standard_template": "sglang", "filename": "A.py", "public": True},
            [
                "Chutes no longer supports public chutes.",
                "Validation failure: Invalid standard template: sglang",
                "Validation failure: Invalid entrypoint filename: 'A.py'",
            ],
        ),
    ],
    ids=str,
)
def test_every_reason_is_named_and_no_other(change: dict[str, Any], beginnings: list[str]) -> None:
    sentences = [refusal.sentence for refusal in refusals(ChuteArgs.model_validate(CHUTE | change))]
    assert len(sentences) == len(beginnings)
    assert all(map(str.startswith, sentences, beginnings)), sentences


def test_the_published_prices_win_over_the_last_known_ones() -> None:
    published = published_prices({"gpu_price_estimates": {"pro_6000": {"usd": {"hour": 1.5}}}})
    assert published == LAST_KNOWN_PRICES | {"pro_6000": 1.5}
    for answer in [[], {}, {"gpu_price_estimates": {"pro_6000": {}}}, "<html>"]:
        with pytest.raises(ValueError, match="not a list of prices"):
            published_prices(answer)


def test_a_model_in_a_folder_of_this_machine_is_refused(
    preflight: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, printed = preflight(BATCH_PROCESSOR_MODEL=str(tmp_path))
    assert code == 1
    assert f"BATCH_PROCESSOR_MODEL='{tmp_path}' is a folder of this machine" in printed
    assert "upload it to the hub and set its hub id" in printed


def test_a_private_repository_needs_a_token() -> None:
    class Hub(http.server.BaseHTTPRequestHandler):
        """Shows one model to all, one to those who were let in, and says of all others what it says of private ones."""

        def do_GET(self) -> None:
            shown = {"org/open": False, "org/gated": "manual"}
            name = self.path.removeprefix("/api/models/").partition("?")[0]
            assert "authorization" not in self.headers
            self.send_response(200 if name in shown else 401)
            if name not in shown:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            self.wfile.write(json.dumps({"id": name, "gated": shown.get(name)}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{hub.server_port}"
        asked = ["org/open", "org/gated", "org/private", "bundled"]
        assert [needs_token(ClassifierSettings(model=name), url) for name in asked] == [False, True, True, False]
        hub.shutdown()
    assert not needs_token(ClassifierSettings(model="org/private"), url)
