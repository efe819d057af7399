"""Tools kept as files, by the command and one `toolyard dev`: applied, changed, exported, pruned, refused."""

import contextlib
import json
import os
import pty
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.embedded import Dev, clean_environment
from tests.support.processes import console_script
from typer.testing import CliRunner

from toolyard.cli.app import build

pytestmark = pytest.mark.usefixtures("uncounted")

PRICE = """\
# What an article costs.
name: price
description: |
  The price of an article.

  In Euro.
toolkit: shop
parameters:
  type: object
  properties:
    sku: {type: string, pattern: "^[a-z]+$"}
    unit: {enum: [no, "1", off, 12:30]}
  required: [sku]
  additionalProperties: false
binding:
  type: http
  method: GET
  url: https://shop.example.com/prices/${arguments.sku}
timeout: 30
"""
ORDERS = """\
name: orders.create
description: Orders an article.
toolkit: shop
parameters: &article
  type: object
  properties: {sku: {type: string}}
binding:
  type: endpoint
  method: POST
  url: https://shop.example.com/orders
  request_body_template: {sku: "${arguments.sku}", note: "first\\nsecond\\n"}
retry_attempts: 2
---
name: orders.cancel
description: Cancels an order.
toolkit: shop
parameters: {type: object}
output: {type: object}
binding: {type: http, method: DELETE, url: "https://shop.example.com/orders"}
annotations: {idempotent: true}
"""


class Ran(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def results(self) -> dict[str, str]:
        """What became of each tool."""
        return {row["name"]: row["result"] for row in self.json()["tools"]}


class Shop:
    """A folder of tools, and the command in it."""

    def __init__(self, dev: Dev, folder: Path) -> None:
        self.dev = dev
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    @property
    def env(self) -> Mapping[str, str | None]:
        address, key = self.dev.told["address"], self.dev.told["api_key"]
        port = address.rpartition(":")[2]
        return {**clean_environment(), "TOOLYARD_PORT": port, "TOOLYARD_API_KEY": key, "COLUMNS": "120"}

    def start(self, *words: str, **more: Any) -> "subprocess.Popen[str]":
        """The command as a process of its own."""
        command = console_script("toolyard", "tools", *words)
        pipe = subprocess.PIPE
        env = {name: value for name, value in (os.environ | self.env).items() if value is not None}
        streams = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **more}
        return subprocess.Popen(command, cwd=self.folder, env=env, text=True, **streams)

    def run(self, *words: str, stdin: str = "") -> Ran:
        """The command in this process, which is quicker than one of its own."""
        with contextlib.chdir(self.folder):
            ended = CliRunner().invoke(build(), ["tools", *words], input=stdin, env=self.env, catch_exceptions=False)
        return Ran(ended.exit_code, ended.stdout, ended.stderr)

    def tool(self, name: str) -> Any:
        return self.dev.client.get(f"/v1/tools/{name}").json()

    def versions(self) -> dict[str, int]:
        """Every tool of the shop."""
        items = self.dev.client.get("/v1/tools", params={"toolkit": "shop", "limit": 200}).json()["items"]
        return {item["name"]: item["version"] for item in items}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with Dev(tmp_path_factory.mktemp("dev")) as running:
        yield running


@pytest.fixture
def shop(dev: Dev, tmp_path: Path) -> Iterator[Shop]:
    """Two files of three tools, and a gateway that has none of the shop."""
    made = Shop(dev, tmp_path)
    made.write("tools/price.yaml", PRICE)
    made.write("tools/shop/orders.yml", ORDERS)
    made.write("tools/price.test.yaml", "- {name: apple, arguments: {sku: apple}}")
    yield made
    for name, version in made.versions().items():
        dev.client.delete(f"/v1/tools/{name}", headers={"If-Match": f'"{version}"'}).raise_for_status()


ALL = ("price", "orders.create", "orders.cancel")


def test_files_are_applied_again_and_changed(shop: Shop):
    first = shop.run("apply", "tools", "--json")
    assert (first.code, first.results()) == (0, dict.fromkeys(ALL, "created"))
    assert shop.tool("price")["parameters"]["properties"]["unit"] == {"enum": ["no", "1", "off", "12:30"]}
    assert shop.tool("orders.create")["retry"]["max_attempts"] == 3
    before = shop.versions()
    again = shop.run("apply", "tools", "--json")
    assert (again.code, again.results(), shop.versions()) == (0, dict.fromkeys(ALL, "unchanged"), before)
    assert shop.run("diff", "tools") == (0, "", "")

    shop.write("tools/price.yaml", PRICE.replace("In Euro", "In Dollar"))
    differs = shop.run("diff", "tools")
    assert differs.code == 1
    assert f"--- price@{before['price']}\n+++ tools/price.yaml:2\n" in differs.out
    assert "-  In Euro.\n+  In Dollar.\n" in differs.out
    tried = shop.run("apply", "tools", "--dry-run", "--json")
    assert (tried.results()["price"], shop.versions()) == ("changed", before)
    changed = shop.run("apply", "tools")
    assert [row.split()[:3] for row in changed.out.splitlines()[1:]] == [
        ["price", "changed", str(before["price"] + 1)],
        ["orders.create", "unchanged", str(before["orders.create"])],
        ["orders.cancel", "unchanged", str(before["orders.cancel"])],
    ]
    assert changed.err == "1 changed, 2 unchanged.\n"
    assert shop.versions() == before | {"price": before["price"] + 1}


def test_what_is_exported_applies_as_unchanged(shop: Shop):
    assert shop.run("apply", "tools").code == 0
    folder = shop.run("export", "--output", "out", "--json")
    assert (folder.code, folder.results()) == (0, {**dict.fromkeys(ALL, "written"), **_samples(shop, "written")})
    assert shop.run("apply", "out", "--json").results() == {
        **dict.fromkeys(ALL, "unchanged"),
        **_samples(shop, "unchanged"),
    }
    printed = shop.run("export", "--toolkit", "shop")
    applied = shop.run("apply", "-", "--json", stdin=printed.out)
    assert applied.results() == dict.fromkeys(sorted(ALL), "unchanged")
    assert list(applied.results()) == sorted(ALL)
    as_json = shop.run("export", "price", "--json")
    shop.write("price.json", json.dumps(as_json.json()["items"][0]))
    assert shop.run("apply", "price.json", "--json").results() == {"price": "unchanged"}
    written = (shop.folder / "out" / "price.yaml").read_text()
    assert written.startswith("name: price\ndescription: |\n  The price of an article.\n\n  In Euro.\ntoolkit: shop\n")
    assert "timeout: 30\n" in written
    assert not {"version:", "enabled:", "annotations:", "secrets:"} & set(written.split())


def test_an_export_leaves_what_says_the_same_and_overwrites_only_when_told(shop: Shop):
    assert shop.run("apply", "tools").code == 0
    kept = shop.run("export", "price", "--output", "tools", "--json")
    assert (kept.results(), (shop.folder / "tools/price.yaml").read_text()) == ({"price": "unchanged"}, PRICE)
    other = PRICE.replace("In Euro", "In Dollar")
    shop.write("tools/price.yaml", other)
    refused = shop.run("export", "price", "orders.cancel", "--output", "tools")
    assert (refused.code, (shop.folder / "tools/price.yaml").read_text()) == (2, other)
    assert "tools/price.yaml: is there already, and says something else" in refused.err
    assert not (shop.folder / "tools/orders.cancel.yaml").exists()
    assert shop.run("export", "price", "--output", "tools", "--overwrite", "--json").results() == {"price": "written"}
    assert "In Euro" in (shop.folder / "tools/price.yaml").read_text()


def test_what_is_in_no_file_is_deleted_only_with_prune_and_only_when_confirmed(shop: Shop):
    assert shop.run("apply", "tools").code == 0
    (shop.folder / "tools/shop/orders.yml").unlink()
    prune = ("apply", "tools", "--prune", "--toolkit", "shop")
    assert shop.run("apply", "tools", "--json").results() == {"price": "unchanged"}
    unasked = shop.run(*prune)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert set(shop.run(*prune, "--dry-run", "--json").results().values()) == {"unchanged", "deleted"}
    differs = shop.run("diff", "tools", "--prune", "--toolkit", "shop")
    assert (differs.code, "+++ /dev/null" in differs.out) == (1, True)
    assert set(shop.versions()) == set(ALL)

    assert _at_a_terminal(shop, *prune, typed="n\n") == 1
    assert set(shop.versions()) == set(ALL)
    assert _at_a_terminal(shop, *prune, typed="y\n") == 0
    assert set(shop.versions()) == {"price"}
    assert shop.run(*prune, "--yes", "--json").results() == {"price": "unchanged"}


def _at_a_terminal(shop: Shop, *words: str, typed: str) -> int:
    """The exit code of a command that a person at a terminal answers so."""
    terminal, end = pty.openpty()
    try:
        with shop.start(*words, stdin=end) as process:
            os.write(terminal, typed.encode())
            out, err = process.communicate(timeout=60)
        assert "Delete 2 tools? [y/N]" in err, out + err
        return process.returncode
    finally:
        os.close(terminal)
        os.close(end)


def test_one_wrong_document_changes_nothing_and_every_fault_has_its_place(shop: Shop):
    shop.write("tools/a.yaml", "name: a\n\tdescription: x\n")
    shop.write("tools/b.json", '{"name": "b",}')
    (shop.folder / "tools/c.yaml").write_bytes(b"\x7fELF\x80")
    shop.write("tools/d.yaml", "[" * 1000)
    shop.write("tools/e.yaml", "x: &x [1, 2]\ny: &y [*x, *x]\nz: [*z]\n")
    shop.write("tools/f.yaml", "# x\n" * 600_000)
    shop.write("tools/g.yaml", "- name: g\n")
    shop.write("tools/h.yaml", PRICE)
    refused = shop.run("apply", "tools")
    assert (refused.code, refused.out, shop.versions()) == (2, "", {})
    assert refused.err.splitlines() == [
        "tools/a.yaml:2:1: a tab stands where only spaces may; indent with spaces",
        'tools/b.json:1:14: here a name in double quotes is missing, as in "name"',
        "tools/c.yaml: is no text in UTF-8 (byte 4)",
        "tools/d.yaml:1:65: is nested deeper than 64 levels; make it flatter",
        "tools/e.yaml:3:5: z.0: begins with '*' and names no anchor above it; a text is to be quoted",
        "tools/f.yaml: is larger than 2 MiB; split it into several files",
        "tools/g.yaml:1:1: is no tool: write an object with name, description, parameters and binding",
        "tools/price.yaml:2:1: name: the tool 'price' stands in tools/h.yaml:2 already; keep one",
        "validation_failed: 8 faults. Nothing was changed.",
    ]


def test_what_the_gateway_refuses_is_told_at_the_line_of_the_field(shop: Shop):
    wrong = PRICE.replace("type: http", "type: http\n  bodi: x").replace("timeout: 30", "timeout: soon")
    shop.write("tools/price.yaml", wrong + 'secrets: ["1"]\nenabled: no\n')
    shop.write("tools/shop/orders.yml", ORDERS.replace("url: https", "url: ftp").replace("${arguments.sku}", "${x.y}"))
    told = shop.run("apply", "tools", "--json")
    assert (told.code, told.out, shop.versions()) == (2, "", {})
    problem = json.loads(told.err)
    assert problem["code"] == "validation_failed"
    places = [(error["file"], error["line"], error["path"]) for error in problem["errors"]]
    assert places == [
        ("tools/price.yaml", 17, "binding.bodi"),
        ("tools/price.yaml", 20, "timeout"),
        ("tools/price.yaml", 21, "secrets.0"),
        ("tools/price.yaml", 22, "enabled"),
        ("tools/shop/orders.yml", 10, "binding.url"),
        ("tools/shop/orders.yml", 11, "binding.body"),
    ]
    assert problem["errors"][3]["message"] == "must be true or false, not a text"


WORDS = """\
name: words
description: Counts the words of a text.
toolkit: shop
parameters:
  type: object
  properties: {text: {type: string}}
  required: [text]
binding:
  type: python_function
  allowed_imports: [collections]
  execution_timeout: 5
  code: |
    from collections import Counter

    def execute_tool(parameters, context):
    \tcounts = Counter(parameters["text"].split())\x20\x20
    \treturn dict(counts)
"""


def test_a_tool_with_code_is_applied_changed_and_exported_as_a_block(shop: Shop):
    shop.write("tools/words.yaml", WORDS)
    assert shop.run("apply", "tools/words.yaml", "--json").results() == {"words": "created"}
    code = WORDS.partition("code: |\n")[2].replace("\n    ", "\n").removeprefix("    ")
    assert shop.tool("words")["binding"]["code"] == code
    assert shop.run("apply", "tools/words.yaml", "--json").results() == {"words": "unchanged"}
    for options in (("--output", "out"), ("--output", "out", "--overwrite")):
        assert shop.run("export", "words", *options).code == 0
        assert shop.run("apply", "out", "--json").results() == {"words": "unchanged"}
    written = (shop.folder / "out/words.yaml").read_text()
    assert written.endswith(WORDS.partition("  execution_timeout")[2])
    as_json = shop.run("export", "words", "--json").json()["items"][0]
    shop.write("words.json", json.dumps(as_json))
    assert shop.run("apply", "words.json", "--json").results() == {"words": "unchanged"}
    shop.write("tools/words.yaml", WORDS.replace("dict(counts)", "len(counts)"))
    differs = shop.run("diff", "tools/words.yaml")
    assert (differs.code, "-    \treturn dict(counts)\n+    \treturn len(counts)\n" in differs.out) == (1, True)
    before = shop.versions()["words"]
    assert shop.run("apply", "tools/words.yaml", "--json").results() == {"words": "changed"}
    assert shop.versions()["words"] == before + 1


def test_a_tool_with_code_is_tried_and_says_what_it_printed(shop: Shop):
    shop.write("tools/words.yaml", WORDS.replace("return dict", "print(len(counts), 'words'); return dict"))
    assert shop.run("apply", "tools/words.yaml").code == 0
    tried = shop.run("test", "words", "text=a b a")
    assert (tried.code, tried.json()) == (0, {"a": 2, "b": 1})
    assert tried.err.endswith("\nIt printed:\n  2 words\n")
    report = shop.run("test", "words", "text=a b a", "--json").json()["report"]
    assert (report["logs"], report["requests"]) == ("2 words\n", 0)
    shop.write("tools/words.test.yaml", "- {name: two, arguments: {text: a a}, expect: {structured: {a: 2}}}")
    assert shop.run("test", "tools/words.test.yaml").code == 0


def test_what_is_wrong_in_code_is_told_at_its_line_and_changes_nothing(shop: Shop):
    wrong = WORDS.replace("import Counter", "import Conter").replace("dict(counts)", "open(counts)")
    shop.write("tools/words.yaml", wrong.replace("[collections]", "[collections, pandas]"))
    for command, code in (("apply", 2), ("diff", 2), ("validate", 1), ("create", 1)):
        refused = shop.run(command, "tools/words.yaml")
        assert (refused.code, refused.out) == (code, "")
        assert [line.split(": ")[0] for line in refused.err.splitlines()[:4]] == [
            "tools/words.yaml:10:34",
            "tools/words.yaml:13:29",
            "tools/words.yaml:16:15",
            "tools/words.yaml:17:13",
        ]
        assert "binding.code: `open` is not available: a tool has no files" in refused.err
    assert shop.versions() == {}


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (("nowhere",), "nowhere: there is no such file or folder"),
        (("empty",), "empty: there is no *.yaml, *.yml or *.json in this folder"),
        (("/proc/self/mem",), "/proc/self/mem: cannot be read: Input/output error"),
        (("tools/price.test.yaml",), "tools/price.test.yaml: holds cases for `toolyard tools test`, and no tools"),
    ],
    ids=["missing", "empty", "unreadable", "cases"],
)
def test_what_holds_no_tools_is_wrong_usage(shop: Shop, paths: tuple[str, ...], told: str):
    (shop.folder / "empty").mkdir()
    ran = shop.run("apply", *paths)
    assert (ran.code, ran.err.splitlines()[0]) == (2, told)


def test_two_that_apply_the_same_at_once_both_succeed(shop: Shop):
    both = [shop.start("apply", "tools", "--json") for _ in range(2)]
    ends = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all({row["result"] for row in json.loads(out)["tools"]} <= {"created", "unchanged"} for out in ends)
    assert set(shop.versions()) == set(ALL)
    assert shop.run("diff", "tools").code == 0


def test_of_two_that_apply_different_things_at_once_one_wins_and_the_other_is_told(shop: Shop):
    """Whoever is last finds either the same version it planned for, or is told: no change is lost unseen."""
    assert shop.run("apply", "tools").code == 0
    before = shop.versions()["price"]
    for number in range(2):
        shop.write(f"{number}.yaml", PRICE.replace("In Euro", f"In currency {number}"))
    both = [shop.start("apply", f"{number}.yaml", "--json") for number in range(2)]
    ends = [(process.communicate(timeout=60)[0], process.returncode) for process in both]
    rows = [json.loads(out)["tools"][0] for out, _ in ends]
    saved = [row for row in rows if row["result"] == "changed"]
    assert [code for _, code in ends] == [0 if row["result"] == "changed" else 1 for row in rows]
    assert {row["result"] for row in rows} <= {"changed", "conflict"}
    assert shop.versions()["price"] == before + len(saved) == max(row["version"] for row in saved)


def test_cases_run_on_the_real_path_and_differ_where_the_answer_does(shop: Shop):
    seen = shop.dev.call("weather", {"city": "Lisbon"}, wait=30)["result"]["structured"]
    cases = [
        {"name": "Lisbon", "arguments": {"city": "Lisbon"}, "expect": {"structured": seen}},
        {"name": "nowhere", "arguments": {}, "expect": {"state": "rejected", "code": "validation_failed"}},
    ]
    shop.write("cases/weather.test.json", json.dumps(cases))
    ran = shop.run("test", "cases/", "--json")
    assert (ran.code, [case["ok"] for case in ran.json()["cases"]]) == (0, [True, True])
    assert shop.dev.end_of(ran.json()["cases"][0]["call_id"])["test"] is True
    cases[0]["expect"] = {"structured": seen | {"city": "Porto"}}
    shop.write("cases/weather.test.json", json.dumps(cases, indent=1))
    ran = shop.run("test", "cases/weather.test.json")
    assert ran.code == 1
    assert (
        ran.err == 'cases/weather.test.json:2:2: Lisbon: structured.city: "Lisbon", expected "Porto"\n1 ok, 1 differ\n'
    )


def _samples(shop: Shop, result: str) -> dict[str, str]:
    return dict.fromkeys(shop.dev.told["tools"], result)
