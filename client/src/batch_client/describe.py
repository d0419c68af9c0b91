"""What the command `score` says about a run, before and after it."""

from __future__ import annotations

from batch_client import locations
from batch_client.errors import without_secrets
from batch_client.failures import Failed
from batch_client.job import Job
from batch_client.protocols import protocol_for
from batch_client.score import Plan, Summary
from batch_client.service_identity import listed_services


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
        *([f"{answered_by}."] if answered_by else []),
        f"{out}: {summary.num_rows:,} rows{resumed}, {summary.num_failed:,} with an error, "
        f"in {summary.elapsed_s:.1f} s ({rate:,.0f} rows/s), {summary.num_retries:,} attempts repeated.",
        *([f"Without an answer: {'; '.join(map(_failed, summary.failures.items()))}."] if summary.failures else []),
    ]


def _failed(failed: tuple[str, Failed]) -> str:
    kind, rows = failed
    return f"{rows.num_rows:,} {kind.replace('_', ' ')} (row {rows.first_row:,}: {rows.first_reason})"


def _name_of_result(job: Job) -> str:
    return "standard output" if job.is_to_standard_output else without_secrets(job.out)
