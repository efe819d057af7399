"""The data folder belongs to its owner and to one process."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from toolyard.errors import SettingsError
from toolyard_embedded.folder import DataFolder

HOLD = """
import signal, sys
from pathlib import Path
from toolyard_embedded.folder import DataFolder
folder = DataFolder(Path(sys.argv[1])).open()
print("held", flush=True)
signal.pause()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_for_its_owner_alone(tmp_path):
    folder = DataFolder(tmp_path / "a" / ".toolyard").open()
    assert mode(folder.path) == 0o700
    assert mode(folder.path / "lock") == 0o600
    folder.close()


def test_a_folder_that_was_open_to_others_is_closed_to_them(tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    folder = DataFolder(tmp_path / "data").open()
    assert mode(folder.path) == 0o700
    folder.close()


def test_a_second_process_is_told_who_holds_it_and_what_to_do(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SettingsError, match=rf"in use by process {holder.pid}; stop .* TOOLYARD_DATA"):
            DataFolder(tmp_path).open()
        holder.send_signal(signal.SIGKILL)
    DataFolder(tmp_path).open().close()  # the kernel lets go of what a killed process held


def test_it_can_be_opened_again_after_its_end(tmp_path):
    folder = DataFolder(tmp_path)
    folder.open().close()
    folder.open()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    folder.close()
    folder.close()


def test_a_place_where_no_folder_can_be_is_named_with_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/data cannot be used: Not a directory; set TOOLYARD_DATA"):
        DataFolder(tmp_path / "file" / "data").open()


def test_its_database_stands_in_it(tmp_path):
    assert DataFolder(tmp_path).database_url() == f"sqlite:///{tmp_path}/toolyard.db"
