"""What the tests send: models, tools, a picture, a document, a class to be filled.

The simulator's answers are a function of the request: a text with "tool" in it calls the first tool, with "two tools" the first two, and
their arguments are made from the schema (`city` is Oslo, a whole number is 42). A plain text is repeated.
"""

import base64

from pydantic import BaseModel

MODELS = {
    "openai": "openai/gpt-5.4",
    "gemini": "gemini/gemini-3.8-flash",
    "mistral": "mistral/mistral-medium-3-5",
    "claude": "claude/claude-sonnet-5-5",
}
# Who began what another goes on with.
BEFORE = {"openai": "claude", "gemini": "openai", "mistral": "gemini", "claude": "mistral"}
# OpenAI's reasoning models take no stop sequences.
STOPPING = {**MODELS, "openai": "openai/gpt-4.1"}
# Models that hear; Claude has none.
HEARING = {"openai": "openai/gpt-audio", "gemini": MODELS["gemini"], "mistral": "mistral/voxtral-small-2507"}
# Models that tell how sure they are of their words.
SURE = {"openai": "openai/gpt-4.1", "gemini": MODELS["gemini"]}
# Claude's newest large models can't be forced to call a tool.
FORCIBLE = {**MODELS, "claude": "claude/claude-haiku-5-5"}

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
ZONE = {"type": "object", "properties": {"timezone": {"type": "string"}}, "required": ["timezone"], "additionalProperties": False}
# Name, description, schema of the arguments.
TOOLS = (("weather", "The weather in a city", CITY), ("clock", "The time in a zone", ZONE))
# What each tool is called with, and what it answers. Their order tells whether answers were swapped.
ARGUMENTS = {"weather": {"city": "Oslo"}, "clock": {"timezone": "Europe/Oslo"}}
RESULTS = {"weather": "4 degrees and rain", "clock": "half past nine"}

EMOJI = "Grüße 👩‍👩‍👧‍👦 und 日本語 🇳🇴"

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
PNG_BASE64 = base64.b64encode(PNG).decode()
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PDF_BASE64 = base64.b64encode(PDF).decode()
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00"
WAV_BASE64 = base64.b64encode(WAV).decode()
PICTURE_URL = "https://example.com/picture.png"


class Guest(BaseModel):
    name: str
    age: int


class Trip(BaseModel):
    """Nested, so that its schema has references."""

    city: str
    days: int
    guests: list[Guest]
