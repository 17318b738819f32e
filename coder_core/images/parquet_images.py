"""Images as bytes in Parquet files, a label beside each, as the Hugging Face hub keeps data sets."""

from coder_core.errors import DatasetError, InputError
from coder_core.images.image_files import shown_location
from coder_core.images.labelled_rows import LabelledRows
from coder_core.loops import each
from coder_core.specs import ParquetDataset
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.image_rows import ImageRows, read_image_rows
from coder_core.storage.input_files import InputFile
from coder_core.storage.input_search import find_inputs


def list_parquet(dataset: ParquetDataset) -> LabelledRows:
    """List the images of Parquet files, and read their labels; an image's id is its file and the number of its row.

    Raises:
        InputError: There is no such file.
        DatasetError: A file is none of Parquet, lacks a column, or a row has no label.
    """
    ignored, found = IgnoredFiles(), LabelledRows([], [], None, IgnoredFiles())
    for file in each(_parquet_files(dataset.path, ignored)):
        rows = read_image_rows(file, dataset.image, dataset.label)
        if None in rows.labels:
            problem = f"row {rows.labels.index(None)} has no label."
            raise DatasetError(problem, shown_location(file), "Take rows without a label out.")
        found.files.extend(_row_files(file, rows))
        found.labels.extend(label for label in rows.labels if label is not None)
        if found.names not in (None, rows.names):
            raise DatasetError("its classes are other ones than in the file before.", shown_location(file), "")
        found = found._replace(names=rows.names)
    return found._replace(ignored=ignored)


def _parquet_files(path: str, ignored: IgnoredFiles) -> list[InputFile]:
    search, files = find_inputs(path), []
    for file in search.files:
        if file.name.endswith(".parquet") or search.is_file:
            if file.problem:
                raise InputError(f"{file.problem}.", shown_location(file), "Mend it, or name other files.")
            files.append(file)
        else:
            ignored.add("suffix", shown_location(file), "no Parquet file")
    if not files:
        raise DatasetError("there is no Parquet file.", path, "Name .parquet files, a folder of them, or a pattern.")
    return sorted(files, key=lambda file: file.name)


def _row_files(file: InputFile, rows: ImageRows) -> list[InputFile]:
    width = len(str(max(0, len(rows.locations) - 1)))
    return [
        InputFile(location, f"{file.name}/{number:0{width}d}", 0, f"{file.token} {number}")
        for number, location in enumerate(rows.locations)
    ]
