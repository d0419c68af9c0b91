"""The command `batch-client`."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from batch_client.async_client import AsyncClient
from batch_client.cli_options import (
    AcceptModelChangeOption,
    AllScoresOption,
    AnalysesOption,
    ApiKeyOption,
    ColdStartOption,
    ConcurrencyOption,
    DelimiterOption,
    EncodingOption,
    FormatOption,
    LimitOption,
    MaxLengthOption,
    OnLongTextOption,
    OutBomOption,
    OutDelimiterOption,
    OutFormatOption,
    OverwriteOption,
    PatienceOption,
    PrefixOption,
    ProtocolOption,
    ReportByOption,
    ReportOption,
    RetryErrorsOption,
    SampleOption,
    SourcesArgument,
    TextColumnOption,
    TimeoutOption,
    TolerateErrorsOption,
    UrlOption,
    VersionOption,
    names_in,
)
from batch_client.client import Client
from batch_client.columns import PredictionColumns, shapes_of
from batch_client.compare import Comparison, compare
from batch_client.config import read_config
from batch_client.errors import BatchClientError, InputError
from batch_client.formats.delimited import CellStyle
from batch_client.formats.delimiters import delimiter_from
from batch_client.formats.detect import INPUT_FORMATS
from batch_client.formats.source import ReadOptions
from batch_client.formats.values import compact_json
from batch_client.job import Job
from batch_client.lines import arriving_lines
from batch_client.locations import standard_input, standard_output
from batch_client.options import Options
from batch_client.outcomes import Failure
from batch_client.protocols.native import Native
from batch_client.run_score import run_score
from batch_client.screen import Screen, console_on
from batch_client.selected import Selection
from batch_client.watch import watch

FAILURE, SOME_ROWS_FAILED = 1, 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Classify the sentiment of texts through a batch-processor service.",
)


@app.callback()
def options_of_all_commands(
    context: typer.Context,
    version: VersionOption = False,
) -> None:
    """Classify the sentiment of texts through a batch-processor service."""
    with _exit_on_error(is_resumable=False):
        commands = context.command.commands  # type: ignore[attr-defined]
        names = {name: {parameter.name for parameter in command.params} for name, command in commands.items()}
        config = read_config(set().union(*names.values()))
        context.default_map = {
            name: {key: value for key, value in config.items() if key in known} for name, known in names.items()
        }


@app.command("score")
def score_command(
    sources: SourcesArgument,
    out: Annotated[str, typer.Option(help="Result: .csv, .tsv, .jsonl, .parquet or .xlsx; a folder; an address; -.")],
    url: UrlOption,
    text_column: TextColumnOption = None,
    api_key: ApiKeyOption = None,
    report: ReportOption = None,
    report_by: ReportByOption = None,
    limit: LimitOption = None,
    sample: SampleOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    overwrite: OverwriteOption = False,
    start_over: Annotated[bool, typer.Option("--start-over", help="Discard an unfinished run.")] = False,
    retry_errors: RetryErrorsOption = False,
    accept_model_change: AcceptModelChangeOption = False,
    tolerate_errors: TolerateErrorsOption = False,
    all_scores: AllScoresOption = False,
    analyses: AnalysesOption = None,
    prefix: PrefixOption = "",
    format: FormatOption = None,
    encoding: EncodingOption = None,
    header: Annotated[bool, typer.Option(help="Whether the first line names the columns (CSV, TSV).")] = True,
    quotes: Annotated[bool | None, typer.Option(help="Whether quotes enclose cells: yes in CSV, no in TSV.")] = None,
    delimiter: DelimiterOption = None,
    sheet: Annotated[str | None, typer.Option(help="Which sheet of a spreadsheet.")] = None,
    out_format: OutFormatOption = None,
    out_delimiter: OutDelimiterOption = None,
    out_bom: OutBomOption = False,
    protocol: ProtocolOption = Native.name,
    max_length: MaxLengthOption = 512,
    on_long_text: OnLongTextOption = "truncate",
    max_concurrency: ConcurrencyOption = 32,
    timeout: TimeoutOption = 60.0,
    patience: PatienceOption = 600.0,
    cold_start: ColdStartOption = Options.cold_start_s,
) -> None:
    """Score every row of a file, or of several files and folders into a folder.

    batch-client score reviews.csv --text-column review --url http://127.0.0.1:8000 --out scored.csv

    Killed or stopped, the same command resumes.

    Exit code 0: every row has an answer. 3: some rows have an error. 1: failure.
    """
    with _exit_on_error():
        options = Options(
            url, api_key or None, max_length, all_scores, names_in(analyses), protocol, on_long_text,
            max_concurrency=max_concurrency, timeout_s=timeout, patience_s=patience, cold_start_s=cold_start,
        )  # fmt: skip
        job = Job(
            source=sources[0], out=out, options=options, text_column=text_column, prefix=prefix,
            read=_read_options(format, encoding, header, quotes, delimiter, sheet),
            overwrite=overwrite, start_over=start_over, report=report, report_by=report_by,
            retry_errors=retry_errors, accept_model_change=accept_model_change, out_format=out_format,
            selection=Selection(limit, sample), style=CellStyle(_delimiter(out_delimiter, "--out-delimiter"), out_bom),
        )  # fmt: skip
        has_failed = run_score(job, sources, dry_run)
    raise typer.Exit(SOME_ROWS_FAILED if has_failed and not tolerate_errors else 0)


def _read_options(
    format: str | None,
    encoding: str | None,
    header: bool,
    quotes: bool | None,
    delimiter: str | None,
    sheet: str | None,
) -> ReadOptions:
    if format is not None and format not in INPUT_FORMATS:
        raise InputError(f"--format {format} is not known; use one of {', '.join(INPUT_FORMATS)}")
    return ReadOptions(format, encoding, header, quotes, _delimiter(delimiter, "--delimiter"), sheet)


def _delimiter(value: str | None, option: str) -> str | None:
    return None if value is None else delimiter_from(value, option)


@app.command("report")
def report_command(
    source: Annotated[str, typer.Argument(metavar="SCORED", help="A file that score wrote.")],
    out: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("report.html"),
    by: Annotated[str | None, typer.Option(help="Date or category column to chart by.")] = None,
    text_column: TextColumnOption = None,
    prefix: PrefixOption = "",
    format: FormatOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the page of charts about a file that was scored before.

    batch-client report scored.csv --by shop --text-column review --out report.html
    """
    with _exit_on_error(is_resumable=False):
        from batch_client.report.after import report_on

        read = _read_options(format, encoding, True, None, delimiter, None)
        num_rows = report_on(Path(source), read, out, text_column, by, prefix, overwrite)
        _say(f"{out}: {num_rows:,} rows of {source}.")


