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
from rich.console import Console

from batch_client import places
from batch_client.async_client import AsyncClient
from batch_client.client import Client
from batch_client.columns import PredictionColumns
from batch_client.compare import Comparison, compare
from batch_client.errors import BatchClientError, InputError
from batch_client.formats.delimiters import delimiter_from
from batch_client.formats.detect import INPUT_FORMATS, OUTPUT_FORMATS
from batch_client.formats.source import ReadOptions
from batch_client.formats.values import compact_json
from batch_client.lines import arriving_lines
from batch_client.options import ON_LONG_TEXT, Options
from batch_client.outcomes import Failure, Prediction
from batch_client.protocols import PROTOCOLS
from batch_client.protocols.native import Native
from batch_client.score import Job, Plan, Summary, plan, score
from batch_client.watch import watch

FAILURE, SOME_ROWS_FAILED = 1, 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Classify the sentiment of texts through a batch-processor service.",
)
_stderr = Console(stderr=True, highlight=False, soft_wrap=True)

UrlOption = Annotated[str, typer.Option("--url", help="Address of the service, such as http://127.0.0.1:8000.")]
ApiKeyOption = Annotated[
    str | None,
    typer.Option("--api-key", envvar="CHUTES_API_KEY", show_envvar=True, help="Sent as bearer token, never shown."),
]
ProtocolOption = Annotated[str, typer.Option("--protocol", help=f"What the service speaks: {', '.join(PROTOCOLS)}.")]
MaxLengthOption = Annotated[int, typer.Option(help="Tokens of a text that the model may see.")]
OnLongTextOption = Annotated[str, typer.Option(help=f"Texts beyond --max-length: {', '.join(ON_LONG_TEXT)}.")]
AllScoresOption = Annotated[bool, typer.Option("--all-scores", help="Add a column per label.")]
ConcurrencyOption = Annotated[int, typer.Option(help="Requests in flight at most.")]
TimeoutOption = Annotated[float, typer.Option(help="Seconds for one attempt at a request.")]
PatienceOption = Annotated[float, typer.Option(help="Give up after so many seconds without any answer.")]
ColdStartOption = Annotated[float, typer.Option(help="Wait so many seconds at most for a first instance.")]


