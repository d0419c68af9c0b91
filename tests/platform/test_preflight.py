"""`make preflight` says before the upload what the server would say after it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from platform_rules.gpus import LAST_KNOWN_PRICES, published_prices
from rehearsal.dev_server import ROOT


def preflight(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Exit code, standard output and error of the tool, with nothing set but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_PROCESSOR_")}
    # Nobody listens there: the prices are the last known ones, wherever this runs.
    environment = inherited | {"BATCH_PROCESSOR_USERNAME": "rehearsal", "HTTPS_PROXY": "http://127.0.0.1:9"} | settings
    command = [sys.executable, "-m", "tools.preflight", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240)
    return done.returncode, done.stdout, done.stderr


def test_what_will_be_deployed_and_what_it_costs() -> None:
    code, printed, complaints = preflight("--rate", "4000")
    assert (code, complaints) == (0, "")
    for part in [
        "rehearsal/batch-processor:0.1.0-",
        "batch_inference/engine.py",
        "1 x pro_6000, trusted",
        "POST /process-batch-stream, a stream",
        "BATCH_PROCESSOR_DEVICE=cuda",
        "last known, of June 2026",
        "$5.40 for the first deployment",
        "$1.80 an hour",
        "$0.30 for the 600 s",
        "$0.125 per million texts at 4000 texts/s",
    ]:
        assert part in printed, part
    last = printed.strip().splitlines()[-2:]
    assert [line.split()[1] for line in last] == ["build", "deploy"]


def test_each_rule_that_is_broken_gets_the_servers_sentence() -> None:
    code, printed, complaints = preflight(
        BATCH_PROCESSOR_TEE="false", BATCH_PROCESSOR_MAX_HOURLY_PRICE="1.50", BATCH_PROCESSOR_USERNAME="myuser"
    )
    assert code == 1
    assert "Only TEE chutes are supported as of 2026-05-12, please set tee=True" in complaints
    assert "No supported GPUs based on node selector!" in complaints
    assert "BATCH_PROCESSOR_USERNAME is not set" in complaints
    assert "for 3 reason(s)" in complaints
    assert "chutes deploy" not in printed


@pytest.mark.parametrize(("setting", "value"), [("GPU_COUNT", "2"), ("GPU", "h200")])
def test_gpus_that_are_not_to_be_had(setting: str, value: str) -> None:
    code, _, complaints = preflight(**{f"BATCH_PROCESSOR_{setting}": value})
    assert code == 1
    assert "TEE private deployments are limited at this time due to infrastructure capacity limitations." in complaints


def test_the_published_prices_win_over_the_last_known_ones() -> None:
    published = published_prices({"gpu_price_estimates": {"pro_6000": {"usd": {"hour": 1.5}}}})
    assert published == LAST_KNOWN_PRICES | {"pro_6000": 1.5}
    for answer in [[], {}, {"gpu_price_estimates": {"pro_6000": {}}}, "<html>"]:
        with pytest.raises(ValueError, match="not a list of prices"):
            published_prices(answer)
