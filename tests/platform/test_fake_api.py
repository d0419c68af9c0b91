"""The stand-in for the API server refuses what the server refuses."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from substrateinterface import Keypair

from platform_rules.chute_args import ChuteArgs
from platform_rules.refusals import placement_refusal
from rehearsal.fake_api import Account, FakeApi, Rejected, UploadedImage

CORD = {
    "method": "POST", "path": "/answer", "public_api_path": "/an-answer", "public_api_method": "POST", "stream": False,
    "function": "answer", "input_schema": {}, "output_schema": {}, "output_content_type": "application/json",
    "minimal_input_schema": None, "passthrough": False,
}  # fmt: skip
CHUTE = {
    "name": "batch-processor", "image": "built", "public": False, "code": "x = 1", "filename": "chute.py",
    "ref_str": "chute:chute", "node_selector": {"gpu_count": 1, "include": ["pro_6000"]}, "cords": [CORD], "jobs": [],
    "tee": True,
}  # fmt: skip


@pytest.fixture
def api() -> FakeApi:
    return FakeApi(Account.create("rehearsal"), images={"built": UploadedImage("built", "", b"")})


def deploy(api: FakeApi, change: dict[str, Any], accept_fee: bool = True) -> dict[str, Any]:
    return api.create_chute(json.dumps(CHUTE | change).encode(), accept_fee)


def test_the_fee_is_accepted_once_and_a_version_deployed_once(api: FakeApi) -> None:
    with pytest.raises(Rejected, match="--accept-fee"):
        deploy(api, {}, accept_fee=False)
    deploy(api, {})
    with pytest.raises(Rejected, match="already exists"):
        deploy(api, {})
    deploy(api, {"code": "x = 2"}, accept_fee=False)
    assert api.balance == pytest.approx(100 - 3 * 1.80)
    api.balance = 5.40
    with pytest.raises(Rejected, match=r"balance of 5\.4"):
        deploy(api, {"name": "another"})


@pytest.mark.parametrize(
    "change",
    [
        {"name": "ab"},
        {"name": "batch processor"},
        {"tagline": "a" * 1025},
        {"readme": "a" * 16_385},
        {"code": "def"},
        {"code": "#" * 150_001},
        {"filename": "Batch-Processor.py"},
        {"ref_str": "batch-processor:chute"},
        {"concurrency": 257},
        {"max_instances": 101},
        {"scaling_threshold": 1.5},
        {"public": True},
        {"image": "not-built"},
        {"node_selector": {"gpu_count": 1, "min_vram_gb_per_gpu": 12, "include": ["pro_6000"]}},
        {"node_selector": {"gpu_count": 1, "include": ["pro_6001"]}},
        {"node_selector": {"gpu_count": 2, "include": ["pro_6000"]}},
        {"node_selector": {"gpu_count": 1, "include": ["h100"]}},
        {"node_selector": {"gpu_count": 1, "include": ["pro_6000", "h100"]}},
        {"node_selector": {"gpu_count": 1}},
        {"node_selector": {"gpu_count": 1, "include": ["pro_6000"], "max_hourly_price_per_gpu": 1.79}},
        {"tee": False},
        {"name": "not-a-tee", "tee": False},
        {"cords": []},
        {"cords": [CORD | {"path": "/an-answer"}]},
        {"cords": [CORD | {"public_api_path": "/an answer"}]},
        {"cords": [CORD | {"public_api_path": "/Evidence"}]},
        {"cords": [CORD | {"public_api_method": "TRACE"}]},
        {"jobs": [{"name": "a-job"}]},
    ],
    ids=str,
)
def test_a_chute_that_breaks_a_rule(api: FakeApi, change: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        deploy(api, change)
    assert not api.chutes


def test_capital_letters_are_as_good_as_small_ones(api: FakeApi) -> None:
    selector = {"gpu_count": 1, "include": ["PRO_6000"]}
    deploy(api, {"node_selector": selector, "cords": [CORD | {"path": "/Answer", "public_api_path": "/An-Answer"}]})
    # The same chute: no fee a second time.
    deploy(api, {"name": "Batch-Processor", "code": "x = 2"}, accept_fee=False)
    assert len(api.chutes) == 1


def test_where_a_chute_runs_is_settled_by_its_first_deployment() -> None:
    # A chute from before only one GPU was allowed, on the two that it asked for then.
    before = ChuteArgs.model_validate(CHUTE | {"node_selector": {"gpu_count": 2, "include": ["pro_6000"]}})
    after = ChuteArgs.model_validate(CHUTE)
    refusal = placement_refusal(before, after)
    assert refusal
    assert refusal.detail == "Cannot change node selector placement constraints on a TEE chute"
    assert placement_refusal(after, after) is None


def test_a_deployed_chute_can_only_be_moved_by_deleting_it(api: FakeApi) -> None:
    chute_id = deploy(api, {})["chute_id"]
    two_gpus = ChuteArgs.model_validate(CHUTE | {"node_selector": {"gpu_count": 2, "include": ["pro_6000"]}})
    api.chutes["batch-processor"] = replace(api.chutes["batch-processor"], args=two_gpus)
    with pytest.raises(Rejected, match="Cannot change node selector placement"):
        deploy(api, {"code": "x = 2"})
    api.delete_chute(chute_id)
    deploy(api, {"code": "x = 2"})


def test_a_commit_from_before_tee_cannot_be_rolled_back_to(api: FakeApi) -> None:
    deploy(api, {})
    with pytest.raises(Rejected, match="Only TEE chutes are supported"):
        deploy(api, {"code": "x = 0", "tee": False})


def test_a_slug_that_is_taken_gets_a_suffix(api: FakeApi) -> None:
    assert deploy(api, {})["slug"] == "rehearsal-batch-processor"
    api.taken_slugs.add("rehearsal-another")
    slug = deploy(api, {"name": "another"})["slug"]
    assert re.fullmatch(r"rehearsal-another-[a-z0-9]{5}", slug)
    assert api.get_chute("another")["slug"] == slug


def test_24_deployments_a_day(api: FakeApi) -> None:
    for number in range(24):
        deploy(api, {"code": f"x = {number}"})
    with pytest.raises(Rejected, match="24 chutehistorys per 24 hours") as rejection:
        deploy(api, {"code": "x = 24"})
    assert rejection.value.status == 429


def signed(account: Account, body: bytes, nonce: str) -> dict[str, str]:
    message = f"{account.address}:{nonce}:{hashlib.sha256(body).hexdigest()}"
    signature = Keypair.create_from_seed("0x" + account.hotkey_seed).sign(message.encode()).hex()
    return {
        "x-chutes-hotkey": account.address, "x-chutes-userid": account.user_id, "x-chutes-nonce": nonce,
        "x-chutes-signature": signature,
    }  # fmt: skip


def test_only_what_the_account_has_signed_just_now_is_taken(api: FakeApi) -> None:
    now, stranger = str(int(time.time())), Account.create("rehearsal")
    good = signed(api.account, b"body", now)
    api.authenticate(good, b"body", "chutes")
    for headers, body in [
        (good, b"another body"),
        (good | {"x-chutes-signature": "00" * 64}, b"body"),
        (signed(api.account, b"body", str(int(now) - 3600)), b"body"),
        (signed(stranger, b"body", now), b"body"),
        ({}, b"body"),
    ]:
        with pytest.raises(Rejected) as rejection:
            api.authenticate(headers, body, "chutes")
        assert rejection.value.status == 401


def test_a_requirement_that_the_shell_would_take_for_a_redirect(api: FakeApi) -> None:
    form = dict.fromkeys(("wait", "name", "readme", "logo_id", "tag", "image", "build_context"), b"x")
    form |= {"username": b"rehearsal", "public": b"False", "dockerfile": b"FROM x\nRUN pip install numpy>=1.24"}
    with pytest.raises(Rejected, match="redirect"):
        api.create_image(dict(form))
    with pytest.raises(Rejected, match="balance of >= "):
        replace(api, balance=49.0).create_image(form | {"dockerfile": b"FROM x"})
    with pytest.raises(Rejected, match="other than yourself"):
        api.create_image(form | {"username": b"someone", "dockerfile": b"FROM x"})
