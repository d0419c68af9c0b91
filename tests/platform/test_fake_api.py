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

from platform_rules.chute_args import ChuteArgs, SelectorArgs
from platform_rules.gpus import GPUS
from platform_rules.refusals import placement_refusal
from rehearsal.account import Account
from rehearsal.demand import Demand
from rehearsal.fake_api import FakeApi
from rehearsal.forge import Forge, UploadedImage
from rehearsal.rejections import Rejected
from tests.clock import Clock
from tests.platform.deploying import CHUTE, CORD


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


REFUSED = [
    (422, {"name": "ab"}),
    (400, {"name": "batch processor"}),
    (422, {"tagline": "a" * 1025}),
    (422, {"readme": "a" * 16_385}),
    (400, {"code": "def"}),
    (422, {"code": "#" * 150_001}),
    (400, {"filename": "Batch-Processor.py"}),
    (400, {"ref_str": "batch-processor:chute"}),
    (422, {"concurrency": 257}),
    (422, {"max_instances": 101}),
    (422, {"scaling_threshold": 1.5}),
    (400, {"public": True}),
    (400, {"image": "not-built"}),
    (422, {"node_selector": {"gpu_count": 1, "min_vram_gb_per_gpu": 12, "include": ["pro_6000"]}}),
    (422, {"node_selector": {"gpu_count": 1, "include": ["pro_6001"]}}),
    (400, {"node_selector": {"gpu_count": 2, "include": ["pro_6000"]}}),
    (400, {"node_selector": {"gpu_count": 1, "include": ["h100"]}}),
    (400, {"node_selector": {"gpu_count": 1, "include": ["pro_6000", "h100"]}}),
    (400, {"node_selector": {"gpu_count": 1}}),
    (500, {"node_selector": {"gpu_count": 1, "include": ["pro_6000"], "max_hourly_price_per_gpu": 1.79}}),
    (500, {"node_selector": {"gpu_count": 1, "include": ["PRO_6000"]}}),
    (400, {"tee": False}),
    (400, {"name": "not-a-tee", "tee": False}),
    (400, {"cords": []}),
    (400, {"cords": [CORD | {"path": "/an-answer"}]}),
    (400, {"cords": [CORD | {"public_api_path": "/an answer"}]}),
    (400, {"cords": [CORD | {"public_api_path": "/Evidence"}]}),
    (400, {"cords": [CORD | {"public_api_method": "TRACE"}]}),
    (400, {"cords": [CORD | {"public_api_method": None}]}),
    (400, {"jobs": [{"name": "a-job"}]}),
    (403, {"name": "my-glyph-reader"}),
]


