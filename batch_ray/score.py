"""Score Parquet files of any number with any number of machines: `python -m batch_ray.score --help`.

Ray Data reads, spreads and writes; each actor has an engine of its own. What was written is remembered in a checkpoint,
so that the same command, given again after a crash, does the rest and nothing twice.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from pyarrow import dataset
from ray.data.checkpoint import CheckpointConfig

from batch_ray.scorer import Scorer
from batch_ray.unwritten import bound_unwritten

ROWS_PER_BLOCK = 2000
"""A crash loses whole blocks. Left alone Ray makes them of up to 128 MiB: a small input would be one block, and be lost
to its last row."""

BATCH_ROWS = 500
"""Rows in one call of the engine: enough to fill its passes."""

SPARE_CPUS = 3
"""For reading, writing, and the actor that a resumed job adds to leave out what is done."""

FILTER_MEMORY_BYTES = 64 * 2**20
"""What that actor asks for at least. Ray's default, a GiB, is more than a small machine has left."""


def start_ray(address: str | None, num_actors: int) -> None:
    """Join a cluster, or start one on this machine.

    On a machine with as many cores as actors, a resumed job would never end: the actors hold all CPUs that Ray
    counts, and one more is wanted. So a local cluster gets some more; they are slots, not cores.
    """
    if address is not None:
        ray.init(address=address)
        return
    num_cpus = max(os.cpu_count() or 1, num_actors + SPARE_CPUS)
    ray.init(num_cpus=num_cpus, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": _search_path()}})


def score(
    source: str,
    target: str,
    checkpoint: str,
    *,
    text_column: str,
    id_column: str,
    num_actors: int,
    use_gpu: bool,
    rows_per_block: int = ROWS_PER_BLOCK,
    analyses: Sequence[str] = (),
) -> None:
    """Score every row of the Parquet files at `source` that `checkpoint` does not have, into files at `target`.

    Paths are of files or folders, here or in an object store (`s3://...`); those of a cluster must be seen by all its
    machines. `id_column` must be unique in all files together. `analyses` are what is asked for, the sentiment if none.

    Raises:
        ValueError: a column is missing.
    """
    context = ray.data.DataContext.get_current()
    config = CheckpointConfig(id_column, checkpoint, delete_checkpoint_on_success=False)
    config.checkpoint_actor_pool_max_size = 1
    config.checkpoint_actor_memory_bytes = FILTER_MEMORY_BYTES
    context.checkpoint_config = config
    bound_unwritten(context, num_actors)
    rows = ray.data.read_parquet(source, **_for_int96(source))
    missing = {text_column, id_column} - set(rows.schema().names)
    if missing:
        raise ValueError(
            f"{source} has no column {', '.join(sorted(missing))}; it has {', '.join(rows.schema().names)}"
        )
    rows.repartition(target_num_rows_per_block=rows_per_block).map_batches(
        Scorer,
        fn_constructor_args=[text_column, list(analyses)],
        batch_size=BATCH_ROWS,
        # NumPy has no nulls among integers, and no nested values: those would be changed on their way.
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_gpus=1 if use_gpu else 0,
    ).write_parquet(target)


def main() -> int:
    parser = argparse.ArgumentParser(prog="batch_ray.score", description=__doc__)
    parser.add_argument("source", help="Parquet file or folder, here or in an object store")
    parser.add_argument("target", help="folder for the results, as Parquet")
    parser.add_argument("--checkpoint", help="folder that remembers what is done; default: TARGET.checkpoint")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--id-column", default="id", help="unique in all files together")
    parser.add_argument(
        "--actors", type=int, default=1, help="engines: one for each GPU, or one or two on a CPU machine"
    )
    parser.add_argument("--gpu", action="store_true", help="give each actor a GPU")
    parser.add_argument(
        "--rows-per-block", type=int, default=ROWS_PER_BLOCK, help="a crash costs up to 3 blocks an actor"
    )
    parser.add_argument("--analyses", help="names, such as sentiment,emotion; left out: the sentiment")
    parser.add_argument("--address", help="of a Ray cluster, or 'auto'; left out, one is started on this machine")
    args = parser.parse_args()
    checkpoint = args.checkpoint or args.target.rstrip("/") + ".checkpoint"
    start_ray(args.address, args.actors)
    try:
        score(
            _absolute(args.source), _absolute(args.target), _absolute(checkpoint),
            text_column=args.text_column, id_column=args.id_column, num_actors=args.actors, use_gpu=args.gpu,
            rows_per_block=args.rows_per_block, analyses=args.analyses.split(",") if args.analyses else [],
        )  # fmt: skip
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _for_int96(source: str) -> dict[str, Any]:
    """What Ray needs to read Spark's old timestamps (INT96) in microseconds, as Spark counts. Nothing without any.

    Arrow takes them for nanoseconds, which end in 2262: Spark's 9999-12-31 would become a day of 1816.
    """
    options = {"coerce_int96_timestamp_unit": "us"}
    schema = dataset.dataset(source, format=dataset.ParquetFileFormat(**options)).schema
    is_there = schema != dataset.dataset(source, format="parquet").schema
    return {"schema": schema, "dataset_kwargs": options} if is_there else {}


def _absolute(path: str) -> str:
    """Ray's workers have another working directory."""
    return path if "://" in path else str(Path(path).resolve())


def _search_path() -> str:
    """Where workers find this repository's packages: they are not installed for them, and start elsewhere."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


if __name__ == "__main__":
    sys.exit(main())
