"""From a clean clone to an instance that serves, with the SDK's own commands. Tests play the platform's part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batch_classification.settings import ClassifierSettings, bundled_analyses
from batch_inference.settings import load_settings
from rehearsal.account import Account
from rehearsal.api_server import running_fake_api
from rehearsal.deployed_instance import instance_of
from rehearsal.deployment import Deployer
from rehearsal.dev_server import ServerNotReadyError
from rehearsal.fake_api import FakeApi
from rehearsal.forge import UploadedImage, no_fault
from rehearsal.instance_user import need_another_user


@dataclass(frozen=True)
class Deployment:
    """What has reached the platform, and what the deployer saw."""

    api: FakeApi
    deployer: Deployer
    image: UploadedImage
    chute: dict[str, Any]
    printed: str


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The chute with all bundled models, built and deployed."""
    with running_fake_api(Account.create("rehearsal")) as api:
        deployer = Deployer(
            tmp_path_factory.mktemp("deployer"),
            api,
            BATCH_PROCESSOR_MODEL="bundled",
            BATCH_PROCESSOR_ANALYSES=bundled_analyses(),
            BATCH_PROCESSOR_DEVICE="cpu",
            BATCH_PROCESSOR_CONCURRENCY="16",
            BATCH_PROCESSOR_MAX_INSTANCES="2",
        )
        built = deployer.chutes("build", "batch_processor:chute")
        assert len(api.images) == 1, built
        deployed = deployer.chutes("deploy", "batch_processor:chute", "--accept-fee")
        assert len(api.deployments) == 1, deployed
        # Of these images an instance is run, of the later ones none.
        deployer.cut_weights()
        yield Deployment(api, deployer, next(iter(api.images.values())), api.deployments[0], built + deployed)


@pytest.mark.parametrize("has_bytecode", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_deployed_instance_serves(deployment: Deployment, tmp_path: Path, has_bytecode: bool) -> None:
    # The platform deletes the bytecode of the packages from the image: all of them are compiled anew at each start.
    without = {} if has_bytecode else {"PYTHONPYCACHEPREFIX": str(tmp_path / "none")}
    with instance_of(deployment.image, deployment.chute, tmp_path, **without) as client:
        batch = client.post("/process-batch", json={"texts": ["I love this!", "What a waste of money."]}).json()
        assert [result["sentiment"] for result in batch["results"]] == ["POSITIVE", "NEGATIVE"]
        stats = client.get("/batch-stats").json()
        assert stats["model"] == "bundled"
        names = load_settings(ClassifierSettings, analyses=bundled_analyses()).analysis_names
        assert list(stats["analyses"]) == names
        analysed = client.post("/process-batch", json={"texts": ["I love this!"], "analyses": names[::-1]}).json()
        assert list(analysed["results"][0]["analyses"]) == names[::-1]
        for name in names:
            [scores] = client.post(f"/text-classification/{name}", json={"inputs": "I love this!"}).json()
            assert {entry["label"].upper() for entry in scores} == set(stats["analyses"][name]["labels"])


def test_what_the_deployer_set_reaches_the_instance(deployment: Deployment) -> None:
    assert deployment.chute["concurrency"] == 16
    assert deployment.chute["max_instances"] == 2
    for name, value in {"MODEL": "bundled", "DEVICE": "cpu", "CONCURRENCY": "16"}.items():
        assert f"ENV BATCH_PROCESSOR_{name}={value}" in deployment.image.dockerfile.splitlines()


def test_it_asks_for_what_the_platform_has(deployment: Deployment) -> None:
    assert deployment.chute["tee"] is True
    selector = deployment.chute["node_selector"]
    assert (selector["gpu_count"], selector["include"]) == (1, ["pro_6000"])


def test_its_address_is_read_from_the_api(deployment: Deployment) -> None:
    printed = deployment.deployer.chutes("chutes", "get", "batch-processor")
    assert f'"slug": "{deployment.api.chutes["batch-processor"].slug}"' in printed


UNSUPPORTED = "TEE private deployments are limited at this time due to infrastructure capacity limitations."
TEE_REQUIRED = "Only TEE chutes are supported as of 2026-05-12, please set tee=True"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"BATCH_PROCESSOR_TEE": "false"}, TEE_REQUIRED),
        ({"BATCH_PROCESSOR_GPU_COUNT": "2"}, UNSUPPORTED),
        pytest.param({"BATCH_PROCESSOR_GPU": "h200"}, UNSUPPORTED, marks=pytest.mark.slow),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_settings_that_the_server_refuses(deployment: Deployment, settings: dict[str, str], sentence: str) -> None:
    deployment.deployer.chutes("build", "batch_processor:chute", **settings)
    printed = deployment.deployer.chutes("deploy", "batch_processor:chute", "--accept-fee", **settings)
    assert sentence in printed
    assert len(deployment.api.deployments) == 1


