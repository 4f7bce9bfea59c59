"""The report in a real browser, opened from disk, on a phone and on a desk."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from orchestrator.cells.resolve import FileResolver
from orchestrator.report import render
from orchestrator.report.palette import contrast
from orchestrator.results import lock
from tests import start, wait_for
from tests.builders import launched
from tests.orchestrator.report.conftest import Client, running
from tests.orchestrator.report.contents import a_content, a_view, an_arm, with_text
from tests.orchestrator.report.reading import Node, read

pytestmark = pytest.mark.slow
HOSTILE = "</style></title></svg><script>window.hit=1</script><img src=x onerror='window.hit=1'>"
PHONE, DESK = 390, 1280
COLOURS = """
const shown = [];
for (const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
     walk.nextNode();) {
  const text = walk.currentNode.data.trim(), element = walk.currentNode.parentElement;
  if (!text || !element.checkVisibility()) continue;
  if (["TITLE", "DESC"].includes(element.tagName.toUpperCase())) continue;
  const style = getComputedStyle(element);
  let ground = element;
  while (ground && getComputedStyle(ground).backgroundColor == "rgba(0, 0, 0, 0)")
    ground = ground.parentElement;
  shown.push([text, element instanceof SVGElement ? style.fill : style.color,
              getComputedStyle(ground).backgroundColor]);
}
return shown;
"""


AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
PARSED = """
return [...new DOMParser().parseFromString(arguments[0], "text/html").querySelectorAll("*")]
  .map(element => [element.tagName.toLowerCase(), element.children.length]);
