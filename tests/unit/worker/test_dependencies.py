"""Reading pins with their lines, and deciding which advisories a version falls under."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from cortex.worker.tools.advisories import read_advisories
from cortex.worker.tools.cvss import base_score
from cortex.worker.tools.online_audit import read_npm_audit, read_pip_audit
from cortex.worker.tools.pins import Pin, read_pins
from cortex.worker.tools.source_files import read_tree

FILES = {
    "requirements-dev.txt": "-r other.txt\n\nFlask_Login == 0.6.2  # why\ndjango>=4\n"
    "six==1.16.0 \\\n    --hash=sha256:aa\n",
    "pyproject.toml": '[project]\nname = "x"\ndependencies = [\n  "requests==2.31.0",\n]\n'
    '[tool.poetry.dependencies]\npython = "^3.11"\nattrs = "23.1.0"\nrich = {version = "^13"}\n',
    "setup.cfg": "[metadata]\nname = x\n[options]\ninstall_requires =\n    pyyaml==6.0\n",
    "uv.lock": 'version = 1\n\n[[package]]\nname = "idna"\nversion = "3.4"\n',
    "Pipfile.lock": '{"default": {\n "certifi": {"version": "==2022.12.7"}\n}}',
    "lib/a-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: a\nVersion: 1.0\n"
    "Requires-Dist: b==2.0\n\nSix==1.0\n",
    "package.json": '{\n "dependencies": {\n  "left-pad": "1.3.0",\n  "lodash": "^4.0.0"\n }\n}',
    "old/package-lock.json": '{"lockfileVersion": 1, "dependencies": {\n'
    '"a": {"version": "1.0.0", "dependencies": {\n"@s/b": {"version": "2.0.0"}}}}}',
}  # fmt: skip


def pins_of(root: Path) -> dict[tuple[str, str], Pin]:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    pins, problems = read_pins(read_tree(str(root)))
    assert problems == []
    return {(pin.file, pin.name): pin for pin in pins}


@pytest.mark.parametrize(
    ("file", "name", "version", "line"),
    [
        ("requirements-dev.txt", "flask-login", "0.6.2", 3),
        ("requirements-dev.txt", "django", None, 4),
        ("requirements-dev.txt", "six", "1.16.0", 5),
        ("pyproject.toml", "requests", "2.31.0", 4),
        ("pyproject.toml", "attrs", "23.1.0", 8),
        ("pyproject.toml", "rich", None, 9),
        ("setup.cfg", "pyyaml", "6.0", 5),
        ("uv.lock", "idna", "3.4", 5),
        ("Pipfile.lock", "certifi", "2022.12.7", 2),
        ("lib/a-1.0.dist-info/METADATA", "a", "1.0", 3),
        ("lib/a-1.0.dist-info/METADATA", "b", "2.0", 4),
        ("package.json", "left-pad", "1.3.0", 3),
        ("package.json", "lodash", None, 4),
        ("old/package-lock.json", "@s/b", "2.0.0", 3),
    ],
)
def test_a_dependency_is_read_with_its_version_and_line(
    tmp_path: Path, file: str, name: str, version: str | None, line: int
) -> None:
    pin = pins_of(tmp_path)[file, name]
    assert (pin.version, pin.line) == (version, line)


def test_text_below_the_head_of_metadata_is_no_dependency(tmp_path: Path) -> None:
    assert ("lib/a-1.0.dist-info/METADATA", "six") not in pins_of(tmp_path)


def test_a_broken_manifest_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{")
    (tmp_path / "requirements.txt").write_text("a==1\n")
    pins, problems = read_pins(read_tree(str(tmp_path)))
    assert [pin.name for pin in pins] == ["a"]
    assert problems == ["package.json could not be read: JSONDecodeError"]


def osv(ecosystem: str, name: str, *events: dict[str, str], **more: object) -> str:
    kind = "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
    span = {"type": kind, "events": list(events)}
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [span]}
    return json.dumps({"id": "X-1", "affected": [affected], **more})


@pytest.mark.parametrize(
    ("ecosystem", "version", "affected"),
    [
        ("PyPI", "0.9", True),
        ("PyPI", "1.9.9", True),
        ("PyPI", "2.0rc1", True),
        ("PyPI", "2.0", False),
        ("PyPI", "2.5", False),
        ("PyPI", "3.0.post1", True),
        ("PyPI", "3.2", True),
        ("PyPI", "3.2.1", False),
        ("PyPI", "not a version", False),
        ("npm", "1.9.9", True),
        ("npm", "2.0.0-rc.1", True),
        ("npm", "2.0.0", False),
        ("npm", "3.1.10", True),
        ("npm", "3.2.0", True),
        ("npm", "3.2.1", False),
        ("npm", "latest", False),
    ],
)
def test_the_events_of_a_range_decide_whether_a_version_is_affected(
    tmp_path: Path, ecosystem: str, version: str, affected: bool
) -> None:
    events = [
        {"introduced": "3.0.0"},
        {"last_affected": "3.2.0"},
        {"introduced": "0"},
        {"fixed": "2.0.0"},
    ]
    (tmp_path / "x.json").write_text(osv(ecosystem, "p", *events))
    advisories = read_advisories(tmp_path, [(ecosystem, "p")])
    assert bool(advisories.of(ecosystem, "p", version)) is affected


def test_a_listed_version_is_affected_however_it_is_spelled(tmp_path: Path) -> None:
    document = json.loads(osv("PyPI", "P_q"))
    document["affected"][0]["versions"] = ["1.0"]
    (tmp_path / "x.json").write_text(json.dumps(document))
    advisories = read_advisories(tmp_path, [("PyPI", "p-q")])
    assert advisories.of("PyPI", "p-q", "1.0.0")
    assert not advisories.of("PyPI", "p-q", "1.0.1")


def test_advisories_are_read_out_of_zip_files_and_withdrawn_ones_do_not_count(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.json", osv("npm", "p", {"introduced": "0"}))
        archive.writestr("b.json", osv("npm", "p", {"introduced": "0"}, withdrawn="2020-01-01"))
        archive.writestr("c.json", "[]")
    advisories = read_advisories(tmp_path, [("npm", "p")])
    assert len(advisories.of("npm", "p", "1.0.0")) == 1
    assert advisories.unreadable == 1


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:N/AC:L", None),
        ("CVSS:3.1/AV:N", None),
    ],
)
def test_a_cvss_vector_has_its_published_score(vector: str, score: float | None) -> None:
    assert base_score(vector) == score


PIN = Pin("PyPI", "jinja2", "2.10", "==2.10", "requirements.txt", 1)


@pytest.mark.parametrize(
    "answer",
    [
        {"dependencies": [{"name": "jinja2", "skip_reason": "no service"}]},
        {"dependencies": []},
    ],
)
def test_a_pip_audit_that_skipped_something_is_not_an_answer(answer: object) -> None:
    with pytest.raises(ValueError, match="pip-audit"):
        read_pip_audit(json.dumps(answer).encode(), [PIN])


def test_a_whole_pip_audit_answer_gives_findings() -> None:
    vulnerable = {"id": "GHSA-1", "fix_versions": ["2.10.1"], "aliases": [], "description": "d"}
    answer = {"dependencies": [{"name": "Jinja2", "version": "2.10", "vulns": [vulnerable]}]}
    (found,) = read_pip_audit(json.dumps(answer).encode(), [PIN])
    assert (found["rule"], found["fixed_version"], found["line"]) == ("GHSA-1", "2.10.1", 1)


def test_an_error_object_of_npm_is_not_an_answer() -> None:
    with pytest.raises(ValueError, match="npm audit"):
        read_npm_audit(b'{"error": {"code": "E405"}}', [])
