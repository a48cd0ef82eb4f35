"""The table of statuses: that it is the same as what the documents can hold."""

from typing import Any, get_args

import pytest

from cortex.cli.statuses import STATUSES
from cortex.model import documents


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("task", [documents.TaskRow]),
        (
            "worker",
            [
                documents.QueuedWorker,
                documents.ActiveWorker,
                documents.CompletedWorker,
                documents.FailedWorker,
            ],
        ),
        ("handoff", [documents.HandoffRow]),
        ("escalation", [documents.EscalationRow]),
    ],
)
def test_each_kind_has_the_statuses_of_its_document(kind: str, rows: list[Any]) -> None:
    in_documents = {
        status for row in rows for status in get_args(row.model_fields["status"].annotation)
    }
    assert set(STATUSES[kind]) == in_documents
