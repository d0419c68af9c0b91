"""The options that several commands share."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from batch_client.formats.detect import INPUT_FORMATS, OUTPUT_FORMATS
from batch_client.options import ON_LONG_TEXT
from batch_client.protocols import PROTOCOLS


def names_in(analyses: str | None) -> list[str]:
    """The names in the value of `--analyses`."""
    return [name.strip() for name in analyses.split(",")] if analyses else []


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"batch-client {metadata.version('batch-client')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
]
SourcesArgument = Annotated[
    list[str], typer.Argument(metavar="INPUT...", help="Files, folders, an address, or - for stdin.")
]
UrlOption = Annotated[
    str,
    typer.Option("--url", envvar="BATCH_CLIENT_URL", show_envvar=True, help="Address, such as http://127.0.0.1:8000."),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option("--api-key", envvar="CHUTES_API_KEY", show_envvar=True, help="Sent as bearer token, never shown."),
]
ProtocolOption = Annotated[str, typer.Option("--protocol", help=f"What the service speaks: {', '.join(PROTOCOLS)}.")]
MaxLengthOption = Annotated[int, typer.Option(help="Tokens of a text that the model may see.")]
OnLongTextOption = Annotated[str, typer.Option(help=f"Texts beyond --max-length: {', '.join(ON_LONG_TEXT)}.")]
AllScoresOption = Annotated[bool, typer.Option("--all-scores", help="Add a column per label.")]
AnalysesOption = Annotated[
    str | None, typer.Option("--analyses", help="Names, such as emotion,offensive; left out: the sentiment.")
]
ConcurrencyOption = Annotated[int, typer.Option(help="Requests in flight at most.")]
TimeoutOption = Annotated[float, typer.Option(help="Seconds for one attempt at a request.")]
PatienceOption = Annotated[float, typer.Option(help="Give up after so many seconds without any answer.")]
AcceptModelChangeOption = Annotated[
    bool, typer.Option("--accept-model-change", help="Go on though another model answers now than before.")
]
RetryErrorsOption = Annotated[bool, typer.Option("--retry-errors", help="INPUT is a result: ask its failed rows.")]
ColdStartOption = Annotated[float, typer.Option(help="Wait so many seconds at most for a first instance.")]
FormatOption = Annotated[str | None, typer.Option("--format", help=f"Of the input: {', '.join(INPUT_FORMATS)}.")]
TextColumnOption = Annotated[
    str | None, typer.Option("--text-column", help="Column of the texts; a.b is inside of an object.")
]
ReportOption = Annotated[Path | None, typer.Option("--report", help="Write a page of charts here too.")]
ReportByOption = Annotated[str | None, typer.Option("--report-by", help="Date or category column to chart by.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")]
PrefixOption = Annotated[str, typer.Option("--prefix", help="Put this before the names of the added columns.")]
EncodingOption = Annotated[str | None, typer.Option("--encoding", help="Of the input, such as cp1252.")]
DelimiterOption = Annotated[str | None, typer.Option("--delimiter", help="What parts the cells: , ; | or tab.")]
LimitOption = Annotated[int | None, typer.Option("--limit", help="Only so many first rows, for a trial.")]
SampleOption = Annotated[int | None, typer.Option("--sample", help="Only so many rows, drawn at random.")]
TolerateErrorsOption = Annotated[
    bool, typer.Option("--tolerate-errors", help="Exit code 0 though rows have an error: for make and Airflow.")
]
OutFormatOption = Annotated[str | None, typer.Option(help=f"Of the result: {', '.join(OUTPUT_FORMATS)}.")]
OutDelimiterOption = Annotated[str | None, typer.Option(help="Of a result in CSV, such as ';' for Excel in Europe.")]
OutBomOption = Annotated[bool, typer.Option("--out-bom", help="Begin CSV with the mark by which Excel knows UTF-8.")]
