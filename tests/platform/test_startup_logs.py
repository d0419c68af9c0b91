"""Why an instance did not start: its owner reads the log that the platform keeps."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import rbcl
from substrateinterface import Keypair

from rehearsal.fake_api import FakeApi
from tests.platform.deploying import deployed_by_hand
from tools.startup_logs import main, private_scalar

SENTENCE = "BATCH_PROCESSOR_MODEL='nobody/nothing' cannot be loaded: not found on the hub."


@pytest.fixture
def api(account_in_use: FakeApi) -> Iterator[FakeApi]:
    """A platform with the chute `batch-processor` deployed."""
    deployed_by_hand(account_in_use)
    return account_in_use


def test_the_newest_log_is_decrypted_and_printed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    chute_id = api.chutes["batch-processor"].chute_id
    older = api.logs.capture(chute_id, ["an older start"])
    newer = api.logs.capture(chute_id, [*(f"line {number}" for number in range(25)), SENTENCE])
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert older in printed
    assert f"Instance {newer} printed:" in printed
    assert printed.rstrip().endswith(f"line 24\n{SENTENCE}")
    assert main(["--instance", older[:8]]) == 0
    assert capsys.readouterr().out.rstrip().endswith("an older start")
    assert main(["--instance", "x"]) == 1
    assert capsys.readouterr().err == "INSTANCE=x begins none of these ids.\n"


def test_without_a_log_or_a_chute_it_says_so(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "keeps no start-up log of batch-processor" in capsys.readouterr().err
    api.chutes.clear()
    assert main([]) == 1
    assert "There is no chute named batch-processor" in capsys.readouterr().err


def test_no_key_is_ever_printed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.logs.capture(api.chutes["batch-processor"].chute_id, [SENTENCE])
    main([])
    printed = capsys.readouterr()
    assert api.account.hotkey_seed not in printed.out + printed.err
    assert private_scalar(api.account.hotkey_seed).hex() not in printed.out + printed.err


def test_the_private_key_is_the_one_of_other_libraries() -> None:
    for _ in range(20):
        seed = random.randbytes(32).hex()
        keypair = Keypair.create_from_seed("0x" + seed)
        assert private_scalar(seed) == private_scalar("0x" + seed) == keypair.private_key[:32]
        assert rbcl.crypto_scalarmult_ristretto255_base(private_scalar(seed)) == keypair.public_key


def test_the_sdks_own_command_still_crashes(api: FakeApi) -> None:
    """If this fails, `chutes startup-logs` works: then tools/startup_logs.py and its Makefile target can go."""
    from chutes.entrypoint.startup_logs import fetch_startup_logs

    with pytest.raises((TypeError, AttributeError)):
        fetch_startup_logs(api.chutes["batch-processor"].chute_id, None, True, None)
