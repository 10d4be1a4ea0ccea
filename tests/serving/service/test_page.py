"""The page in a browser: it asks, shows, compares; by keyboard; wide and narrow, light and dark; by a strict policy."""

import hashlib
import json
import re
import shutil
import threading
import time

import pytest
import uvicorn
from served import make_service

from peftrec.serving.service.app import make_app
from peftrec.serving.service.keys import Keys
from peftrec.serving.service.page import KINDS, STATIC

CONTRAST = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
  };
  return [...document.querySelectorAll("h1, h2, p, label, th, td, input, select, textarea, button, .note")]
    .filter((element) => element.checkVisibility() && !element.disabled).map((element) => {
      const pair = [getComputedStyle(element).color, under(element)].map(luminance).sort((a, b) => b - a);
      return [(pair[0] + 0.05) / (pair[1] + 0.05), element.outerHTML.slice(0, 60)];
    });
}"""


def listening(service):
    """The service behind a port of its own, in a thread: the server, and its address once it listens."""
    server = uvicorn.Server(uvicorn.Config(make_app(service), port=0, log_level="error", lifespan="off"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return server, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"


@pytest.fixture(scope="module")
def address(service):
    server, address = listening(service)
    yield address
    server.should_exit = True


@pytest.fixture(scope="module")
def browser():
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, address):
    """The page once it has the tasks; what its scripts complain of fails the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    opened, wrong = context.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.goto(address)
    opened.wait_for_selector("#task option", state="attached")
    yield opened
    context.close()
    assert [said for said in wrong if "422" not in said] == []


def answers(page, count):
    """The texts of the sections, once there are so many."""
    page.wait_for_selector("#answers[aria-busy=false] > section")
    sections = page.query_selector_all("section")
    assert len(sections) == count
    return [section.inner_text() for section in sections]


def row(page):
    return json.loads(page.input_value("#row"))


def test_a_prediction_is_shown_with_how_long_it_took(page, service):
    page.select_option("#run", "one")
    page.select_option("#task", "query")
    assert page.inner_text("#question") == "match-query: does the item match the query?"
    example = row(page)
    assert example == service.registry.runs["one"].predictor.example("query")
    page.click("#ask")
    (said,) = answers(page, 1)
    (expected,) = service.registry.runs["one"].predictor.predict("query", [example])
    assert said.startswith("one: query\n")
    assert re.search(r"\d+\.\d ms in the service, \d+\.\d ms with the way to it and back", said)
    shown = page.eval_on_selector("meter[aria-label=score]", "meter => meter.value")
    assert shown == pytest.approx(expected["score"], rel=1e-3)
    names = [head.inner_text() for head in page.query_selector_all("tbody th")]
    assert names[:2] == ["score", "grade"] and set(names[2:]) == {"p(0)", "p(1)"}


def test_two_runs_answer_side_by_side(page, service):
    page.select_option("#run", "one")
    page.select_option("#task", "interest")
    page.select_option("#beside", "two")
    page.fill("#row", '[{"history": ["i1"], "item": "i2"}, {"history": [], "item_text": "w5 w6"}]')
    page.click("#ask")
    assert [said.partition("\n")[0] for said in answers(page, 2)] == ["one: interest", "two: interest"]
    for run, section in zip(("one", "two"), page.query_selector_all("section"), strict=True):
        rows = json.loads(page.input_value("#row"))
        expected = service.registry.runs[run].predictor.predict("interest", rows)
        shown = section.eval_on_selector_all("meter", "meters => meters.map((meter) => meter.value)")
        assert shown == pytest.approx([of["score"] for of in expected], rel=1e-3)
    left, right = (section.bounding_box() for section in page.query_selector_all("section"))
    assert left["y"] == right["y"] and left["x"] < right["x"]


def test_recommendations_are_a_table_best_first(page, service):
    page.select_option("#run", "two")
    page.select_option("#task", "next")
    page.select_option("#verb", "recommend")
    assert row(page) == {"history": ["i1", "i2"]}
    page.fill("#k", "4")
    page.click("#ask")
    answers(page, 1)
    expected = service.registry.runs["two"].predictor.recommend("next", history=["i1", "i2"], k=4)
    assert [head.inner_text() for head in page.query_selector_all("tbody th")] == [
        f"{of['text']}\n{of['item']}" for of in expected
    ]


def test_another_task_brings_its_example_unless_a_row_was_typed(page):
    page.select_option("#run", "one")
    page.select_option("#task", "time")
    assert "time" in row(page)
    assert page.is_disabled("#verb option[value=recommend]")
    page.fill("#row", '{"user": "u1"}')
    page.select_option("#task", "interest")
    assert row(page) == {"user": "u1"}
    page.click("#example")
    assert set(row(page)) == {"history", "item"}


