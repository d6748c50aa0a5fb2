"""doc/clients.md: each of its examples is run as it is written, and shares one connection with its other runs."""
import os
import pathlib
import re

import pytest

from behaviour.harness.daemon import Daemon, binary

from .conftest import need

TOP = pathlib.Path(__file__).resolve().parents[2]
BODY = b"42 orders\n"
TIMES = 3
GUZZLE = pathlib.Path("/usr/share/php/GuzzleHttp/autoload.php")


def npm_folder():
    """Where ./quickstart check puts what clients come from npm."""
    return pathlib.Path(os.environ.get("CLIENTS_NPM") or pathlib.Path(binary("CARPOOLD")).parent / "clients-npm") / "node_modules"


def recipes():
    """(heading, language, code) of each block."""
    found, headings = [], []
    for piece in re.finditer(r"^(#+) ([^\n]*)$|^```(\w+)\n(.*?)^```$", (TOP / "doc/clients.md").read_text(), re.M | re.S):
        level, heading, language, code = piece.groups()
        if level:
            headings = headings[:len(level) - 1] + [heading]
        else:
            found.append((" > ".join(headings[1:]), language, code))
    return found


RECIPES = [recipe for recipe in recipes() if recipe[1] != "yaml"]     # those are check-docs'


@pytest.fixture
def api(site):
    """The site as http://api.example.com/, as the recipes call it; orders and project.git are there."""
    site.origin.write("orders", BODY)
    site.socket = site.directory / "proxy.sock"
    home = site.directory / "carpoold"
    home.mkdir()
    upstream = {"match": "api.example.com", "address": [f"127.0.0.1:{site.origin.port}"]}
    port = site.ports.take()
    site.carpool = Daemon({"listen": [f"127.0.0.1:{port}", f"unix:{site.socket}?form=host"],
                           "upstreams": {"api": upstream}}, site.ports, str(home))
    site.carpool.port = port
    return site


def make_project(site):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@a"]
    work, bare = site.directory / "work", site.origin.root / "project.git"
    site.run(*git, "init", "-q", "-b", "main", work)
    (work / "orders").write_bytes(BODY)
    site.run(*git, "-C", work, "add", "orders")
    site.run(*git, "-C", work, "commit", "-q", "-m", "orders")
    site.run(*git, "clone", "-q", "--bare", work, bare)
    site.run(*git, "-C", bare, "update-server-info")


def need_npm(name):
    path = npm_folder() / name
    if not path.exists():
        pytest.skip(f"{name} is not in {npm_folder().parent}; ./quickstart check brings it from npm")
    return path


def node(site, heading):
    """The program, and the module that the recipe is about must be there."""
    package = re.search(r"> (undici|axios)$", heading)
    if package:
        need_npm(package[1])
    if "24" not in heading:
        return need("node")
    path = need_npm("node24") / "bin/node"
    (site.directory / "bin").mkdir(exist_ok=True)
    if not (site.directory / "bin/node").exists():
        (site.directory / "bin/node").symlink_to(path)
    return str(path)


def command(site, heading, language, code):
    """How the recipe is run; its program must be there."""
    code = code.replace("3128", str(site.carpool.port)).replace("/run/carpool/proxy.sock", str(site.socket))
    if language == "sh":
        first = heading.split(" ")[0]
        need({"The": "curl", "aria2": "aria2c", "Node.js": "sh"}.get(first, first))
        if first == "Node.js":
            node(site, heading)
        if first == "git" and not (site.origin.root / "project.git").exists():
            make_project(site)
        return ["bash", "-ec", f"rm -rf orders project; {code}"]
    name = {"java": "Orders.java", "apt": "apt.conf"}.get(language, f"recipe.{language}")
    (site.directory / name).write_text(code)
    if language == "php" and "Guzzle" in heading:
        if not GUZZLE.exists():
            pytest.skip("Guzzle is not installed (Debian: php-guzzlehttp-guzzle); ./quickstart check brings it")
        (site.directory / "vendor").mkdir(exist_ok=True)
        (site.directory / "vendor/autoload.php").write_text(f"<?php require '{GUZZLE}';")
    if language == "apt":
        need("apt-get")
        return ["bash", "-ec", "rm -f out; APT_CONFIG=apt.conf /usr/lib/apt/apt-helper download-file "
                               "http://api.example.com/orders out >&2; cat out"]
    program = {"php": ["php"], "python": ["python3"], "perl": ["perl"], "ruby": ["ruby"], "java": ["java"],
               "go": ["go", "run"]}
    if language == "js":
        return [node(site, heading), name]
    need(program[language][0])
    return [*program[language], name]


@pytest.mark.parametrize("heading, language, code", RECIPES, ids=[f"{heading}:{language}" for heading, language, _ in RECIPES])
def test_recipe(api, heading, language, code):
    words = command(api, heading, language, code)
    env = {"http_proxy": "", "NODE_PATH": str(npm_folder()), "GOCACHE": str(npm_folder().parent.parent / "go-cache"),
           "GO111MODULE": "off", "PATH": f"{api.directory}/bin:{os.environ['PATH']}"}
    for _ in range(TIMES):
        assert BODY.strip() in api.run(*words, env=env)
    requests = api.origin.seen(TIMES)
    assert all(request["host"] == "api.example.com" and request["via"] for request in requests)
    assert api.origin.connections() == 1
