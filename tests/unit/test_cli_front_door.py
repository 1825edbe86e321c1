"""The command line: light, documented, honest exit codes, and never a traceback for a user's mistake."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakewatchd.cli import main as front
from lakewatchd.cli import output, tag
from lakewatchd.cli.output import size_text
from lakewatchd.errors import ConfigError, LakewatchError

HEAVY = ("lancedb", "lance", "torch", "pyarrow", "numpy", "PIL", "rich", "pyfuse3", "watchdog", "transformers")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Where another user may enter: pytest closes its own directories whenever another of it starts."""
    with tempfile.TemporaryDirectory(prefix="lakewatchd-test-") as base:
        Path(base).chmod(0o711)
        yield Path(base)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return config_in(tmp_path)


def config_in(tmp_path: Path) -> Path:
    path = tmp_path / "lakewatchd.toml"
    path.write_text(
        f'[daemon]\nstate_dir = "{tmp_path}/state"\nruntime_dir = "{tmp_path}/run"\n'
        f'[view]\nmountpoint = "{tmp_path}/view"\n[[root]]\nname = "files"\npath = "{tmp_path}/files"\n'
    )
    (tmp_path / "files").mkdir()
    return path


def command(*argv: str | Path, **kwargs: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "lakewatchd", *map(str, argv)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, **kwargs)  # type: ignore[call-overload]


