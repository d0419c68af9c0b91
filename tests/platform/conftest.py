"""Instances that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.account import Account
from rehearsal.api_server import running_fake_api
from rehearsal.deployment import Deployer
from rehearsal.fake_api import FakeApi
from rehearsal.running import Instance, running_instance
from tests.platform.deploying import Deploying


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The chute in production mode, with its default concurrency of 64."""
    with running_instance(tmp_path_factory.mktemp("instance")) as running:
        yield running


@pytest.fixture(scope="session")
def narrow_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The chute with a concurrency of 8: its limit is soon reached, and so are its 9 threads."""
    folder = tmp_path_factory.mktemp("narrow")
    with running_instance(folder, BATCH_PROCESSOR_CONCURRENCY="8") as running:
        yield running


@pytest.fixture(scope="session")
def fake_platform() -> Iterator[FakeApi]:
    """The server; `account_in_use` gives each test a fresh state of it."""
    with running_fake_api(Account.create("rehearsal")) as api:
        yield api


@pytest.fixture(scope="session")
def deployer(fake_platform: FakeApi, tmp_path_factory: pytest.TempPathFactory) -> Deployer:
    """A person at a clean clone, with an account on that platform, and the bundled model in mind."""
    # Nobody listens at the proxy: the prices are the last known ones, wherever this runs.
    settings = {"BATCH_PROCESSOR_MODEL": "bundled", "HTTPS_PROXY": "http://127.0.0.1:9"}
    deployer = Deployer(tmp_path_factory.mktemp("deployer"), fake_platform, **settings)
    deployer.cut_weights()
    return deployer


@pytest.fixture
def account_in_use(fake_platform: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """A platform with nothing on it, and its account in the SDK's configuration, for tools that run in this process."""
    config = tmp_path / "config.ini"
    config.write_text(fake_platform.account.config(), encoding="utf-8")
    monkeypatch.setenv("CHUTES_API_URL", fake_platform.url)
    monkeypatch.setattr("chutes.config.CONFIG_PATH", str(config))
    monkeypatch.setattr("chutes.config._config", None)
    vars(fake_platform).update(vars(FakeApi(fake_platform.account, fake_platform.url)))
    return fake_platform


@pytest.fixture
def deploy(deployer: Deployer, account_in_use: FakeApi) -> Iterator[Deploying]:
    yield Deploying(deployer, account_in_use)
    for log in deployer.clone.glob("build-*.log"):
        log.unlink()
