"""Where the numbers of a page come from: what must be known to judge or repeat them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from batch_client import locations
from batch_client.formats.source import Reader
from batch_client.job import Job
from batch_client.service_identity import ServiceIdentity, listed_services
from batch_client.survey import Survey


def facts_of(job: Job, reader: Reader, survey: Survey, services: Sequence[ServiceIdentity]) -> Mapping[str, str]:
    """The facts about a run, by what people call them."""
    options = job.options
    analyses = f"analyses {', '.join(options.analyses)}, " if options.analyses else ""
    said = f"{analyses}max length {options.max_length}, long texts: {options.on_long_text}, protocol {options.protocol}"
    return {
        "File": locations.name_of(job.source),
        "Column": survey.text_column,
        "Read as": reader.description,
        "Service": options.address,
        "Answered by": listed_services(services) if services else "not known: the service does not say",
        "Options": said + (", retry errors" if job.retry_errors else ""),
        "Date": now(),
    }


def now() -> str:
    """The present minute, for people everywhere."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