def test_all_of_it_works_by_keyboard(page):
    page.select_option("#task", "interest")
    page.focus("#key")
    page.keyboard.press("Shift+Tab")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert not reached[-1] or outline == "solid", reached[-1]
    assert reached[:9] == ["key", "run", "beside", "task", "verb", "row", "ask", "example", "again"]
    page.focus("#row")
    page.keyboard.press("Control+Enter")
    answers(page, 1)
    page.focus("#ask")
    page.keyboard.press("Enter")
    answers(page, 1)


def test_mistakes_are_said_where_one_is(page):
    page.select_option("#task", "interest")
    page.fill("#row", '{"history": ["i1"], "item": "i99"}')
    page.click("#ask")
    (said,) = answers(page, 1)
    assert "row 1: no item 'i99' in the catalogue" in said
    page.fill("#row", "{history")
    page.click("#ask")
    page.get_by_role("alert").filter(has_text="The row is no JSON").wait_for()
    assert page.evaluate("document.activeElement.id") == "row"


def test_what_the_service_says_is_never_markup(browser, address):
    evil = "<img src=x onerror=\"document.title='evil'\"><b>bold</b>"
    tasks = {
        "run": evil, "task": evil, "kind": evil, "question": evil, "keys": [evil], "ranks": True, "classes": [],
        "example": {"query": evil},
    }  # fmt: skip
    items = [{"item": evil, "text": evil, "score": 1.0}]
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/v1/tasks", lambda route: route.fulfill(json={"tasks": [tasks]}))
        page.route("**/recommend*", lambda route: route.fulfill(json={"items": items, "took_ms": 1.0}))
        page.goto(address)
        page.wait_for_selector("#task option", state="attached")
        page.select_option("#verb", "recommend")
        page.click("#ask")
        (said,) = answers(page, 1)
        assert said.count(evil) == 4
        assert page.query_selector("img, b") is None and page.title() == "peftrec"


def test_its_policy_lets_in_its_own_files_only(client, browser, address):
    for name, kind in {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}.items():
        done = client.get(f"/{name}")
        assert done.status_code == 200 and done.headers["content-type"].startswith(kind)
        policy = done.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'" in policy
        assert "unsafe" not in policy and "http" not in policy
    assert {path.suffix for path in STATIC.iterdir()} == set(KINDS)
    html, script = ((STATIC / name).read_text() for name in ("page.html", "page.js"))
    assert html.count("<script") == html.count('<script type="module" src="page.js"></script>') == 1
    assert not re.search(r"<style|\sstyle=|\son\w+=|https?:", html)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Storage|cookie", script)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.evaluate("""() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'evil'";
          document.head.append(script);
        }""")
        assert page.title() == "peftrec"


def test_a_key_is_asked_for_sent_and_kept_in_memory_only(browser, runs, tmp_path):
    keys = tmp_path / "keys.json"
    digest = hashlib.sha256(b"secret").hexdigest()
    keys.write_text(json.dumps({"keys": [{"name": "shop", "sha256": digest, "tasks": ["interest"]}]}))
    server, address = listening(make_service(runs / "two", keys=Keys.given(keys, {})))
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("alert").filter(has_text="key").wait_for()
        assert page.evaluate("document.activeElement.id") == "key" and page.is_disabled("#ask")
        page.keyboard.type("secret")
        page.keyboard.press("Enter")
        page.wait_for_selector("#task option", state="attached")
        assert [of.inner_text() for of in page.query_selector_all("#task option")] == ["interest"]
        page.click("#ask")
        assert "ms in the service" in answers(page, 1)[0]
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        page.reload()
        assert page.input_value("#key") == ""
    server.should_exit = True


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_fits_and_can_be_read_wide_and_narrow_light_and_dark(browser, address, scheme, width):
    with browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("#task option", state="attached")
        page.select_option("#run", "one")
        page.select_option("#task", "interest")
        page.select_option("#beside", "two")
        page.select_option("#verb", "recommend")
        page.click("#example")
        page.click("#ask")
        answers(page, 2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        contrasts = page.evaluate(CONTRAST)
        assert len(contrasts) > 20
        assert [(ratio, what) for ratio, what in contrasts if ratio < 4.5] == []
        unlabelled = "elements => elements.filter((e) => !e.labels.length).map((e) => e.id)"
        assert page.eval_on_selector_all("input, select, textarea", unlabelled) == []
        light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
        assert light == (scheme == "light")
