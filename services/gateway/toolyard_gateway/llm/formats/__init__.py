"""The formats that this build speaks, by name."""

from typing import Final

from toolyard_gateway.llm.formats.anthropic import ANTHROPIC
from toolyard_gateway.llm.formats.base import Format
from toolyard_gateway.llm.formats.openai import OPENAI

FORMATS: Final[dict[str, Format]] = {one.name: one for one in (OPENAI, ANTHROPIC)}
