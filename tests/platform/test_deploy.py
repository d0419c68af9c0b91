"""`make deploy`: every way that it can end has a sentence, an exit code, and the next step in it."""

from __future__ import annotations

import itertools
import re

import pytest

from rehearsal.forge import Forge
from tests.platform.deploying import Deploying
from tools.deploy import reason_in, run_sdk, shown


def test_all_the_way_and_once_more(deploy: Deploying) -> None:
    code, printed = deploy("--chute", "batch_processor", answers="y\n")
    assert code == 0, printed
    assert "for $5.40 once and $1.80 an hour of each instance? (y/n)" in printed
    assert "batch-processor is deployed, at https://rehearsal-batch-processor.chutes.ai." in printed
    assert "17 to 97 minutes" in printed
    for command in ["chutes warmup batch_processor:chute --stream-logs", "make watch\n", "make startup-logs\n"]:
        assert command in printed
    assert deploy.api.account.hotkey_seed not in printed
    code, printed = deploy()
    assert code == 0, printed
    assert "is built already" in printed
    assert "is deployed already" in printed
    assert len(deploy.api.deployments) == 1


def test_nothing_is_uploaded_unless_you_say_yes(deploy: Deploying) -> None:
    for answers in ("n\n", ""):
        code, printed = deploy("--chute", "batch_processor", answers=answers)
        assert code == 7
        assert printed.rstrip().endswith("Nothing was uploaded.")
    assert not deploy.api.images


def test_a_broken_rule_is_found_before_anything_is_uploaded(deploy: Deploying) -> None:
    code, printed = deploy(BATCH_PROCESSOR_MAX_HOURLY_PRICE="1.50", BATCH_PROCESSOR_CHUTE_NAME="my-glyph")
    assert code == 1
    assert "No GPU is below MAX_HOURLY_PRICE=1.50 (pro_6000 costs $1.80 an hour)" in printed
    assert "contains 'glyph', which is for the miners of that subnet" in printed
    assert not deploy.api.images


def test_the_platform_does_not_take_the_image(deploy: Deploying) -> None:
    deploy.api.balance = 49.0
    code, printed = deploy()
    assert code == 3
    assert "did not take the image: " in printed
    assert "You must have a balance of >= $50 to create images." in printed.splitlines()[-1]


def test_a_failed_build_says_where_its_log_is_and_what_to_delete(deploy: Deploying) -> None:
    deploy.api.forge = Forge(pending_s=0.1, building_s=0.3, fault=lambda _: "No matching distribution for torch==9")
    code, printed = deploy()
    assert code == 4
    (image_id,) = deploy.api.images
    assert "The build failed: No matching distribution for torch==9." in printed
    assert printed.rstrip().endswith(f".venv/bin/chutes images delete {image_id}")
    (log,) = deploy.deployer.clone.glob("build-*.log")
    assert f"The whole log is in {log}." in printed
    assert "image build FAILED" in log.read_text(encoding="utf-8")
    # Once more, nothing is uploaded, and the advice is the same.
    again, printed = deploy()
    assert again == 4
    assert "Building" not in printed
    assert printed.rstrip().endswith(f".venv/bin/chutes images delete {image_id}")
    deploy.api.forge = Forge()
    deploy.deployer.chutes("images", "delete", image_id)
    assert deploy()[0] == 0


def test_a_build_of_before_that_is_still_going_on_is_waited_for(deploy: Deploying) -> None:
    # Time goes on with every look.
    deploy.api.forge = Forge(pending_s=20, building_s=40, clock=itertools.count(step=4).__next__)
    deploy.deployer.chutes("build", "batch_processor:chute")
    code, printed = deploy()
    assert code == 0, printed
    assert "Building" not in printed
    assert re.search(r"^ +0:00  (pending build|building)$", printed, re.MULTILINE)


def test_the_platform_does_not_take_the_chute(deploy: Deploying) -> None:
    deploy.api.deployments += [{}] * 24
    code, printed = deploy()
    assert code == 6
    assert "did not take the chute: " in printed
    assert "You many only update/create 24 chutehistorys per 24 hours." in printed.splitlines()[-1]


def test_an_account_that_does_not_exist_and_a_platform_that_does_not_answer(deploy: Deploying) -> None:
    code, printed = deploy(CHUTES_CONFIG_PATH="/nowhere/config.ini")
    assert code == 2
    last = printed.splitlines()[-1]
    assert last == (
        "There is no account in /nowhere/config.ini: run `.venv/bin/chutes register`, or set CHUTES_CONFIG_PATH."
    )
    code, printed = deploy(CHUTES_API_URL="http://127.0.0.1:9")
    assert code == 2
    assert "http://127.0.0.1:9 cannot be reached" in printed.splitlines()[-1]


def test_what_the_sdk_says_is_found_in_what_it_prints() -> None:
    refused = (
        "2026-11-29 16:00:00.123 | ERROR    | chutes.entrypoint.deploy:_deploy:105 - DEPLOYMENT FEE NOTICE:\n===\nPay"
    )
    assert reason_in(["something", *refused.splitlines()]) == "DEPLOYMENT FEE NOTICE:\n===\nPay"
    assert "bare 500" in reason_in(["Traceback", "aiohttp.client_exceptions.ContentTypeError: 500"])
    assert reason_in(["a last word", ""]) == "a last word"
    assert reason_in([]) == "it said nothing"


def test_of_the_sdks_lines_only_what_they_say_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        "\x1b[1mSure? (y/n) \x1b[0m2026-11-29 16:00:00.123 | INFO     | chutes.build:_build:1 - Uploaded - all of it\n"
    )
    assert shown([line, "#1 FROM x\n"])[0].endswith("| INFO     | chutes.build:_build:1 - Uploaded - all of it")
    assert capsys.readouterr().out == "  | Uploaded - all of it\n  | #1 FROM x\n"


def test_the_sdks_commands_are_run_in_processes_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    lines = run_sdk(["images", "--help"], "")
    assert any("Manage images" in line for line in lines)
    assert "\n  | " in capfd.readouterr().out
