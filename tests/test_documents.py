"""Every link of every document leads to a file, and to a heading in it."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FOLDERS = ("bench", "deploy", "docs", "examples", "weights")
BELOW = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.md")]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *BELOW])
_ELSEWHERE = ("http://", "https://", "mailto:")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(path: Path):
    links = [link for link in _links(path) if not link.startswith(_ELSEWHERE)]
    assert [link for link in links if not _leads(path, link)] == []


def test_there_are_documents_with_links():
    assert {"README.md", "training.md", "general.md"} <= {path.name for path in DOCUMENTS}
    assert sum(len(_links(path)) for path in DOCUMENTS) > 100


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# One, two\n\n```sh\n# none\n```\n\n## One, two\n")
    led = {link: _leads(page, link) for link in ("page.md", "#one-two", "page.md#one-two-1", "#none", "other.md")}
    assert led == {"page.md": True, "#one-two": True, "page.md#one-two-1": True, "#none": False, "other.md": False}


def _links(path: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", _prose(path))


def _leads(path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings: the words in lower case, joined by hyphens, numbered from the second on."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", _prose(path), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = sum(bool(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other)) for other in anchors)
        anchors.add(f"{anchor}-{count}" if count else anchor)
    return anchors


def _prose(path: Path) -> str:
    """Without blocks of code, in which nothing is a heading or a link."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
