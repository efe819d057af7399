"""What the page on the client shows is what the examples do."""

from pathlib import Path
from textwrap import dedent

from examples import openai_loop
from tests.support import pages

PAGE = pages.ROOT / "docs" / "howto" / "python-client.md"


def test_the_loop_on_the_page_is_the_one_of_the_example():
    body = Path(openai_loop.__file__).read_text()
    (shown,) = [block.text for block in pages.blocks(PAGE) if block.words == ("text",)]
    begin, end = body.index("    definitions ="), body.index('or ""\n') + len('or ""\n')
    assert dedent(body[begin:end]) == shown