def test_a_price_cap_below_the_price_ends_the_sdk_with_a_traceback(deployment: Deployment) -> None:
    # `make preflight` and `make deploy` say so before: here is what the bare command does.
    cap = {"BATCH_PROCESSOR_MAX_HOURLY_PRICE": "1.50"}
    deployment.deployer.chutes("build", "batch_processor:chute", **cap)
    code, printed = deployment.deployer.run("chutes.cli", "deploy", "batch_processor:chute", "--accept-fee", **cap)
    assert code == 1
    assert "ContentTypeError" in printed
    assert "No supported GPUs" not in printed
    assert len(deployment.api.deployments) == 1


def test_capital_letters_in_the_gpu_are_as_good_as_small_ones(deployment: Deployment) -> None:
    deployment.deployer.chutes("build", "batch_processor:chute", BATCH_PROCESSOR_GPU="Pro_6000")
    printed = deployment.deployer.chutes("deploy", "batch_processor:chute", BATCH_PROCESSOR_GPU="PRO_6000")
    assert "Successfully deployed" in printed
    assert deployment.api.deployments.pop()["node_selector"]["include"] == ["pro_6000"]


def test_a_failed_build_is_in_the_way_of_the_next_until_it_is_deleted(deployment: Deployment) -> None:
    other, deployer = {"BATCH_PROCESSOR_CONCURRENCY": "17"}, deployment.deployer
    deployment.api.forge.fault = lambda _: "pip could not reach pypi.org"
    before = set(deployment.api.images)
    try:
        # Whatever its log says, the SDK's exit code is 0.
        printed = deployer.chutes("build", "batch_processor:chute", "--wait", **other)
    finally:
        deployment.api.forge.fault = no_fault
    assert "ERROR: pip could not reach pypi.org" in printed
    (failed,) = set(deployment.api.images) - before
    deployment.api.forge.fault = lambda image: "it failed" if image.image_id == failed else None
    code, printed = deployer.run("chutes.cli", "build", "batch_processor:chute", **other)
    assert (code, "already exists!" in printed) == (1, True)
    code, printed = deployer.run("chutes.cli", "deploy", "batch_processor:chute", "--accept-fee", **other)
    assert (code, "not available to be used (yet)!" in printed) == (1, True)
    assert '"status": "error: it failed"' in deployer.chutes("images", "get", failed)
    deployment.api.forge.fault = no_fault
    deployer.chutes("images", "delete", failed)
    deployer.chutes("build", "batch_processor:chute", **other)
    assert failed in deployment.api.images


@pytest.mark.parametrize(
    ("forgotten", "sentence"),
    [('        "tee": settings.tee,\n', TEE_REQUIRED), ("            include=settings.gpus,\n", UNSUPPORTED)],
    ids=["tee", "include"],
)
def test_an_argument_forgotten_in_the_chute_is_caught(deployment: Deployment, forgotten: str, sentence: str) -> None:
    # The SDK's defaults: not trusted, and any GPU.
    with deployment.deployer.edited("image.py", forgotten, ""):
        deployment.deployer.chutes("build", "batch_processor:chute")
        printed = deployment.deployer.chutes("deploy", "batch_processor:chute", "--accept-fee")
    assert sentence in printed
    assert len(deployment.api.deployments) == 1


def test_an_edit_of_the_code_does_not_install_the_packages_anew(deployment: Deployment) -> None:
    # Layers are cached up to the first line or file that changed: code and settings come after the packages.
    directives = deployment.image.dockerfile.splitlines()
    install = next(number for number, line in enumerate(directives) if line.startswith("RUN pip install"))
    before = [line.split()[1] for line in directives[:install] if line.startswith("ADD")]
    assert before == ["requirements.txt", "constraints.txt"]
    assert not [line for line in directives[:install] if line.startswith("ENV BATCH_PROCESSOR_")]


FORGOTTEN = [
    "batch_inference/forward/*.py",
    "models/tiny-sentiment/*",
    *(
        pytest.param(pattern, marks=pytest.mark.slow)
        for pattern in ("batch_inference/*.py", "batch_http/*.py", "schemas.py", "image.py")
    ),
]
"""Directives of the Dockerfile."""


@pytest.mark.parametrize("forgotten", FORGOTTEN)
def test_a_file_forgotten_in_the_image_is_caught(deployment: Deployment, tmp_path: Path, forgotten: str) -> None:
    assert f"ADD {forgotten} " in deployment.image.dockerfile
    with (
        pytest.raises(ServerNotReadyError, match="the server did not start") as failure,
        instance_of(deployment.image, deployment.chute, tmp_path, without=f"ADD {forgotten} "),
    ):
        pass
    name = forgotten.partition("/")[0].removesuffix(".py")
    reason = "is not there: no such folder" if name == "models" else f"No module named '{name}"
    assert reason in str(failure.value)


def test_a_folder_that_is_roots_is_caught(deployment: Deployment, tmp_path: Path) -> None:
    need_another_user()
    with (
        pytest.raises(PermissionError, match=r"may not write .*/app/batch_processor\.py"),
        instance_of(deployment.image, deployment.chute, tmp_path, without="RUN mkdir "),
    ):
        pass
