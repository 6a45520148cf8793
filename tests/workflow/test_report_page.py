"""The report as a browser shows it: offline, without script, nothing cut off,
on screen and on paper.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from builders import finished_study
from tenter import files

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = ("local", "unet")
    root = finished_study.write_study(
        tmp_path_factory.mktemp("study"), finished_study.rows(models=models, seed=3), models=models
    )
    for pair, _ in finished_study.cohort(12, 9):
        finished_study.write_case(root, pair, (24, 28, 20))
        for model in models:
            finished_study.write_field(root, model, pair, (24, 28, 20))
            said = {"models": [{"fold": "0"}] * 5, "seconds": {"network": 12.34}, "device": "cuda"}
            files.write_json(root / "fields" / model / pair / "infer.json", said)
    finished_study.write_report(root, models=models, examples=1, options=(("unet", "local"),))
    return root / "report.html"


def browse(page: Path, folder: Path, *flags: str) -> str:
    command = [
        str(CHROMIUM),
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        *flags,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def measured(page: Path, folder: Path, width: int, script: str) -> str:
    """What a script, added to a copy of the page without its policy, finds in the laid-out page."""
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))
    probe = folder / "probe.html"
    tail = f"<script>document.title = String({script})</script></body>"
    probe.write_text(text.replace("</body>", tail), encoding="utf-8")
    dumped = browse(probe, folder, f"--window-size={width},900", "--dump-dom")
    found = re.search(r"<title>(.*?)</title>", dumped)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("width", [1280, 1024, 600])
def test_nothing_is_wider_than_the_window(page: Path, tmp_path: Path, width: int) -> None:
    script = "document.documentElement.scrollWidth <= window.innerWidth"
    assert measured(page, tmp_path, width, script) == "true"


def test_no_table_is_cut_off_on_a_laptop(page: Path, tmp_path: Path) -> None:
    script = (
        "[...document.querySelectorAll('.table')].filter(e => e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.textContent.trim().split(/\\s+/).slice(0, 8).join(' ')).join('; ')"
    )
    assert measured(page, tmp_path, 1280, script) == ""


def test_every_drawing_is_laid_out_with_its_text_alternative(page: Path, tmp_path: Path) -> None:
    script = (
        "[...document.querySelectorAll('figure > svg')].every("
        "e => e.getBBox().width > 100 && e.querySelector('title').textContent.length > 20)"
    )
    assert measured(page, tmp_path, 1280, script) == "true"


def test_every_link_of_the_contents_leads_somewhere(page: Path, tmp_path: Path) -> None:
    script = (
        "[...document.querySelectorAll('nav a')]"
        ".every(e => document.querySelector(e.getAttribute('href')))"
    )
    assert measured(page, tmp_path, 1280, script) == "true"


def test_ids_are_unique(page: Path, tmp_path: Path) -> None:
    script = (
        "(i => i.length === new Set(i).size)([...document.querySelectorAll('[id]')].map(e => e.id))"
    )
    assert measured(page, tmp_path, 1280, script) == "true"


def test_it_asks_for_nothing_beside_itself(page: Path, tmp_path: Path) -> None:
    script = (
        "performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
    )
    assert measured(page, tmp_path, 1280, script) == "0"


def test_it_prints(page: Path, tmp_path: Path) -> None:
    browse(page, tmp_path, f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer")
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page/") >= 4