@app.command("score")
def score_command(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A file, an address (s3://...), or - for stdin.")],
    out: Annotated[str, typer.Option(help="Result: .csv, .tsv, .jsonl or .parquet (.gz packs), an address, or -.")],
    url: UrlOption,
    text_column: Annotated[str | None, typer.Option(help="Column that holds the texts.")] = None,
    api_key: ApiKeyOption = None,
    report: Annotated[Path | None, typer.Option(help="Write a page of charts here too.")] = None,
    report_by: Annotated[str | None, typer.Option(help="Date or category column to chart by.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")] = False,
    start_over: Annotated[bool, typer.Option("--start-over", help="Discard an unfinished run.")] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="INPUT is a result: ask its failed rows.")
    ] = False,
    all_scores: AllScoresOption = False,
    prefix: Annotated[str, typer.Option(help="Put this before the names of the added columns.")] = "",
    format: Annotated[str | None, typer.Option(help=f"Of the input: {', '.join(INPUT_FORMATS)}.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the input, such as latin-1.")] = None,
    header: Annotated[bool, typer.Option(help="Whether the first line names the columns (CSV, TSV).")] = True,
    quotes: Annotated[bool | None, typer.Option(help="Whether quotes enclose cells: yes in CSV, no in TSV.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="What parts the cells: , ; | or tab.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Which sheet of a spreadsheet.")] = None,
    out_format: Annotated[str | None, typer.Option(help=f"Of the result: {', '.join(OUTPUT_FORMATS)}.")] = None,
    protocol: ProtocolOption = Native.name,
    max_length: MaxLengthOption = 512,
    on_long_text: OnLongTextOption = "truncate",
    max_concurrency: ConcurrencyOption = 32,
    timeout: TimeoutOption = 60.0,
    patience: PatienceOption = 600.0,
    cold_start: ColdStartOption = 1800.0,
) -> None:
    """Score every row of a file.

    batch-client score reviews.csv --text-column review --url http://127.0.0.1:8000 --out scored.csv

    Killed or stopped, the same command resumes.

    Exit code 0: every row has an answer. 3: some rows have an error. 1: failure.
    """
    with _failures_told():
        if format is not None and format not in INPUT_FORMATS:
            raise InputError(f"--format {format} is not known; use one of {', '.join(INPUT_FORMATS)}")
        options = Options(
            url, api_key or None, max_length, all_scores, protocol, on_long_text,
            max_concurrency=max_concurrency, timeout_s=timeout, patience_s=patience, cold_start_s=cold_start,
        )  # fmt: skip
        read = ReadOptions(format, encoding, header, quotes, delimiter_from(delimiter) if delimiter else None, sheet)
        job = Job(
            source, out, options, read,
            text_column, prefix, overwrite, start_over, report, report_by, retry_errors, out_format,
        )  # fmt: skip
        if dry_run:
            print(_describe_plan(job, plan(job)))
            return
        summary = score(job, _stderr)
    _stderr.print(_describe_summary(job, summary), markup=False)
    if summary.num_failed:
        raise typer.Exit(SOME_ROWS_FAILED)


@app.command("classify")
def classify_command(
    url: UrlOption,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Without any: lines of stdin.")] = None,
    api_key: ApiKeyOption = None,
    all_scores: AllScoresOption = False,
    protocol: ProtocolOption = Native.name,
    max_length: MaxLengthOption = 512,
    on_long_text: OnLongTextOption = "truncate",
    max_concurrency: ConcurrencyOption = 32,
    timeout: TimeoutOption = 60.0,
    patience: PatienceOption = 600.0,
    cold_start: ColdStartOption = 1800.0,
) -> None:
    """Classify texts, or the lines of standard input as they come, as JSON lines on standard output.

    batch-client classify "I love this!" --url http://127.0.0.1:8000

    Exit code 0: every text has an answer. 3: some have an error. 1: failure.
    """
    num_failed = 0
    with (
        _failures_told(),
        Client(
            url, api_key=api_key or None, all_scores=all_scores, protocol=protocol, max_length=max_length,
            on_long_text=on_long_text, max_concurrency=max_concurrency, timeout_s=timeout, patience_s=patience,
            cold_start_s=cold_start, on_waiting=_say,
        ) as client,
    ):  # fmt: skip
        client.check()
        for chunk in [texts] if texts else arriving_lines(sys.stdin.buffer):
            for text, outcome in zip(chunk, client.classify_stream(chunk), strict=True):
                num_failed += isinstance(outcome, Failure)
                labels = sorted(outcome.scores or ()) if isinstance(outcome, Prediction) and all_scores else ()
                row = {"text": text} | PredictionColumns("", labels).values(outcome)
                sys.stdout.buffer.write(f"{compact_json(row)}\n".encode())
            sys.stdout.buffer.flush()
    if num_failed:
        raise typer.Exit(SOME_ROWS_FAILED)


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
    with _failures_told(is_resumable=False), Client(url, api_key=api_key or None, on_waiting=_say) as client:
        client.check()
        if once:
            print(json.dumps(client.stats().model_dump(), indent=1))
            return
        watch(client, Console(), interval)


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
    with _failures_told(is_resumable=False):
        result = asyncio.run(_compare(Options(url, api_key or None, protocol=protocol), texts, rounds))
    print(f"Individual requests: {result.individual_s:.3f}s")
    print(f"Batch processing: {result.batch_s:.3f}s")
    print(f"Speedup: {result.speed_up:.1f}x")


def main() -> NoReturn:
    """Run the command."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal has no letters for must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
    sys.exit(0)


async def _compare(options: Options, num_texts: int, rounds: int) -> Comparison:
    async with AsyncClient(
        options.url, on_waiting=_say, api_key=options.api_key, protocol=options.protocol,
        max_concurrency=num_texts, start_concurrency=num_texts,
    ) as client:  # fmt: skip
        await client.check(patience_s=15)
        return await compare(client, ["Sample text for testing"] * num_texts, rounds)


@contextmanager
def _failures_told(is_resumable: bool = True) -> Iterator[None]:
    try:
        yield
    except BatchClientError as error:
        _stderr.print(f"Error: {error}", markup=False)
        raise typer.Exit(FAILURE) from None
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILURE) from None
    except KeyboardInterrupt:
        _stderr.print("Stopped; the same command resumes." if is_resumable else "Stopped.")
        raise typer.Exit(FAILURE) from None


def _say(what: str) -> None:
    _stderr.print(what, markup=False)


def _describe_plan(job: Job, plan: Plan) -> str:
    survey = plan.survey
    num_requests = -(-survey.num_sendable // PROTOCOLS[job.options.protocol].max_texts)
    out = "standard output" if job.is_to_standard_output else job.out
    lines = [
        f"Would score column {survey.text_column!r} of {places.name_of(job.source)} through {job.options.url}.",
        f"Read as: {plan.description}.",
        f"Rows: {survey.num_rows:,}; to be sent: {survey.num_sendable:,}; requests: {num_requests:,} or a few more.",
        *(f"Rows marked without being sent ({kind}): {number:,}" for kind, number in sorted(survey.unsendable.items())),
        f"Result: {out} ({plan.output_format})"
        + (f"; an unfinished run has {plan.num_done:,} rows already and would be resumed." if plan.num_done else "."),
    ]
    return "\n".join(lines)


def _describe_summary(job: Job, summary: Summary) -> str:
    num_asked = summary.num_rows - summary.num_resumed
    rate = num_asked / summary.elapsed_s if summary.elapsed_s else 0.0
    resumed = f" ({summary.num_resumed:,} of them by an earlier run)" if summary.num_resumed else ""
    out = "standard output" if job.is_to_standard_output else job.out
    return (
        f"Scored column {summary.text_column!r} of {places.name_of(job.source)}, read as {summary.description}.\n"
        f"{out}: {summary.num_rows:,} rows{resumed}, {summary.num_failed:,} with an error, "
        f"in {summary.elapsed_s:.1f} s ({rate:,.0f} rows/s), {summary.num_retries:,} attempts repeated."
    )


if __name__ == "__main__":
    main()
