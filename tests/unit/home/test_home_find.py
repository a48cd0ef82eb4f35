"""Which home a command means."""

from pathlib import Path

import pytest

from cortex.home import create_home, find_home
from cortex.model.errors import HomeError


def test_the_nearest_folder_above_with_a_settings_file_is_the_home(tmp_path: Path) -> None:
    create_home(tmp_path / "outer")
    create_home(tmp_path / "outer" / "inner")
    deep = tmp_path / "outer" / "inner" / "a" / "b"
    deep.mkdir(parents=True)
    assert find_home(None, {}, deep) == tmp_path / "outer" / "inner"


def test_a_named_home_wins_over_the_environment_and_that_over_the_folder(tmp_path: Path) -> None:
    homes = [create_home(tmp_path / name).root for name in ("named", "environment", "here")]
    environ = {"CORTEX_HOME": str(homes[1])}
    assert find_home(str(homes[0]), environ, homes[2]) == homes[0]
    assert find_home(None, environ, homes[2]) == homes[1]
    assert find_home(None, {}, homes[2]) == homes[2]


def test_without_a_home_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cortex init"):
        find_home(None, {}, tmp_path)


@pytest.mark.parametrize("origin", ["--home", "CORTEX_HOME"])
def test_a_named_folder_that_is_no_home_is_refused_by_name(tmp_path: Path, origin: str) -> None:
    (tmp_path / "plain").mkdir()
    for path in (tmp_path / "plain", tmp_path / "missing"):
        explicit = str(path) if origin == "--home" else None
        with pytest.raises(HomeError, match=origin) as caught:
            find_home(explicit, {"CORTEX_HOME": str(path)}, tmp_path)
        assert str(path) in str(caught.value)
        assert "cortex init" in str(caught.value)


def test_a_settings_file_named_as_home_is_answered_with_its_folder(tmp_path: Path) -> None:
    root = create_home(tmp_path / "fleet").root
    with pytest.raises(HomeError, match="name its folder") as caught:
        find_home(str(root / "cortex.toml"), {}, tmp_path)
    assert str(caught.value).endswith(str(root))
    assert "init" not in str(caught.value)