@pytest.mark.parametrize(("status", "change"), REFUSED, ids=str)
def test_a_chute_that_breaks_a_rule(api: FakeApi, status: int, change: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as rejection:
        deploy(api, change)
    assert rejection.value.status == status
    assert not api.chutes
    assert api.balance == 100


def test_what_the_tables_refuse_is_a_400_first_and_the_servers_failure_in_an_update(api: FakeApi) -> None:
    with pytest.raises(Rejected, match="Validation failure: Invalid entrypoint filename") as rejection:
        deploy(api, {"filename": "A.py"})
    assert rejection.value.status == 400
    deploy(api, {})
    with pytest.raises(Rejected) as rejection:
        deploy(api, {"code": "x = 2", "filename": "A.py"})
    assert (rejection.value.status, rejection.value.detail) == (500, "Internal Server Error")


def test_an_update_needs_a_balance_too(api: FakeApi) -> None:
    deploy(api, {})
    api.balance = 0.0
    with pytest.raises(
        Rejected, match=r"fee, based on your node selector, is \$0\.0, but you have a balance"
    ) as rejection:
        deploy(api, {"code": "x = 2"})
    assert rejection.value.status == 402


def test_the_first_of_several_reasons_is_the_servers_first(api: FakeApi) -> None:
    everything = {"tee": True, "name": "TEE-glyph", "public": True, "image": "nowhere", "cords": []}
    selector = {"gpu_count": 2, "include": ["pro_6000"], "max_hourly_price_per_gpu": 1.0}
    mends: list[tuple[str, dict[str, Any]]] = [
        ("registered miner", {"name": "a-tee", "tee": False}),
        ("Avoid using 'TEE'", {"name": "another", "tee": True}),
        ("TEE private deployments are limited", {"tee": False}),
        ("no longer supports public", {"public": False}),
        ("image not found", {"image": "built"}),
        ("Only TEE chutes", {"tee": True, "node_selector": selector | {"gpu_count": 1}}),
        ("Internal Server Error", {"node_selector": CHUTE["node_selector"]}),
        ("at least one cord", {"cords": [CORD]}),
    ]
    chute = everything | {"node_selector": selector}
    for sentence, mend in mends:
        with pytest.raises(Rejected, match=sentence):
            deploy(api, chute)
        chute |= mend
    deploy(api, chute)


def test_24_a_day_come_after_what_ordinary_users_may_not_and_before_the_rest(api: FakeApi) -> None:
    api.deployments = [{}] * 24
    with pytest.raises(Rejected, match="registered miner"):
        deploy(api, {"name": "affine"})
    with pytest.raises(Rejected, match="24 chutehistorys"):
        deploy(api, {"public": True})


def test_an_image_with_an_old_sdk_cannot_be_deployed(api: FakeApi) -> None:
    api.images["built"].chutes_version = "0.3.60"
    with pytest.raises(Rejected, match=r"chutes version < 0\.3\.61"):
        deploy(api, {})


def test_all_names_of_gpus_that_the_platform_has_are_known() -> None:
    assert len(GPUS) == 27
    selector = SelectorArgs(include=sorted(GPUS))
    assert selector.supported_gpus() == set(GPUS)


def test_a_concurrency_below_0_is_nobodys_concern(api: FakeApi) -> None:
    deploy(api, {"concurrency": -1})


def test_a_path_may_have_capitals_and_a_name_is_the_same_in_any_case(api: FakeApi) -> None:
    deploy(api, {"cords": [CORD | {"path": "/Answer", "public_api_path": "/An-Answer"}]})
    # The same chute: no fee a second time.
    deploy(api, {"name": "Batch-Processor", "code": "x = 2"}, accept_fee=False)
    assert len(api.chutes) == 1


def test_a_chute_is_deleted_by_its_id_only(api: FakeApi) -> None:
    chute_id = deploy(api, {})["chute_id"]
    with pytest.raises(Rejected, match=r"Must use chute UUID to delete\."):
        api.delete_chute("batch-processor")
    api.delete_chute(chute_id)
    assert not api.chutes


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
    api.account.authenticate(good, b"body", "chutes")
    for headers, body in [
        (good, b"another body"),
        (good | {"x-chutes-signature": "00" * 64}, b"body"),
        (signed(api.account, b"body", str(int(now) - 3600)), b"body"),
        (signed(stranger, b"body", now), b"body"),
        ({}, b"body"),
    ]:
        with pytest.raises(Rejected) as rejection:
            api.account.authenticate(headers, body, "chutes")
        assert rejection.value.status == 401


FORM = dict.fromkeys(("wait", "readme", "logo_id", "image", "build_context"), b"x") | {
    "username": b"rehearsal", "public": b"False", "name": b"batch-processor", "tag": b"0.1.0-0123456789ab",
    "dockerfile": b"FROM parachutes/python:3.12\nRUN make",
}  # fmt: skip


def test_why_an_image_is_refused(api: FakeApi) -> None:
    api.images.clear()
    for form, version, status, sentence in [
        ({"username": b"someone"}, "0.6.9", 401, "other than yourself"),
        ({}, "0.3.60", 400, r"version >= 0\.3\.61"),
        ({"name": b"a" * 66}, "0.6.9", 500, "Internal Server Error"),
        ({"tag": b"a" * 34}, "0.6.9", 500, "Internal Server Error"),
        ({"tag": b"a b"}, "0.6.9", 500, "Internal Server Error"),
    ]:
        with pytest.raises(Rejected, match=sentence) as rejection:
            api.create_image(FORM | form, version)
        assert rejection.value.status == status
    with pytest.raises(Rejected, match=r"^You must have a balance of >= \$50 to create images\.$"):
        replace(api, balance=49.0).create_image(dict(FORM))
    api.create_image(dict(FORM))
    with pytest.raises(Rejected, match=r"name='batch-processor' and tag='0\.1\.0-0123456789ab' aready exists"):
        api.create_image(dict(FORM))


def test_an_image_is_built_after_a_while(api: FakeApi) -> None:
    clock = Clock()
    api.forge = Forge(pending_s=30, building_s=300, clock=clock)
    image = api.create_image(dict(FORM))
    seen = [(image["status"], 0)]
    for _ in range(4):
        clock.now += 100
        built = api.image("batch-processor:0.1.0-0123456789ab")
        seen.append((api.forge.status(built), len(api.forge.log(built))))
    assert [status for status, _ in seen] == ["pending build", *["building"] * 3, "built and pushed"]
    assert [number for _, number in seen] == sorted(number for _, number in seen)
    assert api.forge.log(built)[-1] == "image signed"


def test_a_failed_build_says_why_and_stays_until_it_is_deleted(api: FakeApi) -> None:
    api.forge.fault = lambda _: "no matching distribution for torch==9"
    image_id = api.create_image(dict(FORM))["image_id"]
    assert api.get_image(image_id)["status"] == "error: no matching distribution for torch==9"
    assert api.forge.log(api.image(image_id))[-1] == "image build FAILED"
    with pytest.raises(Rejected, match="aready exists"):
        api.create_image(dict(FORM))
    api.delete_image(image_id)
    api.create_image(dict(FORM))


def test_an_image_in_use_cannot_be_deleted(api: FakeApi) -> None:
    deploy(api, {})
    with pytest.raises(Rejected, match="in use by one or more chutes") as rejection:
        api.delete_image("built")
    assert rejection.value.status == 409


@pytest.mark.parametrize("line", ["FROM python:3.12", "RUN pip install numpy>=1.24"])
def test_what_cannot_be_built_or_is_nobodys_intention(api: FakeApi, line: str) -> None:
    status = api.create_image(FORM | {"dockerfile": f"FROM parachutes/x\n{line}".encode()})["status"]
    assert status.startswith("error: ")


def test_a_warm_up_asks_for_an_instance_each_time_it_looks(api: FakeApi) -> None:
    clock = Clock()
    api.new_demand = lambda: Demand(cold_for_s=1200, shutdown_after_s=600, clock=clock)
    deploy(api, {})
    assert not api.get_chute("batch-processor")["hot"]
    clock.now += 3600
    assert not api.get_chute("batch-processor")["hot"], "to look is not to ask"
    assert api.warm_up("batch-processor")["status"] == "cold"
    clock.now += 1200
    assert api.warm_up("batch-processor")["instance_count"] == 1
    # Whoever leaves a watcher running has it started again after each idle shutdown.
    for _ in range(360):
        clock.now += 10
        api.warm_up("batch-processor")
    assert api.chutes["batch-processor"].demand.num_starts == 3
    api.balance = 0.0
    with pytest.raises(Rejected, match="balance is") as rejection:
        api.warm_up("batch-processor")
    assert rejection.value.status == 402


def test_start_up_logs_are_kept_for_four_hours_for_their_owner(api: FakeApi) -> None:
    clock = Clock()
    api.logs.clock = clock
    chute_id = deploy(api, {})["chute_id"]
    instance_id = api.logs.capture(chute_id, [f"line {number}" for number in range(25)])
    (session,) = api.log_sessions(chute_id)
    assert (session["instance_id"], session["chunk_count"]) == (instance_id, 3)
    assert len(api.log_chunks(chute_id, instance_id)["chunks"]) == 3
    with pytest.raises(Rejected, match="does not belong to you"):
        api.log_sessions("batch-processor")
    with pytest.raises(Rejected, match="No encrypted logs found for this instance"):
        api.log_chunks(chute_id, "another")
    clock.now += 4 * 3600
    assert api.log_sessions(chute_id) == []


def test_evidence_is_asked_for_with_a_nonce_of_64_hex_digits(api: FakeApi) -> None:
    deploy(api, {})
    api.warm_up("batch-processor")
    assert len(api.evidence("batch-processor", "0" * 64)["evidence"]) == 1
    with pytest.raises(Rejected, match="64 hex"):
        api.evidence("batch-processor", "0" * 63)
