"""Partitioned directories: Parquet files in folders such as user=anna, whose names have columns.

Spark, DuckDB and pandas write them.
"""

from collections.abc import Iterator
from pathlib import Path

from kalmap.plural import counted
from kalmap.records.arrow_library import import_arrow
from kalmap_cli.errors import WrongUsage

_ENDING = ".parquet"
_HIDDEN = (".", "_")


def columns_of_folders(folder: Path) -> list[str]:
    """The columns in the names of a directory's folders, outermost first; empty if it has none."""
    inner = next((each for each in sorted(folder.iterdir()) if _is_partition(each)), None)
    if inner is None:
        return []
    return [inner.name.partition("=")[0], *columns_of_folders(inner)]


def join_partitions(folder: Path, target: Path) -> str:
    """Join the Parquet files of a partitioned directory into one, with the columns of its folders.

    What a folder's name says is text: the user 007 is not the user 7. A column that the files have
    is theirs.

    Args:
        folder: The directory.
        target: The file to write.

    Returns:
        What was joined, as a sentence.

    Raises:
        WrongUsage: The files do not fit together, or are none of Parquet.
        InvalidInput: No library for Parquet is installed.
    """
    columns, files = columns_of_folders(folder), sorted(map(str, _files(folder)))
    shown = f"{folder} is a directory of folders that have {' and '.join(columns)} in their names"
    if not files:
        raise WrongUsage(
            f"{shown}, and no file in them ends in {_ENDING}. kalmap reads such columns of Parquet "
            "only. Write the column into the files."
        )
    arrow = import_arrow(f"{folder} has Parquet files")
    from pyarrow import dataset, parquet  # noqa: PLC0415 - an extra that takes a second

    try:
        # Files may have columns that the first one lacks.
        found = [parquet.read_schema(file) for file in files]
        added = [name for name in columns if not any(name in each.names for each in found)]
        of_folders = arrow.schema([(name, arrow.string()) for name in added])
        joined = dataset.dataset(
            files,
            schema=arrow.unify_schemas([*found, of_folders], promote_options="permissive"),
            format="parquet",
            partitioning=dataset.partitioning(of_folders, flavor="hive"),
            partition_base_dir=str(folder),
        )
        with parquet.ParquetWriter(target, joined.schema) as writer:
            for batch in joined.to_batches(use_threads=False):
                writer.write_batch(batch)
    except (arrow.ArrowException, OSError) as error:
        raise WrongUsage(f"{shown}. Its files cannot be joined: {error}".splitlines()[0]) from error
    return (
        f"{folder}: {counted(len(files), 'Parquet file')} joined, with {' and '.join(columns)} "
        "from the names of the folders. Rows are counted through all files, in the order of their "
        "paths."
    )


def _is_partition(path: Path) -> bool:
    return path.is_dir() and "=" in path.name and not path.name.startswith(_HIDDEN)


def _files(folder: Path) -> Iterator[Path]:
    for each in folder.rglob(f"*{_ENDING}"):
        if each.is_file() and not each.name.startswith(_HIDDEN):
            yield each
