"""What to score, how, and where the result goes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from batch_client import locations
from batch_client.formats.delimited import CellStyle
from batch_client.formats.source import ReadOptions
from batch_client.options import Options
from batch_client.selected import Selection
from batch_client.service_identity import ServiceIdentity
from batch_client.survey import Survey


@dataclass(frozen=True)
class Job:
    """What to score and where to write it: files, addresses (`s3://...`), or `-` for standard input and output."""

    source: str
    out: str
    options: Options
    read: ReadOptions
    text_column: str | None = None
    prefix: str = ""
    overwrite: bool = False
    start_over: bool = False
    report: Path | None = None
    report_by: str | None = None
    retry_errors: bool = False
    accept_model_change: bool = False
    out_format: str | None = None
    makes_folders: bool = False
    """Whether the folders of the result are created."""
    expected: tuple[ServiceIdentity, ...] = ()
    """The services that gave the answers of other files of the same run; no other may answer."""
    selection: Selection = field(default_factory=Selection)
    style: CellStyle = field(default_factory=CellStyle)

    @property
    def path(self) -> Path:
        """Where the result goes; for an address, the file name of it."""
        if locations.is_address(self.out):
            return Path(self.out.rstrip("/").rpartition("/")[2])
        return Path(os.path.realpath(self.out)) if os.path.islink(self.out) else Path(self.out)

    @property
    def cell_style(self) -> CellStyle:
        """How cells of text are written: with a header if the input has one."""
        return replace(self.style, has_header=self.read.has_header)

    @property
    def is_to_standard_output(self) -> bool:
        """Whether the result is written to standard output, once it is complete."""
        return self.out == locations.STANDARD

    @property
    def folder(self) -> Path:
        """Where the run works until the result is complete."""
        return self.path.with_name(self.path.name + ".partial")

    def identity(self, survey: Survey) -> dict[str, object]:
        """What must be the same for an unfinished run to be resumed, by the name of its option."""
        return {
            "input": survey.sha256,
            "--text-column": survey.text_column,
            "--url": self.options.address,
            "--protocol": self.options.protocol,
            "--max-length": self.options.max_length,
            "--on-long-text": self.options.on_long_text,
            "--all-scores": self.options.all_scores,
            # A run that an earlier version began does not say which.
            "--analyses": ",".join(self.options.analyses) or None,
            "--retry-errors": self.retry_errors,
            "--limit": self.selection.limit,
            "--sample": self.selection.sample,
            "--out-delimiter": self.style.delimiter,
            "--out-bom": self.style.has_bom,
            "--format": self.read.format,
            "--encoding": self.read.encoding,
            "--delimiter": self.read.delimiter,
            "--sheet": self.read.sheet,
            "--no-header": not self.read.has_header,
            "--quotes": self.read.has_quotes,
        }