def test_the_front_door_loads_nothing_heavy() -> None:
    code = (
        "import sys; from lakewatchd.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "exit codes:" in done.stdout


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in set(action.choices.values()):
                yield child
                yield from parsers(child)


def test_every_command_has_an_example_and_accepts_config_anywhere() -> None:
    commands = list(parsers(front.build_parser()))
    assert {parser.prog for parser in commands} >= {f"lakewatchd {name}" for name in front.COMMANDS}
    for parser in commands:
        assert re.search(r"^examples?:\n  lakewatchd ", parser.format_help(), re.MULTILINE), parser.prog
        assert "--config" in parser._option_string_actions, parser.prog
        assert re.match(r"[A-Z]", parser.description or ""), parser.prog
        assert "``" not in parser.format_help(), parser.prog


def test_config_before_and_after_the_command_mean_the_same(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for argv in (
        ["--config", str(config), "check", "--show-config"],
        ["check", "--show-config", "--config", str(config)],
    ):
        assert front.main(argv) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert 'name = "files"' in outputs[0]


def test_config_problems_are_listed_with_lines_and_exit_78(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[daemon]\ndrain = 1\n[watch]\nsettle_s = -1\n")
    done = command("status", "--config", bad)
    assert done.returncode == 78
    assert f"{bad}:2: unknown key 'drain'; did you mean 'drain_s'?" in done.stderr
    assert f"{bad}:4: settle_s" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert "Traceback" in command("--debug", "status", "--config", bad).stderr


def test_a_missing_config_says_how_to_make_one(tmp_path: Path) -> None:
    done = command("status", "--config", tmp_path / "none.toml")
    assert done.returncode == 78
    assert "error: " in done.stderr and "fix: write one: cp " in done.stderr


@pytest.mark.parametrize("argv", [["scan"], ["queue", "pause"], ["queue", "retry", "--all"], ["status", "--wait"]])
def test_orders_to_a_daemon_that_is_down_exit_3(
    argv: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert front.main(["--config", str(config), *argv]) == 3
    told = capsys.readouterr().err
    assert "not running" in told and "fix: systemctl start lakewatchd" in told


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["search", "--root", "nowhere", "dog"], "there is no root 'nowhere'"),
        (["ask", "--root", "nowhere", "dog?"], "there is no root 'nowhere'"),
        (["ask", " "], "ask something"),
        (["ask", "x" * 2001], "at most 2000 characters"),
    ],
)
def test_what_cannot_be_asked_is_told_whether_or_not_somebody_answers(
    argv: list[str], complaint: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert front.main(["--config", str(config), *argv]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["fly"], ["queue"], ["queue", "retry"], ["queue", "list", "--limit", "x"]])
def test_wrong_usage_exits_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        front.main(argv)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("argv", "tip"),
    [
        (["statsu"], "no command 'statsu'; did you mean 'status'?"),
        (["status", "--jsno"], "no option --jsno; did you mean '--json'?"),
        (["queue", "retri"], "no action 'retri'; did you mean 'retry'?"),
        (["scan", "--accept"], "no option --accept; did you mean '--accept-removals'?"),
        (["check", "--zzz"], "options: --help, --show-config, --write-probe, --repair, --recall, --json"),
    ],
)
def test_a_slip_of_the_finger_is_told(argv: list[str], tip: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        front.main(argv)
    error, fix = capsys.readouterr().err.splitlines()
    assert tip in error and fix.endswith(" --help`")


def test_a_message_of_several_lines_is_not_several_problems(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_error(LakewatchError("it failed\nfor this reason"))
    assert "problems" not in capsys.readouterr().err
    output.show_error(ConfigError("a:1: one\na:2: two"))
    assert "2 problems" in capsys.readouterr().err


def test_a_pipe_gets_no_padding(config: Path) -> None:
    told = command("status", "--config", config)
    assert told.stdout.count("\n") > 3 and not re.search(r" $", told.stdout, re.MULTILINE)
    assert "files" in told.stdout, "a root is named before anything was indexed"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_who_does_not_own_the_daemon_is_told_who_does(open_directory: Path) -> None:
    tmp_path, config = open_directory, config_in(open_directory)
    (tmp_path / "state").mkdir(mode=0o700)
    code = (
        "import grp, os, pathlib, sys, lakewatchd.cli.main as front, lakewatchd.cli.render\n"
        "import lakewatchd.cli.checks as checks\n"
        "import lakewatchd.daemon.report as report, lakewatchd.config as configs\n"
        "settings = configs.load(sys.argv[1])\n"
        "front.build_parser(); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "[print(f) for f in (*checks.check_user(settings), *checks.check_state(settings))]\n"
        "try: report.has_queue(settings)\n"
        "except Exception as e: print(e.message, '|', e.hint)\n"
    )
    line = [sys.executable, "-c", code, str(config)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert f"nobody may not read {tmp_path}/state | it belongs to root: sudo lakewatchd" in done.stdout, done.stderr
    assert "the daemon is root" in done.stdout and "install -d -o nobody" not in done.stdout
    tmp_path.chmod(0o700)
    closed = code.replace("configs.load(sys.argv[1])", f"configs.parse({config.read_text()!r}, pathlib.Path('/x'))")
    done = subprocess.run([sys.executable, "-c", closed], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr


def test_a_reader_that_leaves_is_no_error(config: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-m", "lakewatchd", "check", "--show-config", "--config", str(config)]
    with os.fdopen(write, "w") as out:
        done = subprocess.run(line, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_output_that_cannot_be_written_is_told_in_a_sentence(config: Path) -> None:
    line = f"{sys.executable} -m lakewatchd check --show-config --config {config}"
    full = subprocess.run([f"{line} > /dev/full"], shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert full.returncode == 1 and "No space left on device" in full.stderr and "Traceback" not in full.stderr
    none = subprocess.run([f"{line} >&-"], shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (none.returncode, none.stderr) == (0, "")


def test_check_json_lists_findings_each_problem_with_a_fix(config: Path) -> None:
    done = command("check", "--json", "--config", config)
    told = json.loads(done.stdout)
    assert told["config"] == str(config)
    assert {finding["about"] for finding in told["findings"]} >= {"root files", "state", "space", "inotify", "fuse"}
    assert all(finding["fix"] for finding in told["findings"] if finding["level"] != "ok")
    assert done.returncode == (1 if any(f["level"] == "error" for f in told["findings"]) else 0)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5 * 10**15, "5.0 PB")],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize("said", ['["x"]', '"xy"', '[{asset = "a", tags = "family"}]', '[{asset = "a", denied = [1]}]'])
def test_corrections_that_somebody_edited_wrongly_are_not_taken_in(tmp_path: Path, said: str) -> None:
    (tmp_path / "words.toml").write_text(f"said = {said}\n")
    with pytest.raises(ConfigError, match="holds nothing that was said"):
        tag._read(tmp_path / "words.toml")


def test_a_dependency_that_is_not_installed_is_named(config: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    hook = "import sys\nclass Gone:\n    def find_spec(self, name, *rest):\n        if name == 'blake3':\n"
    hook += "            raise ModuleNotFoundError(name, name=name)\nsys.meta_path.insert(0, Gone())\n"
    (tmp_path / "blocked" / "sitecustomize.py").write_text(hook)
    paths = os.pathsep.join([str(tmp_path / "blocked"), *sys.path])
    done = command("--config", config, "status", env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the module blake3 is missing" in done.stderr and "pip install" in done.stderr


def test_linear_algebra_has_no_threads_of_its_own(config: Path) -> None:
    """Those of OpenBLAS were seen spinning for ever in a daemon."""
    code = (
        "import pathlib, sys; from lakewatchd.cli.main import main\n"
        "main(['--config', sys.argv[1], 'queue', 'list'])\n"
        "import numpy; numpy.ones((500, 500)) @ numpy.ones((500, 500))\n"
        "print(len(list(pathlib.Path('/proc/self/task').iterdir())), file=sys.stderr)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code, config], capture_output=True, text=True, check=True, env=environ)
    assert done.stderr.splitlines()[-1] == "1"
