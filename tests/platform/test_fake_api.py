"""The stand-in for the API server refuses what the server refuses."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest
from substrateinterface import Keypair

from tests.platform.fake_api import Account, FakeApi, Rejected, UploadedImage

CORD = {
    "method": "POST", "path": "/answer", "public_api_path": "/an-answer", "public_api_method": "POST", "stream": False,
    "function": "answer", "input_schema": {}, "output_schema": {}, "output_content_type": "application/json",
    "minimal_input_schema": None, "passthrough": False,
}  # fmt: skip
CHUTE = {
    "name": "batch-processor", "image": "built", "public": False, "code": "x = 1", "filename": "chute.py",
    "ref_str": "chute:chute", "node_selector": {"gpu_count": 1, "min_vram_gb_per_gpu": 16}, "cords": [CORD], "jobs": [],
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
        {"node_selector": {"gpu_count": 1, "min_vram_gb_per_gpu": 12}},
        {"cords": []},
        {"cords": [CORD | {"path": "/an-answer"}]},
        {"cords": [CORD | {"public_api_path": "/an answer"}]},
        {"cords": [CORD | {"public_api_method": "DELETE"}]},
    ],
    ids=str,
)
def test_a_chute_that_breaks_a_rule(api: FakeApi, change: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        deploy(api, change)
    assert not api.chutes


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
    with pytest.raises(Rejected, match="other than yourself"):
        api.create_image(form | {"username": b"someone", "dockerfile": b"FROM x"})
