"""The commands of README.md's section "In production", by the heading that they stand under."""
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
SECTION = "In production"


def blocks(text=None):
    """{heading: [block of shell commands, ...]}"""
    if text is None:
        text = (TOP / "README.md").read_text()
    section = re.search(rf"^## {SECTION}$(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    found = {}
    for part in re.split(r"^### ", section, flags=re.M):
        heading, _, rest = part.partition("\n")
        found[heading] = re.findall(r"^```sh\n(.*?)^```$", rest, re.M | re.S)
    return {heading: scripts for heading, scripts in found.items() if scripts}
