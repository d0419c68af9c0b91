"""From a clean clone to an instance that serves, with the SDK's own commands. Tests play the platform's part."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rehearsal.deployment import Deployer
from rehearsal.fake_api import Account, FakeApi, UploadedImage, running_fake_api
from rehearsal.image_layout import lay_out_image
from rehearsal.instance_user import command_prefix, give, need_another_user, write_as_user
from rehearsal.ports import free_port
from rehearsal.running import wait_for_port


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
    """The chute with the bundled model, built and deployed."""
    with running_fake_api(Account.create("rehearsal")) as api:
        deployer = Deployer(
            tmp_path_factory.mktemp("deployer"),
            api,
            BATCH_PROCESSOR_MODEL="bundled",
            BATCH_PROCESSOR_DEVICE="cpu",
            BATCH_PROCESSOR_CONCURRENCY="16",
            BATCH_PROCESSOR_MAX_INSTANCES="2",
        )
        built = deployer.chutes("build", "batch_processor:chute")
        assert len(api.images) == 1, built
        deployed = deployer.chutes("deploy", "batch_processor:chute", "--accept-fee")
        assert len(api.deployments) == 1, deployed
        yield Deployment(api, deployer, next(iter(api.images.values())), api.deployments[0], built + deployed)


@contextmanager
def instance_of(
    image: UploadedImage, chute: dict[str, Any], folder: Path, without: str = "-", **environment: str
) -> Iterator[httpx.Client]:
    """Start an instance as the platform would, but in dev mode; `without` is the start of directives to leave out.

    Raises:
        PermissionError: the instance's user may not write the chute's file.
        AssertionError: with its log, if it does not start.
    """
    dockerfile = "\n".join(line for line in image.dockerfile.splitlines() if not line.startswith(without))
    laid_out = lay_out_image(dockerfile, image.build_context, folder)
    # The SDK writes the deployed file, last of all and over whatever the image has.
    write_as_user(laid_out.app / chute["filename"], chute["code"])
    port, log = free_port(), folder / "log"
    command = [*command_prefix(), str(laid_out.python), "-m", "chutes.cli", "run", chute["ref_str"], "--dev"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--logging-port", str(free_port())]
    # As the platform starts it: the image's variables, its own over them, and none of the deployer's.
    environment = {
        "PATH": os.environ["PATH"],
        **laid_out.environment,
        "CHUTES_EXECUTION_CONTEXT": "REMOTE",
        "HF_HOME": str(give(folder / "cache")),
        "HOME": str(give(folder / "home")),
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=laid_out.app, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for_port(process, port, log)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                yield client
        finally:
            process.kill()
            process.wait()
            assert not list(laid_out.app.rglob("*.pyc"))


def test_the_deployed_instance_serves(deployment: Deployment, tmp_path: Path) -> None:
    # No bytecode anywhere: the platform deletes it from the image, and everything is compiled anew at each start.
    with instance_of(
        deployment.image, deployment.chute, tmp_path, PYTHONPYCACHEPREFIX=str(tmp_path / "none")
    ) as client:
        batch = client.post("/process-batch", json={"texts": ["I love this!", "What a waste of money."]}).json()
        assert [result["sentiment"] for result in batch["results"]] == ["POSITIVE", "NEGATIVE"]
        assert client.get("/batch-stats").json()["model"] == "bundled"


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
NO_GPU = "No supported GPUs based on node selector!"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"BATCH_PROCESSOR_TEE": "false"}, TEE_REQUIRED),
        ({"BATCH_PROCESSOR_GPU_COUNT": "2"}, UNSUPPORTED),
        ({"BATCH_PROCESSOR_GPU": "h200"}, UNSUPPORTED),
        ({"BATCH_PROCESSOR_MAX_HOURLY_PRICE": "1.50"}, NO_GPU),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_settings_that_the_server_refuses(deployment: Deployment, settings: dict[str, str], sentence: str) -> None:
    deployment.deployer.chutes("build", "batch_processor:chute", **settings)
    printed = deployment.deployer.chutes("deploy", "batch_processor:chute", "--accept-fee", **settings)
    assert sentence in printed
    assert len(deployment.api.deployments) == 1


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


@pytest.mark.parametrize(
    "forgotten",
    [
        "batch_inference/*.py",
        "batch_inference/forward/*.py",
        "batch_http/*.py",
        "schemas.py",
        "image.py",
        "models/tiny-sentiment/*",
    ],
)
def test_a_file_forgotten_in_the_image_is_caught(deployment: Deployment, tmp_path: Path, forgotten: str) -> None:
    assert f"ADD {forgotten} " in deployment.image.dockerfile
    with (
        pytest.raises(AssertionError, match="the instance did not start") as failure,
        instance_of(deployment.image, deployment.chute, tmp_path, without=f"ADD {forgotten} "),
    ):
        pass
    name = forgotten.partition("/")[0].removesuffix(".py")
    reason = "cannot be loaded" if name == "models" else f"No module named '{name}"
    assert reason in str(failure.value)


def test_a_folder_that_is_roots_is_caught(deployment: Deployment, tmp_path: Path) -> None:
    need_another_user()
    with (
        pytest.raises(PermissionError, match=r"may not write .*/app/batch_processor\.py"),
        instance_of(deployment.image, deployment.chute, tmp_path, without="RUN mkdir "),
    ):
        pass
