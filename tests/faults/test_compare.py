"""The comparison finds what was doctored: a lost, a doubled and a differing record, row and contact."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from streams.rows import row_dtype
from tests.faults import compare

WANTED = [
    {
        "decision_id": f"id-{at}",
        "score": 0.25 + at / 100,
        "reason": f"with probability 0.{at + 20}",
        "decided_at": at,
    }
    for at in range(4)
]


def decisions(found: list[dict[str, Any]]) -> compare.Findings:
    return compare.records("decision", found, WANTED, lambda row: row["decision_id"])


def row(**changes: Any) -> np.void:
    made = np.zeros(1, row_dtype(3, 4))[0]
    made["meta"]["applied"], made["ring"]["price"], made["hidden"] = 7, 1.5, 0.25
    for name, value in changes.items():
        made[name] = value
    return made


def test_equal_records_are_good_whatever_their_order_and_the_wall_clock():
    found = [{**wanted, "decided_at": 99} for wanted in reversed(WANTED)]
    findings = decisions(found)
    assert findings.good
    assert findings.compared == {"decision": 4}


def test_a_lost_record_is_found():
    findings = decisions(WANTED[1:])
    assert findings.lost == ["decision id-0"]
    assert not findings.doubled
    assert not findings.differing


def test_a_doubled_record_is_found():
    findings = decisions([*WANTED, WANTED[2]])
    assert findings.doubled == ["decision id-2: 2 times"]
    assert not findings.lost


def test_a_record_that_nobody_asked_for_is_found():
    findings = decisions([*WANTED, {**WANTED[2], "decision_id": "id-9"}])
    assert findings.doubled == ["decision id-9: nobody asked for it"]


@pytest.mark.parametrize(
    "change", [{"score": 0.2505}, {"reason": "with probability 0.25"}, {"reason": "without"}]
)
def test_a_differing_record_is_found(change: dict[str, Any]):
    findings = decisions([{**WANTED[0], **change}, *WANTED[1:]])
    assert len(findings.differing) == 1
    assert "id-0" in findings.differing[0]
    assert not findings.good


def test_the_last_bits_of_a_score_and_of_its_sentence_may_differ():
    near = {**WANTED[0], "score": 0.2500001, "reason": "with probability 0.21"}
    assert decisions([near, *WANTED[1:]]).good


def test_an_event_without_and_one_with_two_predictions_are_found():
    findings = compare.once("prediction", ["a", "b", "b", "d"], ["a", "b", "c"])
    assert findings.lost == ["prediction c"]
    assert findings.doubled == ["prediction b: 2 times", "prediction d: nobody asked for it"]


def test_equal_rows_are_good_within_the_tolerance_of_the_hidden_state():
    near = row(hidden=0.25 + 5e-6)
    assert compare.rows("row", {b"u": near}, {b"u": row()}).good


@pytest.mark.parametrize("name", ["meta", "ids", "ring"])
def test_one_bit_of_a_row_is_found(name: str):
    changed = copy.deepcopy(row())
    if name == "meta":
        changed["meta"]["applied"] += 1
    elif name == "ids":
        changed["ids"][1] = 1
    else:
        changed["ring"]["price"][2] = 1.5000001
    (found,) = compare.rows("row", {b"u": changed}, {b"u": row()}).differing
    assert name in found


@pytest.mark.parametrize("hidden", [0.26, np.nan])
def test_a_hidden_state_that_is_off_or_not_finite_is_found(hidden: float):
    (found,) = compare.rows("row", {b"u": row(hidden=hidden)}, {b"u": row()}).differing
    assert "hidden" in found


def test_a_lost_and_a_strange_row_are_found():
    findings = compare.rows("row", {b"u": row(), b"x": row()}, {b"u": row(), b"v": row()})
    assert findings.lost == ["row of b'v'"]
    assert findings.doubled == ["row of b'x': nobody asked for it"]


def test_contents_that_differ_are_found():
    findings = compare.contents("contact", {"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3"})
    assert findings.differing == ["contact b"]


def test_findings_add_up_and_say_what_they_found():
    findings = decisions(WANTED[1:])
    findings.add(decisions([*WANTED, WANTED[2]]))
    assert findings.compared == {"decision": 8}
    assert "lost 1\n  decision id-0" in str(findings)
    assert "doubled 1\n  decision id-2: 2 times" in str(findings)
