"""What the tests of this folder deploy by hand, or with `make deploy`."""

from __future__ import annotations

import json
from typing import Any

from rehearsal.deployment import Deployer
from rehearsal.fake_api import FakeApi
from rehearsal.forge import UploadedImage

CORD = {
    "method": "POST", "path": "/answer", "public_api_path": "/an-answer", "public_api_method": "POST", "stream": False,
    "function": "answer", "input_schema": {}, "output_schema": {}, "output_content_type": "application/json",
    "minimal_input_schema": None, "passthrough": False,
}  # fmt: skip
CHUTE = {
    "name": "batch-processor", "image": "built", "public": False, "code": "x = 1", "filename": "chute.py",
    "ref_str": "chute:chute", "node_selector": {"gpu_count": 1, "include": ["pro_6000"]}, "cords": [CORD], "jobs": [],
    "tee": True, "shutdown_after_seconds": 600,
}  # fmt: skip


def deployed_by_hand(api: FakeApi, **change: Any) -> dict[str, Any]:
    """Deploy `CHUTE` on the image `built`; what the server answers."""
    api.images.setdefault("built", UploadedImage("built", "FROM parachutes/python:3.12", b"context"))
    return api.create_chute(json.dumps(CHUTE | change).encode(), accept_fee=True)


class Deploying:
    """`make deploy` in a clean clone, against a platform of its own."""

    def __init__(self, deployer: Deployer, api: FakeApi) -> None:
        self.deployer = deployer
        self.api = api

    def __call__(self, *arguments: str, **settings: str) -> tuple[int, str]:
        return self.deployer.run("tests.platform.warm_deploy", *(arguments or ("--yes",)), **settings)
