from datetime import UTC, datetime

import pytest

from batch_client.retry_after import retry_after_seconds

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30.0),
        ("soon", None),
        ("-3", None),
        ("²", None),
    ],
)
def test_seconds_and_dates_are_understood(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds
