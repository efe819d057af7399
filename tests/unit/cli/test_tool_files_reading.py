"""Documents of files: what they mean, and what is wrong with them, by file, line and column."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.cli import code_places, documents, yaml_writing
from toolyard.cli.places import MAX_DEPTH


def read(text: str, *, as_json: bool = False) -> tuple[list[Any], list[str]]:
    """The values of the documents, and what is told of them."""
    found = documents.Found()
    found.read("f", text, as_json=as_json)
    return [document.value for document in found.documents], [str(fault) for fault in found.faults]


# ---- what YAML means ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("null", None),
        ("true", True),
        ("false", False),
        ("12", 12),
        ("-0.5e3", -500.0),
        ("1E2", 100.0),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("12:30", "12:30"),
        ("190:20:30", "190:20:30"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("1_000", "1_000"),
        ("NaN", "NaN"),
        ("1.2.3", "1.2.3"),
        ("'1'", "1"),
        ('"null"', "null"),
        ("! 12", "12"),
        ("[1, a, {b: c}]", [1, "a", {"b": "c"}]),
        ('{"a":1, "b":[true,null]}', {"a": 1, "b": [True, None]}),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
        (r'"\ud83d\ude00 \/ \x85"', "😀 / \x85"),
    ],
)
def test_a_value_means_what_its_json_means(written: str, meant: Any):
    values, faults = read(f"a: {written}\n")
    assert (values, faults) == ([{"a": meant}], [])
    assert type(values[0]["a"]) is type(meant)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("~", "~ is null to some readers of YAML and text to others; write null, or quote it"),
        ("", 'has no value; write one (null, "", {} or [] if it is to be empty)'),
        ("True", "True is true to some readers of YAML and text to others; write true, or quote it"),
        ("FALSE", "FALSE is false to some readers of YAML and text to others; write false, or quote it"),
        ("0x1F", "0x1F is a number to some readers of YAML and text to others; write 31, or quote it"),
        ("0o17", "0o17 is a number to some readers of YAML and text to others; write 15, or quote it"),
        (".5", ".5 is a number to some readers of YAML and text to others; write 0.5, or quote it"),
        ("08001", "08001 is a number to some readers of YAML and text to others; write 8001, or quote it"),
        ("+1", "+1 is a number to some readers of YAML and text to others; write 1, or quote it"),
        (".nan", ".nan is no number of JSON; write another value, or quote it"),
        ("-.inf", "-.inf is no number of JSON; write another value, or quote it"),
        ("1e400", "is out of range; write a smaller number, or a text"),
        ("9" * 4001, "has 4,001 digits; 4,000 are taken at most"),
        (r'"\ud83d"', "holds half of a surrogate pair; write the whole character"),
        ("!!python/object:os.system x", "tags like !!python/object:os.system are not taken; leave it out"),
        ("!!int 3", "tags like !!int are not taken; leave it out"),
        ("!hunter2", "begins with '!' and is a tag; tags are not taken, and a text is to be quoted"),
    ],
    ids=lambda value: value[:20],
)
def test_what_readers_of_yaml_do_not_agree_on_is_refused_with_what_to_write(written: str, told: str):
    assert read(f"x:\n  a: {written}\n")[1] == [f"f:2:{6 if written else 5}: x.a: {told}"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3", "f:3:1: a: stands twice in one object, in line 1 before; keep one of them"),
        ("null: 1", 'f:1:1: null: is no text to all readers; write "null"'),
        ("1: 1", 'f:1:1: 1: is no text to all readers; write "1"'),
        ("?\n: 1", "f:1:2: a key is missing in front of the ':'"),
        ("? [a]\n: 1", "f:1:3: a key must be a text"),
        ("a: {<<: {b: 1}}", "f:1:5: a: << merges in YAML 1.1 alone; write the fields out"),
    ],
)
def test_a_key_is_one_text(text: str, told: str):
    assert read(text)[1] == [told]


def test_keys_that_yaml_1_1_takes_for_booleans_are_texts():
    assert read("on: 1\nno: 2\n'<<': 3")[0] == [{"on": 1, "no": 2, "<<": 3}]


def test_several_documents_stand_in_one_file_and_empty_ones_do_not_count():
    text = "# first\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n"
    assert read(text) == ([{"a": 1}, {"b": 2}], [])


def test_aliases_are_copies_within_their_document():
    assert read("a: &x [1, 2]\nb: *x") == ([{"a": [1, 2], "b": [1, 2]}], [])
    assert read("a: &x 1\n---\nb: *x")[1] == [
        "f:3:4: b: begins with '*' and names no anchor above it; a text is to be quoted"
    ]


def test_a_document_of_another_version_of_yaml_is_refused():
    assert read("%YAML 1.1\n---\na: 1")[1] == ["f:1:1: is read as YAML 1.2; take the line %YAML out"]
    assert read("%YAML 1.2\n---\na: 1") == ([{"a": 1}], [])


# ---- what is no YAML ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\n\tb: 2\n", "f:2:1: a tab stands where only spaces may; indent with spaces"),
        ("a: b: c", "f:1:5: this ':' is one too many: quote the text that holds it, or mend the indentation"),
        ("a: 1\nb\nc: 2", "f:2:1: a ':' is missing behind the name, or a text goes on without being indented"),
        ("a: 'b", "f:1:4: a quoted text is not closed; put its quote at its end"),
        ("a: [1, 2\nb: 3", "f:2:2: here a ',' or a ']' is missing"),
        ("a: {b: 1", "f:1:9: here a ',' or a '}' is missing"),
        ("a: @b", "f:1:4: a text cannot begin with @; quote it"),
        ("a: `b`", "f:1:4: a text cannot begin with `; quote it"),
        ("a:\n  b: 1\n c: 2", "f:3:2: is indented other than what it belongs to (line 1)"),
        (r'a: "\q"', r"f:1:6: knows no such escape; write \\ for a backslash, or use single quotes"),
        ("}", "f:1:1: a value is missing here"),
        ("a: *b", "f:1:4: a: begins with '*' and names no anchor above it; a text is to be quoted"),
        ("a: &b [*b]", "f:1:8: a.0: *b holds itself; write it out"),
        ("a: !x!y z", "f:1:4: tags are not taken; leave it out"),
        ("a: b\x07", r'f:1:5: holds the character U+0007; write it as "\x07" in double quotes'),
        ("a: b\u2028c", r'f:1:5: holds the character U+2028; write it as "\u2028" in double quotes'),
        ("--- a\n... b", "f:2:5: is no YAML: expected '<document start>', but found '<scalar>'"),
    ],
    ids=repr,
)
def test_what_is_no_yaml_is_told_with_its_place(text: str, told: str):
    assert read(text)[1] == [told]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, "f:1:65: is nested deeper than 64 levels; make it flatter"),
        ("- " * 100_000, "f:1:129: is nested deeper than 64 levels; make it flatter"),
        ("[" + "1," * 60_000, "f:1:100000: is made of more than 50,000 values; make it smaller"),
        ("--- a\n" * 1_001, "f:1001:1: is one document too many: a file holds 1,000 at most"),
        (
            "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
            "f:6:5: a5: is made of more than 50,000 values; make it smaller",
        ),
        (
            f"a: &a {'x' * 100_000}\nb: [{'*a, ' * 20}]",
            "f:2:4: b: has texts of more than 1,000,000 characters; make them shorter",
        ),
    ],
    ids=["brackets", "dashes", "values", "documents", "aliases", "long aliases"],
)
def test_a_document_is_read_within_bounds(text: str, told: str):
    assert read(text)[1] == [told]


def test_what_is_nested_as_deep_as_may_be_is_read():
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)[1] == []


def test_no_more_is_told_of_a_file_than_anybody_reads():
    assert len(read("a: 1\n" * 100)[1]) == documents.MAX_TOLD


# ---- JSON ---------------------------------------------------------------------------------------


def test_json_may_hold_what_yaml_may_not():
    text = '\t{\n\t"a"\n:\t[1, -0.5e3, true, null, "\u2028\x7f\\ud83d\\ude00"]}\r\n'
    assert read(text, as_json=True) == ([json.loads(text)], [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f:1:1: ends in the middle: a value is missing here"),
        ('{"a": [1', "f:1:9: a: ends in the middle: a ']' is missing"),
        ('{"a": 1,}', 'f:1:9: here a name in double quotes is missing, as in "name"'),
        ("{a: 1}", 'f:1:2: here a name in double quotes is missing, as in "name"'),
        ('{"a" 1}', "f:1:6: behind the name 'a' a ':' is missing"),
        ("[1 2]", "f:1:4: here a ',' or a ']' is missing"),
        ("[1,]", "f:1:4: 1: ']' is one too many here: a value is missing"),
        ('{"a": NaN}', "f:1:7: a: this is no JSON value; write a text in double quotes"),
        ('{"a": 01}', "f:1:7: a: this is no JSON value; write a text in double quotes"),
        ("[1e999]", "f:1:2: 0: is out of range; write a smaller number, or a text"),
        ('["\\ud800"]', "f:1:2: 0: holds half of a surrogate pair; write the whole character"),
        ('"\n"', "f:1:1: this text is not closed, or holds a line break or a wrong escape (write \\n, \\\\)"),
        ('{"a": 1,\n"a": 2}', "f:2:1: a: stands twice in one object, in line 1 before; keep one of them"),
        ("{} {}", "f:1:4: stands behind the end of the document; a JSON file holds one"),
        ("[" * 100_000, "f:1:65: is nested deeper than 64 levels; make it flatter"),
        ("[" + "1," * 60_000, "f:1:100000: is made of more than 50,000 values; make it smaller"),
    ],
    ids=lambda text: repr(text[:40]),
)
def test_what_is_no_json_is_told_with_its_place(text: str, told: str):
    assert read(text, as_json=True)[1] == [told]


# ---- what is written is read --------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet=" \n\t-:#'\"|>a1.eE0x~yn,[]{}&*!%@`?\u2028\x85\r", max_size=25),
    st.sampled_from(
        ["no", "on", "1e5", "0x1F", "~", "null", "2020-01-01", "12:30", "<<", "=", "1_000", "---", "x" * 200]
    ),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_as_yaml_reads_the_same(value: Any):
    values, faults = read(yaml_writing.write(value))
    assert (repr(values), faults) == (repr([value]), [])


@given(VALUES, st.sampled_from([None, 1, "\t"]))
def test_what_is_written_as_json_reads_the_same(value: Any, indent: Any):
    values, faults = read(json.dumps(value, indent=indent), as_json=True)
    assert (repr(values), faults) == (repr([value]), [])


def test_texts_of_several_lines_are_blocks_and_what_others_misread_is_quoted():
    value = {"text": "a\nb\n", "no": "on", "list": ["1", "1e5", "x"], "empty": {}, "number": 30}
    assert yaml_writing.write(value) == (
        "text: |\n  a\n  b\n'no': 'on'\nlist:\n  - '1'\n  - '1e5'\n  - x\nempty: {}\nnumber: 30\n"
    )


CODE = "def execute_tool(parameters, context):   \n\tprint('ü 𝄞')\n\n    return '''\n a\n'''  \n"


@pytest.mark.parametrize(
    ("code", "begun"),
    [
        (CODE, "code: |"),
        (CODE.rstrip("\n") + "\n\n\n", "code: |+"),
        (CODE.rstrip(), "code: |-"),
        ("\n" + CODE, "code: |2"),
        ("  # indented\n" + CODE, "code: |2"),
        ("\t# indented\n" + CODE + "\n\t", "code: |-"),
        (CODE.replace("\n", "\r\n"), 'code: "def execute_tool'),
        (CODE + "\x0c\n", 'code: "def execute_tool'),
        (CODE + "# \u2028\n", 'code: "def execute_tool'),
    ],
    ids=["plain", "blank lines", "no end", "blank first", "blanks first", "tabs", "CR", "form feed", "old break"],
)
def test_code_is_a_block_wherever_that_loses_nothing(code: str, begun: str):
    written = yaml_writing.write({"binding": {"code": code}})
    assert written.splitlines()[1].strip().startswith(begun)
    assert read(written) == ([{"binding": {"code": code}}], [])


# ---- fields -------------------------------------------------------------------------------------

PRICE = """\
name: price
parameters:
  type: object
  properties:
    order.id:
      pattern: "("
required:
  - a
  - b
binding:
  method: GET
  request_body_template: {x: 1}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", 1),
        ("name", 1),
        ("parameters.type", 3),
        ("parameters.properties.order.id.pattern", 6),
        ("required.1", 9),
        ("required.7", 7),
        ("binding.url", 10),
        ("binding.body", 12),
        ("binding.body.x", 12),
        ("description", 1),
    ],
)
def test_a_field_is_found_by_its_path_and_a_missing_one_where_it_belongs(path: str, line: int):
    found = documents.Found()
    found.read("f", PRICE, as_json=False)
    assert found.documents[0].fault("is wrong", path)[:2] == ("f", line)


BLOCK = """\
# a tool
name: words
binding:
  code: |  # what runs
    import jsn

    def execute_tool(parameters, context):
      return 1
  other: &c |2-
       x = 1
      y
  same: *c
  folded: >
    x = 1
    y = 2
  quoted: "x = 1\\ny = 2"
  plain: x
"""


@pytest.mark.parametrize(
    ("path", "told", "place"),
    [
        ("binding.code", "line 1, column 8: wrong", (5, 12, "wrong")),
        ("binding.code", "line 3, column 1: wrong: here", (7, 5, "wrong: here")),
        ("binding.code", "line 4: wrong", (8, 5, "wrong")),
        ("binding.code", "line 2, column 1: wrong", (6, 1, "wrong")),
        ("binding.other", "line 1, column 4: wrong", (10, 8, "wrong")),
        ("binding.other", "line 2, column 1: wrong", (11, 5, "wrong")),
        ("binding.same", "line 2, column 1: wrong", (11, 5, "wrong")),
        ("binding.code", "wrong", (4, 3, "wrong")),
        ("binding.code", "line 5, column 1: wrong", (4, 3, "line 5, column 1: wrong")),
        ("binding.code", "line 0, column 0: wrong", (4, 3, "line 0, column 0: wrong")),
        ("binding.folded", "line 1, column 1: wrong", (13, 3, "line 1, column 1: wrong")),
        ("binding.quoted", "line 2, column 1: wrong", (16, 3, "line 2, column 1: wrong")),
        ("binding.plain", "line 1, column 1: wrong", (17, 3, "line 1, column 1: wrong")),
        ("binding.none", "line 1, column 1: wrong", (3, 1, "line 1, column 1: wrong")),
        ("binding", "line 1, column 1: wrong", (3, 1, "line 1, column 1: wrong")),
    ],
)
@pytest.mark.parametrize("breaks", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_line_of_code_is_found_in_its_block(path: str, told: str, place: tuple[int, int, str], breaks: str):
    found = documents.Found()
    found.read("f", BLOCK.replace("\n", breaks), as_json=False)
    assert found.faults == []
    assert code_places.fault(found.documents[0], path, told) == ("f", *place[:2], path, place[2])


def test_code_in_json_has_no_lines_of_its_own():
    found = documents.Found()
    found.read("f", '{"binding":\n{"code": "x = 1\\ny"}}', as_json=True)
    told = "line 2, column 1: wrong"
    assert code_places.fault(found.documents[0], "binding.code", told) == ("f", 2, 2, "binding.code", told)


# ---- files --------------------------------------------------------------------------------------


def faults(*paths: str, cases: bool = False) -> list[str]:
    return [str(fault) for fault in documents.read(paths, cases=cases).faults]


def test_a_folder_is_read_with_all_below_it_in_order_and_without_what_is_hidden(tmp_path: Path):
    for name in ("b.yaml", "a/c.yml", "a/d.json", ".git/x.yaml", "a/.hidden.yaml", "readme.md", "a/d.test.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"x": 1}')
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    found = documents.read([".", "b.yaml", "./a/../b.yaml"])
    assert ([document.file for document in found.documents], found.faults) == (
        ["./b.yaml", "./a/c.yml", "./a/d.json"],
        [],
    )
    assert [document.file for document in documents.read(["."], cases=True).documents] == ["./a/d.test.yaml"]


def test_what_links_to_a_file_is_read_and_what_links_to_a_folder_is_not(tmp_path: Path):
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "price.yaml").write_text("x: 1")
    (tmp_path / "price.yaml").symlink_to("..data/price.yaml")
    (tmp_path / "round").symlink_to(".")
    assert [document.file for document in documents.read(["."]).documents] == ["./price.yaml"]


def test_what_is_no_text_is_told_with_its_name(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\x7fELF\x02\x80\xff")
    (tmp_path / "huge.yaml").write_bytes(b"# x\n" * 600_000)
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    (tmp_path / "nul.yaml").write_bytes(bytes(10))
    assert faults("missing.yaml", "empty", "binary.yaml", "huge.yaml", "gone.yaml", "nul.yaml") == [
        "missing.yaml: there is no such file or folder",
        "empty: there is no *.yaml, *.yml or *.json in this folder",
        "binary.yaml: is no text in UTF-8 (byte 5)",
        "huge.yaml: is larger than 2 MiB; split it into several files",
        "gone.yaml: there is no such file or folder",
        r'nul.yaml:1:1: holds the character U+0000; write it as "\x00" in double quotes',
    ]


def test_what_cannot_be_read_is_told_with_its_name():
    assert faults("/proc/self/mem") == ["/proc/self/mem: cannot be read: Input/output error"]


def test_files_of_cases_and_of_tools_are_not_taken_for_each_other(tmp_path: Path):
    (tmp_path / "price.test.yaml").write_text("[]")
    (tmp_path / "price.yaml").write_text("{}")
    assert faults("price.test.yaml") == ["price.test.yaml: holds cases for `toolyard tools test`, and no tools"]
    assert faults("price.yaml", cases=True) == [
        "price.yaml: holds no cases: their files are named NAME.test.yaml, NAME.test.yml or NAME.test.json"
    ]
    assert faults(".", cases=True) == []


def test_a_byte_order_mark_is_passed_over(tmp_path: Path):
    for name in ("a.yaml", "a.json"):
        (tmp_path / name).write_bytes(b'\xef\xbb\xbf{"a": 1}')
        assert documents.read([name]).documents[0].value == {"a": 1}
