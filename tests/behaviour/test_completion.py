"""completion/: it says what --help says, and each shell completes with it."""

import importlib.machinery
import importlib.util
import os
import pathlib
import shlex
import shutil
import subprocess

import pytest

from .harness.daemon import binary

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "completion"


def generator():
    loader = importlib.machinery.SourceFileLoader("generate", str(FOLDER / "generate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("generate", loader))
    loader.exec_module(module)
    return module


def test_it_says_what_help_says():
    made = generator().made(os.path.dirname(binary("CARPOOLCTL")))
    old = [name for name, text in made.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text() != text]
    assert not old, f"make -C build completion writes {old} anew"


def shell(*words):
    if not shutil.which(words[0]):
        pytest.skip(f"{words[0]} is not installed (Debian has a package of that name); ./quickstart check brings it")
    path = f"{os.path.dirname(binary('CARPOOLCTL'))}:{os.environ['PATH']}"
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
                          env={"PATH": path, "HOME": "/nonexistent", "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def bash(line):
    program = line.split()[0]
    return shell("bash", "-c", f"source {FOLDER}/bash/{program}; COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}; "
                               f"_{program}; printf '%s\\n' \"${{COMPREPLY[@]}}\"").split()


def fish(line):
    program = line.split()[0]
    said = shell("fish", "--no-config", "-c", f"source {FOLDER}/fish/{program}.fish; complete -C {shlex.quote(line)}")
    return [row.partition("\t")[0] for row in said.splitlines()]


def zsh(line):
    """What its function hands to zsh's own, which stand here for themselves: the state that the word is in is told to it."""
    words = line.split(" ")
    state = "command" if len(words) == 2 else "argument"
    return shell("zsh", "-fc", f"""
        _arguments() {{ state={state} line=({words[1]}); }}
        _describe() {{ print -l ${{(P)2}}; }}
        words=({' '.join(words[1:])}) CURRENT={len(words) - 1}
        source {FOLDER}/zsh/_carpoolctl""")


COMPLETERS = pytest.mark.parametrize("complete", [bash, fish])


@COMPLETERS
def test_commands_and_options(complete):
    assert set(complete("carpoolctl re")) == {"reload", "resume"}
    assert complete("carpoolctl --js") == ["--json"]
    assert complete("carpoold --print") == ["--print-config"]


@COMPLETERS
def test_agents_of_the_daemon_that_the_line_names(stage, complete):
    carpool = stage.carpool({"upstreams": {"payments": {"match": "a.test"}, "reports": {"match": "b.test"}}})
    line = f"carpoolctl -s 127.0.0.1:{carpool.admin_port} drain "
    assert set(complete(line)) >= {"default", "payments", "reports"}
    assert complete(line + "pay") == ["payments"]


@COMPLETERS
def test_no_daemon_no_names(stage, complete):
    assert complete(f"carpoolctl -s 127.0.0.1:{stage.ports.take()} drain x") == []


@COMPLETERS
def test_a_command_of_its_own(complete):
    assert "carpoold" in complete("carpoolctl run -- carpool")


@COMPLETERS
def test_files(stage, complete):
    stage.write("policy.yaml", "")
    assert complete(f"carpoold -c {stage.path('pol')}") == [stage.path("policy.yaml")]


def test_zsh():
    assert "resume:end the pause; requests go on, the oldest first" in zsh("carpoolctl re")
    shell("zsh", "-n", str(FOLDER / "zsh/_carpoolctl"))
    shell("zsh", "-n", str(FOLDER / "zsh/_carpoold"))
