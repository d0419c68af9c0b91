"""What is checked before a run: whatever cannot work is refused before the first request."""

from __future__ import annotations

import os
from pathlib import Path

from batch_client import locations
from batch_client.columns import PredictionColumns
from batch_client.errors import InputError, OutputError
from batch_client.formats.detect import OUTPUT_FORMATS, detect_output
from batch_client.formats.readers import require_pyarrow
from batch_client.formats.source import ArrowReader, Reader
from batch_client.job import Job
from batch_client.journal import check_is_ours, is_finished
from batch_client.result_note import check_note
from batch_client.screen import no_column


def check_destinations(job: Job) -> None:
    """Raise OutputError if the result or the report may not be written where it is to go."""
    if job.report_by and not job.report:
        raise OutputError("--report-by needs --report, which says where the page goes")
    if job.report:
        _check_report(job, job.report)
    if job.is_to_standard_output:
        locations.standard_output()
        return
    if job.out_format is None:
        detect_output(job.path)
    check_is_ours(job.folder)
    is_unfinished = job.start_over or not is_finished(job.folder)
    if locations.is_address(job.out):
        locations.check_can_upload(job.out)
        if job.source == job.out:
            raise OutputError(f"{job.out} is the input; choose another --out")
        if not job.overwrite and is_unfinished and locations.exists(job.out):
            raise OutputError(f"{job.out} exists; pass --overwrite to replace it, or choose another --out")
        return
    if _is_same(job.path, job.source):
        raise OutputError(f"{job.out} is the input; choose another --out")
    if job.path.is_dir():
        raise OutputError(f"{job.out} is a folder; name a file in it")
    _check_folder_of(job.path, "--out", job.makes_folders)
    if job.path.exists() and not job.path.is_file():
        raise OutputError(f"{job.out} is no file; for a pipe, write to standard output with --out -")
    check_note(job.path)
    if job.path.exists() and not job.overwrite and is_unfinished:
        raise OutputError(f"{job.out} exists; pass --overwrite to replace it, or choose another --out")


def _check_report(job: Job, report: Path) -> None:
    if _is_same(report, job.source):
        raise OutputError(f"{report} is the input; choose another --report")
    if not job.is_to_standard_output and (_is_same(report, job.out) or report.absolute() == job.path.absolute()):
        raise OutputError(f"{report} is the result; choose another --report")
    if report.is_dir():
        raise OutputError(f"{report} is a folder; name a file in it")
    _check_folder_of(report, "--report")
    if report.exists() and not job.overwrite and (job.start_over or not is_finished(job.folder)):
        raise OutputError(f"{report} exists; pass --overwrite to replace it, or choose another --report")


def _check_folder_of(path: Path, option: str, is_created: bool = False) -> None:
    folder = path.parent
    while is_created and not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder; create it or choose another {option}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written to; choose another {option}")
    if len(os.fsencode(path.name)) > 200:  # beside it stand names that are longer
        raise OutputError(f"the name of {path} is too long; choose a shorter {option}")


def _is_same(path: Path, source: str) -> bool:
    if locations.is_address(source) or source == locations.STANDARD:
        return False
    try:
        return path.samefile(source)
    except OSError:
        return False


def output_format(job: Job, reader: Reader) -> str:
    """The result's format: asked for, or of the result's name; to standard output, the input's or JSON lines."""
    if job.out_format is not None:
        found = job.out_format
    elif job.is_to_standard_output:
        found = reader.format if reader.format in ("csv", "tsv") else "jsonl"
    else:
        found = detect_output(job.path)
    if found not in OUTPUT_FORMATS:
        raise OutputError(f"--out-format {found} is not known; use one of {', '.join(OUTPUT_FORMATS)}")
    if found == "parquet":
        require_pyarrow("the result is to be Parquet; to write it")
    return found


def check_columns(job: Job, reader: Reader, output_format: str) -> None:
    """Raise InputError if the added columns are in the way of the input's, or a column cannot be written."""
    PredictionColumns(job.prefix, job.options.analyses).check_against(reader.columns, job.options.all_scores)
    if job.report_by is not None and job.report_by not in reader.columns:
        raise InputError(no_column(reader.name, job.report_by, reader.columns))
    if output_format != "parquet":
        return
    for name in (*reader.columns, job.prefix):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the column {name!r} has half of a surrogate pair in its name, which Parquet cannot hold; "
                "write CSV or JSON lines"
            ) from None
    if isinstance(reader, ArrowReader):
        from batch_client.formats.parquet_writer import check_writable

        check_writable(reader.schema, reader.name)


def check_balance(expected: int, found: int, what: str) -> None:
    """Raise OutputError unless there are as many of `what` as rows that were read at first."""
    if expected != found:
        raise OutputError(
            f"the books do not balance: {expected:,} rows were read at first, but there are {found:,} {what}; "
            "nothing was published. Pass --start-over to score the input anew"
        )
