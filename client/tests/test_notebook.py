"""A notebook that is run as Jupyter runs it: progress, columns and the page of charts below its cells.

`make test-hosts` runs it: apart from the other tests, as it needs 37 packages more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stand_in import Service, prediction

CELLS = [
    "import pandas as pd\nfrom batch_client import Client, classify_frame",
    "reviews = pd.DataFrame({'review': ['I love this!', ' '] * 500})\n"
    "with Client(URL) as client:\n    scored = classify_frame(reviews, 'review', client, progress=True)",
    "scored.head(2)",
    "!{sys.executable} -m batch_client.cli score in.csv --text-column review --url {URL} --out o.csv --report r.html",
    "from IPython.display import HTML\nHTML(filename='r.html')",
]


def test_a_notebook_shows_progress_columns_and_the_report(service: Service, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from nbformat.v4 import new_code_cell, new_notebook

    (tmp_path / "in.csv").write_text("id,review\n1,I love this!\n2,Terrible.\n")
    start = f"import sys\nURL = {service[0]!r}"
    notebook: Any = new_notebook(cells=[new_code_cell(source) for source in [start, *CELLS]])
    nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    _, _, asked, head, run, page = (str(cell.outputs) for cell in notebook.cells)
    assert "1,000 of 1,000 rows, " in asked
    assert "500 errors" in asked
    assert prediction("I love this!")["sentiment"] in head
    assert "the text is blank" in head
    assert "2 rows, 0 with an error" in run
    assert '<section id="sentiments">' in page
