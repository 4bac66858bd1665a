"""No row is forgotten."""

import re
from pathlib import Path


def test_every_row_has_a_test_of_its_name() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    named = {int(row) for row in re.findall(r"^def test_row_(\d\d)_", text, re.MULTILINE)}
    assert named == set(range(1, 26))
