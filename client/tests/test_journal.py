from pathlib import Path

import pytest

from batch_client.durable import locked
from batch_client.errors import OutputError
from batch_client.journal import discard, num_rows_done, open_journal
from batch_client.outcomes import Failure, Outcome, Prediction

JOB = {"input": "abc", "--max-length": 512}
OUTCOMES: list[Outcome] = [
    Prediction("POSITIVE", 0.12345678901234567, 5, False, {"POSITIVE": 0.5}),
    Failure("blank", "the text is blank"),
    Prediction("NEUTRAL", 1.0, 512, True),
]


def test_outcomes_come_back_as_they_were(tmp_path: Path) -> None:
    with open_journal(tmp_path, JOB) as journal:
        journal.append(OUTCOMES, concurrency=2)
        journal.checkpoint()
    with open_journal(tmp_path, JOB) as journal:
        assert list(journal.outcomes()) == OUTCOMES
        assert (journal.num_rows, journal.num_failed) == (3, 1)
    assert num_rows_done(tmp_path) == 3


def test_what_was_not_checkpointed_is_forgotten(tmp_path: Path) -> None:
    with open_journal(tmp_path, JOB) as journal:
        journal.append(OUTCOMES[:1], concurrency=2)
        journal.checkpoint()
        journal.append(OUTCOMES[1:], concurrency=2)
    with open_journal(tmp_path, JOB) as journal:
        assert list(journal.outcomes()) == OUTCOMES[:1]


def test_another_job_is_refused_until_the_old_one_is_discarded(tmp_path: Path) -> None:
    with open_journal(tmp_path, JOB):
        pass
    with pytest.raises(OutputError, match="another --max-length"), open_journal(tmp_path, JOB | {"--max-length": 64}):
        pass
    discard(tmp_path)
    with open_journal(tmp_path, JOB | {"--max-length": 64}) as journal:
        assert journal.num_rows == 0


@pytest.mark.parametrize("damage", ["outcomes.jsonl", "journal.jsonl"])
def test_a_damaged_journal_is_reported(tmp_path: Path, damage: str) -> None:
    with open_journal(tmp_path, JOB) as journal:
        journal.append(OUTCOMES, concurrency=2)
        journal.checkpoint()
    (tmp_path / damage).write_bytes(b"??\n")
    with pytest.raises(OutputError, match="--start-over"), open_journal(tmp_path, JOB):
        pass


def test_a_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(OutputError, match="another run"), locked(tmp_path):
        pass
