"""What `deploy/k8s` repeats of the program, in agreement with it."""

import runpy
from pathlib import Path

import pytest

FILES: dict[Path, str] = runpy.run_path(str(Path(__file__).parents[2] / "deploy" / "k8s" / "generate.py"))["files"]()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_written_of_the_program_is_what_the_program_says(path: Path):
    assert path.read_text() == FILES[path], "run deploy/k8s/generate.py"