@app.command("classify")
def classify_command(
    url: UrlOption,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Without any: lines of stdin.")] = None,
    api_key: ApiKeyOption = None,
    all_scores: AllScoresOption = False,
    analyses: AnalysesOption = None,
    protocol: ProtocolOption = Native.name,
    max_length: MaxLengthOption = 512,
    on_long_text: OnLongTextOption = "truncate",
    max_concurrency: ConcurrencyOption = 32,
    timeout: TimeoutOption = 60.0,
    patience: PatienceOption = 600.0,
    cold_start: ColdStartOption = Options.cold_start_s,
) -> None:
    """Classify texts, or the lines of standard input as they come, as JSON lines on standard output.

    batch-client classify "I love this!" --url http://127.0.0.1:8000

    Exit code 0: every text has an answer. 3: some have an error. 1: failure.
    """
    with _exit_on_error():
        options = Options(
            url, api_key or None, max_length, all_scores, names_in(analyses), protocol, on_long_text,
            max_concurrency=max_concurrency, timeout_s=timeout, patience_s=patience, cold_start_s=cold_start,
        )  # fmt: skip
        num_failed = _classify(texts, options)
    if num_failed:
        raise typer.Exit(SOME_ROWS_FAILED)


def _classify(texts: list[str] | None, options: Options) -> int:
    """Write the outcomes as JSON lines; returns how many are failures."""
    num_failed = 0
    output = standard_output()
    chunks = [texts] if texts else arriving_lines(standard_input())
    with Client(options, on_waiting=_say) as client:
        client.check()
        for chunk in chunks:
            for text, outcome in zip(chunk, client.classify_stream(chunk), strict=True):
                num_failed += isinstance(outcome, Failure)
                columns = PredictionColumns("", options.analyses, shapes_of([outcome]))
                row = {"text": text} | columns.values(outcome)
                output.write(f"{compact_json(row)}\n".encode())
            output.flush()
    return num_failed


@app.command("watch")
def watch_command(
    url: UrlOption,
    api_key: ApiKeyOption = None,
    interval: Annotated[float, typer.Option(help="Seconds between looks.", min=0.1)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print the figures once, as JSON.")] = False,
) -> None:
    """Show what the service says about itself, live, until Ctrl-C.

    batch-client watch --url http://127.0.0.1:8000
    """
    with _exit_on_error(is_resumable=False), Client(url, api_key=api_key or None, on_waiting=_say) as client:
        client.check()
        if once:
            print(json.dumps(client.stats().model_dump(), indent=1))
            return
        watch(client, console_on(sys.stdout), interval)


@app.command("compare")
def compare_command(
    url: UrlOption,
    api_key: ApiKeyOption = None,
    protocol: ProtocolOption = Native.name,
    texts: Annotated[int, typer.Option(help="How many texts.", min=1, max=100)] = 20,
    rounds: Annotated[int, typer.Option(help="The median of so many rounds counts.", min=1)] = 5,
) -> None:
    """Time individual requests against one batch.

    batch-client compare --url http://127.0.0.1:8000
    """
    with _exit_on_error(is_resumable=False):
        options = Options(
            url, api_key or None, protocol=protocol, max_concurrency=texts, start_concurrency=texts
        )  # fmt: skip
        result = asyncio.run(_compare(options, texts, rounds))
    print(f"Individual requests: {result.individual_s:.3f}s")
    print(f"Batch processing: {result.batch_s:.3f}s")
    print(f"Speedup: {result.speed_up:.1f}x")
    if result.work is not None:
        print(result.work)


def main() -> NoReturn:
    """Run the command."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal has no letters for must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
    sys.exit(0)


async def _compare(options: Options, num_texts: int, rounds: int) -> Comparison:
    async with AsyncClient(options, on_waiting=_say) as client:
        await client.check(patience_s=15)
        return await compare(client, num_texts, rounds)


@contextmanager
def _exit_on_error(is_resumable: bool = True) -> Iterator[None]:
    try:
        yield
    except BatchClientError as error:
        _say(f"Error: {error}")
        raise typer.Exit(FAILURE) from None
    except BrokenPipeError:
        # The reader of our output has seen enough; Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILURE) from None
    except KeyboardInterrupt:
        _say("Stopped; the same command resumes." if is_resumable else "Stopped.")
        raise typer.Exit(FAILURE) from None


def _say(what: str) -> None:
    Screen().say(what)


if __name__ == "__main__":
    main()