"""


class Browser:
    """Chromium with the report open, at any width and in either scheme."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(
        self, path: Path | str, width: int, scheme: str = "light", media: str = "screen"
    ) -> None:
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setDeviceMetricsOverride", size)
        # without a desktop no window may ever have the focus, and nothing on its page then has it
        self.command("Emulation.setFocusEmulationEnabled", {"enabled": True})
        self.command("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})
        self.driver.get_log("performance")
        self.driver.get(path.as_uri() if isinstance(path, Path) else path)

    def command(self, name: str, arguments: dict) -> dict:
        return self.driver.execute_cdp_cmd(name, arguments)

    def run(self, script: str):
        return self.driver.execute_script(script)

    def requested(self) -> set[str]:
        """Addresses asked for since the page was opened."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [e for e in events if e["method"] == "Network.requestWillBeSent"]
        return {e["params"]["request"]["url"] for e in sent}


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no chromium here; apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A report with everything in it, and a table far wider than a phone."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    wide = a_view("T9")
    columns = tuple(c for _ in range(6) for c in wide.columns)
    path.write_text(render(a_content(views=(a_view(), replace(wide, columns=columns)))))
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A table of twelve rows, one without a number."""
    view = a_view(rows=12)
    rows = tuple(
        dict(row) | {"diff": None if i == 3 else (i * 7 % 12) / 10 - 0.4}
        for i, row in enumerate(view.rows)
    )
    path = tmp_path_factory.mktemp("many") / "report.html"
    path.write_text(render(a_content(views=(replace(view, rows=rows),))))
    return path


@pytest.fixture(scope="module")
def tight(tmp_path_factory) -> Path:
    """Figures whose ticks are long and near each other: tiny changes, weights side by side."""
    weights = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    rho = [tuple(0.1 + w * 1e-3 + s * 1e-5 for s in range(3)) for w in weights]
    arms = (an_arm("baseline", rho=(0.1,)), an_arm("sft-only", rho=(0.1001, 0.1002, 0.1004)))
    found = (*arms, *(an_arm(weight=w, rho=r) for w, r in zip(weights, rho, strict=True)))
    path = tmp_path_factory.mktemp("tight") / "report.html"
    path.write_text(render(a_content(evidence=found, views=())))
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    path.write_text(render(with_text(a_content(), HOSTILE)))
    return path


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", ["page", "hostile"])
def test_it_opens_without_errors_requests_or_sideways_scrolling(browser, request, name, width):
    path = request.getfixturevalue(name)
    browser.open(path, width)
    assert browser.run("return innerWidth") == width
    assert browser.run("return document.scrollingElement.scrollWidth") <= width
    assert browser.driver.get_log("browser") == []
    assert browser.requested() == {path.as_uri()}
    assert browser.run("return document.querySelectorAll('figure svg[role=img]').length") >= 7


def test_hostile_text_runs_nothing(browser, hostile):
    browser.open(hostile, DESK)
    assert browser.run("return window.hit === undefined && document.scripts.length === 1")
    assert browser.run("return document.images.length") == 0
    assert browser.run("return document.querySelector('h1').textContent") == HOSTILE


def test_the_policy_would_stop_a_script_that_got_in(browser, page, tmp_path):
    """With one put in on purpose: the escaping is not the only guard."""
    inside = tmp_path / "inside.html"
    inside.write_text(page.read_text().replace("<main", "<script>window.hit=1</script><main"))
    browser.open(inside, DESK)
    assert browser.run("return document.scripts.length") == 2
    assert browser.run("return window.hit === undefined")
    assert "Content Security Policy" in browser.driver.get_log("browser")[0]["message"]


@pytest.fixture
def live(browser, client) -> Iterator[Client]:
    """A live page; the browser leaves it before its server ends, or would go on asking it."""
    yield client
    browser.driver.get("about:blank")
    browser.driver.get_log("browser")


def audit(browser: Browser) -> list:
    """What axe-core finds against the page that is open: rule, and where."""
    browser.run(AXE + "\nwindow.axe = axe")
    return browser.driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run(document).then(r => done(r.violations.map("
        "v => [v.id, v.help, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))])))"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_axe_finds_nothing_in_the_report(browser, page, width, scheme):
    browser.open(page, width, scheme)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert audit(browser) == []


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark"), (DESK, "light")])
def test_axe_finds_nothing_in_the_live_page(browser, live, half, width, scheme):
    store, expansion = half
    running(store, expansion.all[2])
    failed = expansion.all[1].cell_id
    address = live.server.address
    with lock.held(store.folder):
        wait_for(lambda: "From 1 scored cell, at" in live.get(), "claims")
        for path in ("", "stop"):
            browser.open(address + path, width, scheme)
            assert audit(browser) == []
    for path in (f"log/{failed}", f"retry/{failed}"):
        browser.open(address + path, width, scheme)
        assert audit(browser) == []


@pytest.mark.parametrize("name", ["page", "hostile"])
def test_a_browser_reads_the_elements_as_they_were_written(browser, request, name):
    """A parser of HTML 5 moves, adds or closes elements where a document has a fault."""
    path = request.getfixturevalue(name)
    browser.driver.get(path.as_uri())
    parsed = browser.driver.execute_script(PARSED, path.read_text())
    assert parsed == written(read(path.read_text()))


def test_a_browser_reads_the_live_page_as_it_was_written(browser, live, half):
    failed = half[1].all[1].cell_id
    browser.open(live.server.address, DESK)
    for path in ("", f"log/{failed}", f"retry/{failed}"):
        text = live.get(path)
        assert browser.driver.execute_script(PARSED, text) == written(read(text))


def written(node: Node) -> list:
    """Names of elements, each after its parent's and before those of its children."""
    return [
        [n.tag.lower(), len([c for c in n.children if isinstance(c, Node)])] for n in node.all()
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_all_text_can_be_read_in_both_schemes(browser, page, width, scheme):
    browser.open(page, width, scheme)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    shown = browser.run(COLOURS)
    assert len(shown) > 300
    for text, colour, ground in shown:
        assert contrast(_hex(colour), _hex(ground)) >= 4.5, (text, colour, ground)
    dark = contrast(_hex(shown[0][2]), "#000000") < 2
    assert dark == (scheme == "dark")


def test_paper_is_white_whatever_the_screen_is(browser, page):
    browser.open(page, DESK, "dark", media="print")
    assert {_hex(ground) for _, _, ground in browser.run(COLOURS)} <= {"#ffffff", "#f6f7f8"}
    assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_figures_keep_their_letters_large_enough(browser, page, width):
    browser.open(page, width)
    heights = browser.run(
        "return [...document.querySelectorAll('figure svg[role=img] text')]"
        ".map(t => parseFloat(getComputedStyle(t).fontSize)"
        " * Math.hypot(t.getScreenCTM().a, t.getScreenCTM().b))"
    )
    assert len(heights) > 50
    assert min(heights) >= 9


def test_wide_tables_scroll_inside_their_box(browser, page):
    browser.open(page, PHONE)
    wider = browser.run(
        "return [...document.querySelectorAll('.scroll')]"
        ".filter(b => b.scrollWidth > b.clientWidth && b.clientWidth <= innerWidth).length"
    )
    assert wider >= 1


OUT_OF_VIEW = """
return [...document.querySelectorAll(".claim tbody *, [data-part] tbody *")].filter(cell => {
  const box = cell.getBoundingClientRect();
  return box.width && (box.right > innerWidth || box.left < 0);
}).map(cell => cell.outerHTML);
"""


def test_claims_show_every_value_on_a_phone(browser, page):
    browser.open(page, PHONE)
    shown = "return document.querySelector('.claim').innerText"
    assert "[-0.011, +0.257]" in browser.run(shown)
    assert browser.run(OUT_OF_VIEW) == []


def test_a_cell_that_runs_shows_loss_and_host_on_a_phone(browser, live, half):
    store, expansion = half
    running(store, expansion.all[2])
    with lock.held(store.folder):
        browser.open(live.server.address, PHONE)
        now = browser.run("return document.querySelector('#running-now-part').innerText")
        assert "mac-7" in now
        assert browser.run(OUT_OF_VIEW) == []
        names = "return document.querySelector('#running-now-part tbody th a').getClientRects()"
        assert len(browser.run(names)) == 1


def test_the_lines_of_a_log_wrap_on_a_phone(browser, live, half):
    browser.open(f"{live.server.address}log/{half[1].all[2].cell_id}", PHONE)
    log = "const log = document.querySelector('#log'); return log.scrollWidth - log.clientWidth"
    assert browser.run(log) == 0


def test_tables_are_sorted_and_searched_by_their_readers(browser, many):
    browser.open(many, DESK)
    rows = "return [...arguments[0].tBodies[0].rows].filter(r => !r.hidden).map(r => r.innerText)"
    table = browser.run("return document.querySelector('table[aria-labelledby=s6-b1-caption]')")
    button = table.find_element("css selector", "th:nth-child(3) button")
    read = lambda: browser.driver.execute_script(rows, table)  # noqa: E731
    before = read()
    assert len(before) == 12
    button.send_keys(Keys.ENTER)
    up = [float(text.split("\t")[2]) for text in read() if text.split("\t")[2].strip()]
    assert up == sorted(up)
    assert "row 3" in read()[-1], "what is missing stands last"
    button.send_keys(Keys.ENTER)
    down = [float(text.split("\t")[2]) for text in read() if text.split("\t")[2].strip()]
    assert down == up[::-1]
    assert "row 3" in read()[-1]
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    button.send_keys(Keys.ENTER)
    assert read() == before
    box = browser.run("return document.querySelector('#s6-b1-caption-search')")
    box.send_keys("11 ROW")
    assert [text.split("\t")[0] for text in read()] == ["row 11"]
    assert "1 of 12" in browser.run("return document.body.innerText")


def test_answers_are_found_by_their_words_and_pairs_are_chosen(browser, page):
    browser.open(page, DESK)
    left = "return [...document.querySelectorAll('.asked')].filter(a => !a.hidden).length"
    box = browser.run("return document.querySelector('#answers-search')")
    assert browser.run(left) == 2
    box.send_keys("not HELP")
    assert browser.run(left) == 1
    shown = "return [...document.querySelectorAll('main [data-split]')].filter(a => !a.hidden)"
    shown += ".map(a => a.dataset.split)"
    assert set(browser.run(shown)) == {"heldout"}
    browser.run("document.querySelector('nav.bar button[value=train]').click()")
    assert set(browser.run(shown)) == {"train"}
    assert browser.run("return document.querySelectorAll('[aria-pressed=true]').length") == 1


@pytest.mark.parametrize("width", [PHONE, DESK, 2560])
def test_what_names_a_row_stays_in_sight(browser, page, width):
    browser.open(page, width)
    browser.run(
        "window.box = [...document.querySelectorAll('.scroll')]"
        ".find(b => b.scrollWidth > b.clientWidth) ?? document.querySelector('.scroll');"
        "box.scrollLeft = 300"
    )
    gap = "box.querySelector('tbody th').getBoundingClientRect().left"
    assert abs(browser.run(f"return {gap} - box.getBoundingClientRect().left")) < 1
    assert browser.run("return document.scrollingElement.scrollWidth") <= width


def test_no_number_of_a_cells_name_is_broken_on_a_phone(browser, live, half):
    """Every row but one has a short name, and the other columns press."""
    store, expansion = half
    running(store, expansion.all[2])
    with lock.held(store.folder):
        browser.open(live.server.address, PHONE)
    name = "document.querySelector('#running-now-part tbody th a')"
    browser.run(f"{name}.textContent = 'sft-only seed=31337'")
    lines = browser.run(
        f"const r = document.createRange(), t = {name}.firstChild; r.setStart(t, 9);"
        "r.setEnd(t, 19); return r.getClientRects().length"
    )
    assert lines == 1


COLLIDE = """
return [...document.querySelectorAll('figure svg[role=img]')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim())
    .map(t => [t.textContent, t.getBoundingClientRect()]);
  return texts.flatMap(([a, r], i) => texts.slice(i + 1).filter(([, s]) =>
    Math.min(r.right, s.right) - Math.max(r.left, s.left) > 1 &&
    Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top) > 2).map(([b]) => [a, b]));
});
"""


@pytest.mark.parametrize("width", [PHONE, DESK, 2560])
def test_no_two_labels_of_a_figure_collide(browser, page, tight, width):
    for path in (page, tight):
        browser.open(path, width)
        assert browser.run(COLLIDE) == []


def test_the_skip_link_is_first_and_leads_to_the_claims(browser, page):
    browser.open(page, DESK)
    first = browser.run("return document.querySelector('a').getAttribute('href')")
    assert first == "#main"
    left = "return document.querySelector('.skip').getBoundingClientRect().left"
    assert browser.run(left) < 0
    browser.run("document.querySelector('.skip').focus()")
    assert browser.run(left) >= 0


SHOWN = """
name: shown
model: tiny
grid: {condition: [sft-only], seed: [1, 2]}
data: {sft: starter, size: 180}
train: {epochs: 60, max_length: 64, grad_accumulation: 2}
"""


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[Path, str]]:
    """Results without a launch, and the address of their live page."""
    (tmp_path / "s.yaml").write_text(SHOWN)
    store, _ = launched(tmp_path / "shown", SHOWN, FileResolver(download=False))
    log = tmp_path / "serve.log"
    words = ("serve", store.folder, "--sweep", tmp_path / "s.yaml")
    server = start(log, *words)
    try:
        wait_for(lambda: log.exists() and "http://" in log.read_text(), "its address")
        yield store.folder, log.read_text().splitlines()[0]
    finally:
        server.terminate()
        server.wait()
        lock.stop(store.folder)
        wait_for(lambda: lock.holder(store.folder) is None, "the end of the launch")


def test_a_sweep_is_launched_followed_and_stopped_in_the_browser(browser, served):
    folder, address = served
    browser.open(address, PHONE)
    shown = "return document.body.innerText"
    press = "document.querySelector(arguments[0]).click()"
    assert "0 of 3 cells scored" in browser.run(shown)
    browser.driver.execute_script(press, "#door-1")
    wait_for(lambda: "Launch again? The cells that run: 3" in browser.run(shown), "the question")
    browser.driver.execute_script(press, "form button")
    wait_for(lambda: "Stop the launch" in browser.run(shown), "the launch")
    browser.open(address, DESK)  # closed and opened; it goes on by itself from here
    steps = "return [...document.querySelectorAll('#running-now-part td')].map(t => t.innerText)"
    wait_for(lambda: any("." in text for text in browser.run(steps)), "a loss")
    first = browser.run(steps)
    wait_for(lambda: browser.run(steps) != first, "the next step")
    assert browser.run("return document.querySelectorAll('polyline.runs').length") >= 1
    assert browser.run("return document.scrollingElement.scrollWidth") <= DESK
    browser.driver.execute_script(press, "#running-now-part a")
    wait_for(lambda: "train step" in browser.run(shown), "the log")
    browser.driver.execute_script(press, "#door-1")
    wait_for(lambda: "Stop the launch" in browser.run(shown), "the way back")
    browser.driver.execute_script(press, "#door-1")
    wait_for(lambda: "finished cells are kept" in browser.run(shown), "the question")
    browser.driver.execute_script(press, "form button")
    wait_for(lambda: "no launch running" in browser.run(shown), "its end")
    assert lock.holder(folder) is None
    assert browser.driver.get_log("browser") == []
    assert {urlsplit(url).netloc for url in browser.requested()} == {urlsplit(address).netloc}


def _hex(colour: str) -> str:
    """`rgb(1, 2, 3)` as `#010203`."""
    return "#" + "".join(f"{int(v):02x}" for v in re.findall(r"\d+", colour)[:3])
