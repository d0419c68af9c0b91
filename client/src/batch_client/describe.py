"""What the command `score` says about a run, before and after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from batch_client import locations
from batch_client.errors import without_secrets
from batch_client.failures import Failed
from batch_client.inputs import Inputs
from batch_client.job import Job
from batch_client.protocols import protocol_for
from batch_client.score import Plan, Summary
from batch_client.screen import listed
from batch_client.service_identity import listed_services
from batch_client.several import Part
from batch_client.survey import Survey


def describe_plan(job: Job, plan: Plan) -> list[str]:
    """The lines of `--dry-run`."""
    survey = plan.survey
    num_requests = -(-survey.num_sendable // protocol_for(job.options).max_texts)
    out = _name_of_result(job)
    return [
        f"Would score column {survey.text_column!r} of {locations.name_of(job.source)} through {job.options.address}.",
        f"Service: {plan.service}.",
        *([f"Answers so far by: {listed_services(plan.services)}."] if plan.services else []),
        f"Read as: {plan.description}.",
        *_joined(survey.num_joined),
        f"Rows: {survey.num_rows:,}; to be sent: {survey.num_sendable:,}; requests: {num_requests:,} or a few more.",
        *(f"Rows marked without being sent ({kind}): {number:,}" for kind, number in sorted(survey.unsendable.items())),
        f"Result: {out} ({plan.output_format})"
        + (f"; an unfinished run has {plan.num_done:,} rows already and would be resumed." if plan.num_done else "."),
    ]


def describe_summary(job: Job, summary: Summary) -> list[str]:
    """The lines at the end of a run."""
    num_asked = summary.num_rows - summary.num_resumed
    rate = num_asked / summary.elapsed_s if summary.elapsed_s else 0.0
    resumed = f" ({summary.num_resumed:,} of them by an earlier run)" if summary.num_resumed else ""
    out = _name_of_result(job)
    answered_by = f"Answered by {listed_services(summary.services)}" if summary.services else ""
    if job.retry_errors and not summary.is_origin_known:
        answered_by += "; which model gave the other answers is not known" if answered_by else ""
    return [
        f"Scored column {summary.text_column!r} of {locations.name_of(job.source)}, read as {summary.description}.",
        *_joined(summary.num_joined),
        *([f"{answered_by}."] if answered_by else []),
        f"{out}: {summary.num_rows:,} rows{resumed}, {summary.num_failed:,} with an error, "
        f"in {summary.elapsed_s:.1f} s ({rate:,.0f} rows/s), {summary.num_retries:,} attempts repeated.",
        *([f"Without an answer: {'; '.join(map(_failed, summary.failures.items()))}."] if summary.failures else []),
    ]


def describe_plans(plans: Sequence[tuple[Job, Survey]], inputs: Inputs, service: str) -> list[str]:
    """The lines of `--dry-run` for several files."""
    num_rows = sum(survey.num_rows for _, survey in plans)
    num_sendable = sum(survey.num_sendable for _, survey in plans)
    return [
        f"Would score {len(plans):,} files through {plans[0][0].options.address}.",
        f"Service: {service}.",
        *_left_out(inputs),
        *(
            f"{job.source}: column {survey.text_column!r}, {survey.num_rows:,} rows, "
            f"{survey.num_sendable:,} to be sent. Result: {job.out}"
            for job, survey in plans
        ),
        f"In all: {num_rows:,} rows, {num_sendable:,} to be sent.",
    ]


def describe_part(part: Part) -> list[str]:
    """The lines about one file of several, when it is finished."""
    if part.summary is None:
        return [f"{part.job.out}: {_counts(part.file.num_rows, part.file.num_failed)}, by an earlier run."]
    lines = describe_summary(part.job, part.summary)
    return [line for line in lines if not line.startswith("Answered by")]


def describe_total(parts: Sequence[Part], inputs: Inputs) -> list[str]:
    """The lines at the end of a run of several files."""
    num_earlier = sum(part.summary is None for part in parts)
    earlier = f" ({num_earlier:,} of them by an earlier run)" if num_earlier else ""
    services = list(dict.fromkeys(str(service) for part in parts for service in part.file.services))
    failures: Counter[str] = Counter()
    for part in parts:
        failures.update({kind: failed.num_rows for kind, failed in part.file.failures.items()})
    counts = _counts(sum(part.file.num_rows for part in parts), sum(part.file.num_failed for part in parts))
    without = "; ".join(f"{number:,} {kind.replace('_', ' ')}" for kind, number in failures.most_common())
    return [
        f"In all: {len(parts):,} files{earlier}, {counts}.",
        *([f"Answered by {', then by '.join(services)}."] if services else []),
        *([f"Without an answer: {without}."] if without else []),
        *_left_out(inputs),
    ]


def _joined(num_rows: int) -> list[str]:
    rows = "1 row" if num_rows == 1 else f"{num_rows:,} rows"
    return [f"In {rows} the texts of a list are joined by line breaks."] if num_rows else []


def _counts(num_rows: int, num_failed: int) -> str:
    return f"{num_rows:,} rows, {num_failed:,} with an error"


def _left_out(inputs: Inputs) -> list[str]:
    if not inputs.left_out:
        return []
    number = "1 file" if len(inputs.left_out) == 1 else f"{len(inputs.left_out):,} files"
    return [f"Left out: {number} without a known ending: {listed(inputs.left_out)}; --format takes them."]


def _failed(failed: tuple[str, Failed]) -> str:
    kind, rows = failed
    return f"{rows.num_rows:,} {kind.replace('_', ' ')} (row {rows.first_row:,}: {rows.first_reason})"


def _name_of_result(job: Job) -> str:
    return "standard output" if job.is_to_standard_output else without_secrets(job.out)
