"""The command `cortexd`: one home, its lock, the real seams, and a daemon on them.

Reads the command line and the settings; what a daemon does stands in `daemon`.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from cortex import __version__
from cortex.control.clock import RealClock
from cortex.control.effects import ThreadEffects
from cortex.control.home_lock import HomeLock
from cortex.control.logging import make_log
from cortex.control.notifying import Notifier
from cortex.control.opening import make_folders, only_daemon
from cortex.control.runtime_dirs import clear_abandoned, is_anothers, runtime_dir_in_use
from cortex.daemon import Daemon, Seams
from cortex.home.find import find_home
from cortex.masters.library import Library
from cortex.model.errors import CortexError, SettingsError
from cortex.model.formats import FormatTooNew
from cortex.model.paths import HomePaths
from cortex.model.settings import Settings, load_settings
from cortex.runtime.local import LocalExecutor
from cortex.runtime.table import runtime_infos
from cortex.store.disk import RealDisk
from cortex.store.journal_errors import JournalBroken, JournalDamaged, JournalUnknown

__all__ = ["main"]

#: EX_CONFIG of sysexits.h: another start would end the same way until a person has done something.
NEEDS_A_PERSON = 78
_FOR_A_PERSON = (SettingsError, FormatTooNew, JournalDamaged, JournalUnknown)


def main(argv: list[str] | None = None) -> int:
    """The command `cortexd`; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="cortexd",
        description="The Cortex daemon: watches a home's coordination/ folder, plans, pays for,\n"
        "starts and follows workers. It runs in the foreground; stop it with Ctrl-C or\n"
        "SIGTERM. Workers outlive it, and the next cortexd adopts them.",
        epilog="examples:\n  cortexd --home ~/fleet\n  cortexd --log-format json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--home", metavar="DIR", help="the home (else CORTEX_HOME, else around here)"
    )
    parser.add_argument(
        "--drain", action="store_true", help="when stopped, wait for running workers to end first"
    )
    parser.add_argument(
        "--log-format", choices=("auto", "console", "json"), help="overrides daemon.log_format"
    )
    parser.add_argument("--version", action="version", version=f"cortexd {__version__}")
    options = parser.parse_args(argv)
    # A watchdog ends a hanging daemon by SIGABRT; then the log has the stack of every thread.
    faulthandler.enable()
    try:
        return _serve(options)
    except CortexError as error:
        sys.stderr.write(f"cortexd: {error}\n")
        return NEEDS_A_PERSON if isinstance(error, _FOR_A_PERSON) else 1
    except OSError as error:
        sys.stderr.write(f"cortexd: {error.filename or ''}: {error.strerror}\n")
    return 1


def _real_seams(paths: HomePaths, settings: Settings, runtime_dir: str, lock: HomeLock) -> Seams:
    return Seams(
        clock=RealClock(),
        disk=RealDisk(),
        make_executor=lambda: LocalExecutor(paths.state, containment=settings.workers.containment),
        make_effects=ThreadEffects,
        library=Library(paths, runtime_infos(), keeps=True),
        runtime_dir=runtime_dir,
        archive_index=paths.archive_index,
        pid=os.getpid(),
        notifier=Notifier.from_environment(),
        is_still_locked=lock.still_held,
        is_anothers_dir=partial(is_anothers, home=paths.root),
    )


def _serve(options: argparse.Namespace) -> int:
    paths = HomePaths(Path(find_home(options.home)).resolve())
    settings = load_settings(paths.settings)
    log = make_log(options.log_format or settings.daemon.log_format)
    make_folders(paths)
    with only_daemon(paths) as lock, runtime_dir_in_use(paths, settings) as runtime_dir:
        threading.Thread(target=_clear, args=(runtime_dir, log), daemon=True).start()
        seams = _real_seams(paths, settings, runtime_dir, lock)
        daemon = Daemon(paths, settings, log, seams, drain=options.drain)
        try:
            daemon.run()
        except JournalBroken as error:
            log.error(str(error))
            return 1
    return 0


def _clear(runtime_dir: str, log: Any) -> None:
    """Clears away the locks of homes that are gone, once, beside everything else."""
    cleared = clear_abandoned(runtime_dir)
    if cleared:
        log.info("runtime folders of homes that are gone were removed", folders=cleared)


if __name__ == "__main__":
    sys.exit(main())
