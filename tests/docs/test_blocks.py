"""The comparison of what is shown with what came out: strict in words, lenient in what no two runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of, commands_of, difference

PAGE = """
# Page

```console
$ first \\
    --option
one
...
last
$ for p in a b; do
>   echo $p; done
a
```

```text
not a command
```
"""


def test_commands_and_their_output_are_told_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    console, text = blocks_of(page)
    assert (text.language, text.lines) == ("text", ["not a command"])
    first, second = commands_of(console)
    assert (first.command, first.line_number) == ("first \\\n    --option", 5)
    assert first.output == ["one", "...", "last"]
    assert (second.command, second.output) == ("for p in a b; do\n  echo $p; done", ["a"])


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        (["a", "...", "z"], ["a", "b", "c", "z"]),
        (["a", "..."], ["a", "b"]),
        (["a", "", ""], ["a"]),
        (['{"confidence":0.9496,"total_time":0.01}'], ['{"confidence":0.9497,"total_time":12.5}']),
        (['"texts_per_second":85.3,'], ['"texts_per_second":1.0,']),
    ],
)
def test_outputs_that_are_as_shown(shown: list[str], came: list[str]) -> None:
    assert difference(shown, came) is None


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        (["a"], ["b"]),
        (["a", "b"], ["a"]),
        (["a"], ["a", "b"]),
        (["a", "...", "z"], ["a", "b", "y"]),
        (["b", "..."], ["a", "b"]),
        (['"confidence":0.94'], ['"confidence":0.95']),
        (['"token_count":6'], ['"token_count":7']),
        (['"sentiment":"POSITIVE"'], ['"sentiment":"NEGATIVE"']),
        (['"total_time":1.0'], ['"total_tim":1.0']),
    ],
)
def test_outputs_that_are_not(shown: list[str], came: list[str]) -> None:
    assert difference(shown, came) is not None
