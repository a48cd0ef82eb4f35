"""Which secret may go to which host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cortex.worker.contract import Worker, read_worker
from cortex.worker.tools.credentials import host_of, token_for

NAMES = ["GH_TOKEN", "GITLAB_TOKEN", "SHOP_TOKEN", "SSH_AUTH_SOCK"]


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker whose environment has a secret under each of its named variables."""
    for name in NAMES:
        monkeypatch.setenv(name, f"secret of {name}")
    (tmp_path / "spec.json").write_text(json.dumps({"scope": {"credentials": NAMES[:2]}}))
    env = {"CORTEX_SPEC": str(tmp_path / "spec.json"), "CORTEX_RESULTS": str(tmp_path / "r.json")}
    return read_worker(env)


@pytest.mark.parametrize(
    ("address", "token"),
    [
        ("https://github.com/shop/shop.git", "secret of GH_TOKEN"),
        ("https://gitlab.com/shop/shop.git", "secret of GITLAB_TOKEN"),
        ("https://github.com.evil.example/shop.git", None),
        ("https://github.evil.example/shop.git", None),
        ("https://github.com@evil.example/shop.git", None),
        ("http://github.com/shop.git", None),
        ("git@github.com:shop/shop.git", None),
        ("file:///srv/shop.git", None),
        ("/srv/shop.git", None),
    ],
)
def test_a_forges_token_goes_to_that_forge_over_https_alone(
    worker: Worker, address: str, token: str | None
) -> None:
    assert token_for(worker, address) == token


def test_a_variable_of_another_name_was_named_for_another_host(worker: Worker) -> None:
    spec = {"scope": {"credentials": ["SHOP_TOKEN"]}}
    (worker.dir / "spec.json").write_text(json.dumps(spec))
    env = {
        "CORTEX_SPEC": str(worker.dir / "spec.json"),
        "CORTEX_RESULTS": str(worker.results_path),
    }
    own = read_worker(env)
    assert token_for(own, "https://git.shop.example/a.git") == "secret of SHOP_TOKEN"


def test_hosts_are_read_of_every_form_of_address() -> None:
    assert host_of("git@github.com:shop/shop.git") == "github.com"
    assert host_of("ssh://git@github.com:22/shop.git") == "github.com"
    assert host_of("/srv/a@b:c") in ("", "b")
