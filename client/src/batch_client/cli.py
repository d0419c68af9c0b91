"""The command `batch-client`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from batch_client.async_client import AsyncClient
from batch_client.compare import Comparison, compare
from batch_client.errors import BatchClientError, InputError
from batch_client.formats.detect import INPUT_FORMATS
from batch_client.formats.source import ReadOptions
from batch_client.options import Options
from batch_client.protocols import PROTOCOLS
from batch_client.protocols.native import Native
from batch_client.score import Job, Plan, Summary, plan, score

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


@app.command("score")
def score_command(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="CSV, TSV, JSON lines, Parquet or text; - is stdin.")],
    out: Annotated[Path, typer.Option(help="Result: .csv, .tsv, .jsonl or .parquet; .gz after it packs.")],
    url: UrlOption,
    text_column: Annotated[str | None, typer.Option(help="Column that holds the texts.")] = None,
    api_key: ApiKeyOption = None,
    protocol: ProtocolOption = Native.name,
    report: Annotated[Path | None, typer.Option(help="Write a page of charts here too.")] = None,
    report_by: Annotated[str | None, typer.Option(help="Date or category column to chart by.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")] = False,
    start_over: Annotated[bool, typer.Option("--start-over", help="Discard an unfinished run.")] = False,
    all_scores: Annotated[bool, typer.Option("--all-scores", help="Add a column per label.")] = False,
    prefix: Annotated[str, typer.Option(help="Put this before the names of the added columns.")] = "",
    format: Annotated[str | None, typer.Option(help=f"Of the input: {', '.join(INPUT_FORMATS)}.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the input, such as latin-1.")] = None,
    header: Annotated[bool, typer.Option(help="Whether the first line names the columns (CSV, TSV).")] = True,
    quotes: Annotated[bool | None, typer.Option(help="Whether quotes enclose cells: yes in CSV, no in TSV.")] = None,
    max_length: Annotated[int, typer.Option(help="Tokens of a text that the model may see.")] = 512,
    max_concurrency: Annotated[int, typer.Option(help="Requests in flight at most.")] = 32,
    timeout: Annotated[float, typer.Option(help="Seconds for one attempt at a request.")] = 60.0,
    patience: Annotated[float, typer.Option(help="Give up after so many seconds without any answer.")] = 600.0,
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
            url, api_key or None, max_length, all_scores, protocol,
            max_concurrency=max_concurrency, timeout_s=timeout, patience_s=patience,
        )  # fmt: skip
        job = Job(
            None if source == "-" else Path(source), out, options, ReadOptions(format, encoding, header, quotes),
            text_column, prefix, overwrite, start_over, report, report_by,
        )  # fmt: skip
        if dry_run:
            print(_describe_plan(job, plan(job)))
            return
        summary = score(job, _stderr)
    _stderr.print(_describe_summary(job, summary), markup=False)
    if summary.num_failed:
        raise typer.Exit(SOME_ROWS_FAILED)


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
    with _failures_told():
        result = asyncio.run(_compare(Options(url, api_key or None, protocol=protocol), texts, rounds))
    print(f"Individual requests: {result.individual_s:.3f}s")
    print(f"Batch processing: {result.batch_s:.3f}s")
    print(f"Speedup: {result.speed_up:.1f}x")


def main() -> NoReturn:
    """Run the command."""
    app()
    sys.exit(0)


async def _compare(options: Options, num_texts: int, rounds: int) -> Comparison:
    at_once = {"max_concurrency": num_texts, "start_concurrency": num_texts}
    async with AsyncClient(options.url, api_key=options.api_key, protocol=options.protocol, **at_once) as client:
        await client.check(patience_s=15)
        return await compare(client, ["Sample text for testing"] * num_texts, rounds)


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except BatchClientError as error:
        _stderr.print(f"Error: {error}", markup=False)
        raise typer.Exit(FAILURE) from None
    except KeyboardInterrupt:
        _stderr.print("Stopped; the same command resumes.")
        raise typer.Exit(FAILURE) from None


def _describe_plan(job: Job, plan: Plan) -> str:
    survey = plan.survey
    num_requests = -(-survey.num_sendable // job.options.texts_per_request)
    lines = [
        f"Would score column {survey.text_column!r} of {job.source or 'standard input'} through {job.options.url}.",
        f"Rows: {survey.num_rows:,}; to be sent: {survey.num_sendable:,}; requests: {num_requests:,} or a few more.",
        *(f"Rows marked without being sent ({kind}): {number:,}" for kind, number in sorted(survey.unsendable.items())),
        f"Result: {job.out} ({plan.output_format})"
        + (f"; an unfinished run has {plan.num_done:,} rows already and would be resumed." if plan.num_done else "."),
    ]
    return "\n".join(lines)


def _describe_summary(job: Job, summary: Summary) -> str:
    num_asked = summary.num_rows - summary.num_resumed
    rate = num_asked / summary.elapsed_s if summary.elapsed_s else 0.0
    resumed = f" ({summary.num_resumed:,} of them by an earlier run)" if summary.num_resumed else ""
    return (
        f"{job.out}: {summary.num_rows:,} rows{resumed}, {summary.num_failed:,} with an error, "
        f"in {summary.elapsed_s:.1f} s ({rate:,.0f} rows/s), {summary.num_retries:,} attempts repeated."
    )


if __name__ == "__main__":
    main()
