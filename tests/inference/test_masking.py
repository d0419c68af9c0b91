"""What the model sees instead of handles and links."""

from __future__ import annotations

import pytest

from batch_classification.masking import mask_handles_and_links


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("@john hi", "@user hi"),
        ("hi @john, @j_d!", "hi @user, @user!"),
        ("(@john)", "(@user)"),
        ("see https://t.co/abc now", "see http now"),
        ("(see http://x.y/z?a=1).", "(see http)."),
        ("https://a.b/c, https://d.e/f!", "http, http!"),
        ("HTTPS://A.B", "http"),
        ("mail me@example.org", "mail me@example.org"),
        ("@ alone", "@ alone"),
        ("a@john @@john", "a@john @@john"),
        ("https is a protocol", "https is a protocol"),
        ("no mask here", "no mask here"),
    ],
)
def test_masking(text: str, seen: str) -> None:
    assert mask_handles_and_links(text) == seen


def test_what_is_masked_already_stays() -> None:
    assert mask_handles_and_links("@user look at http please") == "@user look at http please"
