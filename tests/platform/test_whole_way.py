"""The whole way of a deployment that fails twice: each time the tools say why, and what to do. `-s` shows it all."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from rehearsal.demand import Demand
from rehearsal.deployed_instance import instance_of
from rehearsal.deployment import Deployer
from rehearsal.dev_server import ServerNotReadyError
from rehearsal.fake_api import FakeApi
from rehearsal.forge import Forge
from rehearsal.front import running_front
from rehearsal.gateway import Gateway
from rehearsal.running import Instance
from tools import startup_logs, watch
from tools.platform_api import PlatformApi

MINUTES_A_SECOND = 10
"""How fast the platform's time passes here."""

TEXTS = {"texts": ["I love this!", "What a waste of money."]}


class Terminal:
    """Where the deployer types commands; what it shows is kept."""

    def __init__(self, deployer: Deployer) -> None:
        self.deployer = deployer
        self._shown: list[str] = []

    def show(self, command: str, printed: str) -> str:
        self._shown.append(f"$ {command}\n{printed.rstrip()}\n")
        return printed

    def make_deploy(self, expected_code: int, **settings: str) -> str:
        code, printed = self.deployer.run("tests.platform.warm_deploy", "--yes", **settings)
        variables = "".join(f"{name}={value} " for name, value in settings.items())
        self.show(f"{variables}make deploy YES=1", f"{printed.rstrip()}\n[exit code {code}]")
        assert code == expected_code, printed
        return printed

    def __str__(self) -> str:
        return "\n".join(self._shown)


@pytest.mark.timeout(600)
def test_first_the_build_fails_then_the_start_then_it_serves_and_goes_idle(
    deployer: Deployer,
    account_in_use: FakeApi,
    instance: Instance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api, terminal = account_in_use, Terminal(deployer)
    api.new_demand = lambda: Demand(cold_for_s=20 * 60, shutdown_after_s=600, scale=MINUTES_A_SECOND * 60)

    # The build fails, for no fault of the code: after the failed image is deleted, the same is built again.
    api.forge = Forge(pending_s=0.05, building_s=0.2, fault=lambda _: "pip: pypi.org did not answer")
    printed = terminal.make_deploy(expected_code=4)
    api.forge = Forge()
    (image_id,) = api.images
    assert f"images delete {image_id}" in printed
    command = printed.strip().splitlines()[-1].strip().removeprefix(".venv/bin/chutes ")
    terminal.show(f".venv/bin/chutes {command}", deployer.chutes(*command.split()))
    terminal.make_deploy(expected_code=0)

    # The instance does not start: this machine has no GPU. The platform has kept what it printed.
    chute = api.chutes["batch-processor"]
    image = api.images[chute.args.image]
    with (
        pytest.raises(ServerNotReadyError, match="the server did not start") as failure,
        instance_of(image, api.deployments[-1], tmp_path),
    ):
        pass
    api.logs.capture(chute.chute_id, str(failure.value).splitlines()[1:])
    assert startup_logs.main([]) == 0
    printed = terminal.show("make startup-logs", capsys.readouterr().out)
    assert "BATCH_PROCESSOR_DEVICE='cuda'" in printed

    # With another setting it is another image, and an update: no fee.
    balance = api.balance
    terminal.make_deploy(expected_code=0, BATCH_PROCESSOR_DEVICE="cpu")
    assert api.balance == balance

    demand = api.chutes["batch-processor"].demand
    with running_front(Gateway(instance, demand=demand)) as url:
        call = f"curl {url}/process-batch -d '{{...}}'"
        answer = httpx.post(f"{url}/process-batch", json=TEXTS)
        terminal.show(call, answer.text)
        assert answer.status_code == 503
        assert watch.main(["--url", url]) == 0
        assert "cold" in terminal.show("make watch", capsys.readouterr().out)
        while answer.status_code == 503:
            time.sleep(0.1)
            answer = httpx.post(f"{url}/process-batch", json=TEXTS)
        assert answer.status_code == 200
        monkeypatch.setenv("CHUTES_API_KEY", "cpk_rehearsal")
        assert watch.main(["--url", url]) == 0
        assert "hot: 1 instance(s) serving" in terminal.show("make watch", capsys.readouterr().out)

    # Looked at through the API alone, it goes idle.
    with PlatformApi() as looked_at:
        looks = watch.Watch(looked_at, "batch-processor", every_s=60, clock=scaled(), sleep=scaled_sleep)
        monkeypatch.delenv("CHUTES_API_KEY")
        looks.run()
    printed = terminal.show("make watch EVERY=60", capsys.readouterr().out)
    assert "cold: no instance, and nothing to pay" in printed.splitlines()[-1]
    assert demand.num_starts == 1
    dollars = demand.paid_s / 3600 * 1.80
    print(terminal)
    print(f"In all ${5.40 + dollars:.2f}: $5.40 for the first deployment, ${dollars:.2f} for {demand.paid_s:.0f} s.")
    assert demand.paid_s >= 600


def scaled() -> Callable[[], float]:
    return lambda: time.monotonic() * MINUTES_A_SECOND * 60


def scaled_sleep(seconds: float) -> None:
    time.sleep(seconds / (MINUTES_A_SECOND * 60))
