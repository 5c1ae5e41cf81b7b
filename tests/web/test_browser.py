"""The status page in a browser: on a phone, dark, by keyboard, with changing data."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from agent.web.http import Request as Asked, Response
from agent.web.page import page as status_page
from tests.support.browser import chromium
from tests.web.sample import HOSTILE, sample_history, sample_status
from tests.web.serving import serving
from tests.web.test_actions import DONE, REFUSED, Agent

pytestmark = pytest.mark.browser

FOCUSABLE = "summary, a[href], button, input, select"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
AA, AA_LARGE = 4.5, 3.0  # least contrast of text, WCAG 2.2, success criterion 1.4.3

# Every element that shows text of its own, with the contrast of that text to its background.
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((part) => {
    const c = part / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }).reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    for (let up = node; up; up = up.parentElement) {
      const colour = parse(getComputedStyle(up).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter((node) =>
    [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())
      && node.checkVisibility() && !["SCRIPT", "NOSCRIPT"].includes(node.tagName)
  ).map((node) => {
    const style = getComputedStyle(node), ink = light(parse(style.color)), paper = light(behind(node));
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    return { text: node.textContent.slice(0, 40), large: size >= 24 || (size >= 18.66 && bold), ratio };
  });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Served:
    """The status that the page receives; a test may change it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.status: dict[str, Any] = dict(sample_status())
        self.asked = 0
        self.busy = False  # as an agent that has no status for the search
        self.queries: list[str] = []
        self.charts: list[str] = []
        self.agent = Agent(names=None)


@pytest.fixture
def served() -> Iterator[Served]:
    told = Served("")

    def answer(request: Asked) -> Response:
        told.asked += 1
        told.queries.append(request.query)
        if told.busy:
            return Response(b"the analyst is busy; try again\n", 503)
        told.status["now"] = f"2026-11-24T02:41:{told.asked % 60:02d}.000Z"
        tag = json.dumps(told.status | {"now": ""}).encode()
        return Response(json.dumps(told.status).encode(), content_type="application/json", tag=tag)

    def history(request: Asked) -> Response:
        told.charts.append(request.query)
        return Response(json.dumps(sample_history(request.query)).encode())

    routes = {
        "/": lambda _request: status_page(told.agent.actions.token),
        "/status.json": answer,
        "/device.json": history,
    }
    with serving(routes, posts=[told.agent.actions]) as server:
        told.address = f"http://127.0.0.1:{server.port}/"
        yield told


@pytest.fixture
def complaints() -> list[str]:
    return []


def open_page(browser: Browser, served: Served, complaints: list[str], **options: Any) -> Page:
    """Open the page and wait until it shows the status; the console's messages are collected."""
    page = browser.new_page(**options)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(served.address)
    expect(page.locator("#fresh")).to_have_text("up to date")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser: Browser, served: Served, complaints: list[str], scheme: Any) -> None:
    """Light and dark, each text contrasts with its background, and the console is empty."""
    page = open_page(browser, served, complaints, viewport=DESKTOP, color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(17, 22, 27)") == (scheme == "dark")
    for details in page.locator("details").all():
        details.evaluate("node => { node.open = true; }")
    texts = page.evaluate(CONTRAST)
    assert len(texts) > 60
    faint = [one for one in texts if one["ratio"] < (AA_LARGE if one["large"] else AA)]
    assert faint == []
    assert complaints == []
    page.close()


def test_phone_shows_all_without_scrolling_sideways(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """At 360 px nothing is wider than the screen, however long the names are."""
    served.status["agent"] = "gateway-" + "x" * 120
    page = open_page(browser, served, complaints, viewport=PHONE, is_mobile=True, has_touch=True)
    for details in page.locator("details").all():
        details.evaluate("node => { node.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    wide = page.evaluate(
        "() => [...document.querySelectorAll('main *, header *')]"
        ".filter((node) => node.getBoundingClientRect().right > innerWidth + 1)"
        ".map((node) => node.outerHTML.slice(0, 80))"
    )
    assert wide == []
    page.close()


def test_everything_is_reached_without_a_mouse(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """Tab goes through each detail and link in order, what is focused is outlined, and Enter unfolds it."""
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    expected = page.locator(FOCUSABLE).count()
    seen = []
    for _ in range(expected):
        page.keyboard.press("Tab")
        tag, outline = page.evaluate(
            "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline != "none"
        seen.append(tag)
        if tag == "SUMMARY":
            before = page.evaluate("document.activeElement.parentElement.open")
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open") is not before
    assert seen.count("SUMMARY") == page.locator("summary").count() >= 1
    assert seen.count("A") == page.locator("a[href]").count() >= 3
    assert seen.count("BUTTON") == page.locator("button").count() >= 4
    assert {"INPUT", "SELECT"} <= set(seen)
    page.close()


@pytest.mark.slow
def test_new_data_leaves_the_reader_where_they_are(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """Open details stay open and the focus stays while a new verdict arrives."""
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    first = page.locator("#verdicts details").first
    key = first.get_attribute("data-key")
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    newest = dict(served.status["recent_verdicts"][0]) | {"id": "v-new", "summary": "a new one"}
    served.status = served.status | {"recent_verdicts": [newest, *served.status["recent_verdicts"]]}
    page.wait_for_selector("#verdicts details[data-key='v-new']")
    assert page.evaluate(f"document.querySelector('[data-key=\"{key}\"]').open")
    assert page.evaluate("document.activeElement.parentElement.dataset.key") == key
    page.close()


@pytest.mark.slow
def test_page_says_when_contact_is_lost_and_comes_back(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """An invalid answer is reported within a refresh, without hiding the last known status."""
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    good, served.status = served.status, {"nonsense": True}
    expect(page.locator("#state")).to_have_text("no contact", timeout=15_000)
    assert page.locator("#devices article").count() > 0
    served.status = good
    expect(page.locator("#fresh")).to_have_text("up to date")
    assert page.locator("#state").text_content() == f"agent {good['state']}"
    page.close()


@pytest.mark.slow
def test_page_says_when_the_status_is_stale(browser: Browser, served: Served, complaints: list[str]) -> None:
    """The last status with its age, in the head and in the foot, until it is fresh again."""
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    good, served.status = served.status, {**served.status, "stale": True, "age_s": 42.0}
    expect(page.locator("#state")).to_have_text("stale, 42 s old", timeout=15_000)
    expect(page.locator("#fresh")).to_have_text("the agent is busy: this is 42 s old")
    served.status = good
    expect(page.locator("#state")).to_have_text(f"agent {good['state']}", timeout=15_000)
    page.close()


@pytest.mark.slow
def test_page_says_when_there_is_no_answer_yet(browser: Browser, served: Served) -> None:
    """A busy agent is not one without contact; what was shown before stays."""
    page = open_page(browser, served, [], viewport=DESKTOP)
    served.busy = True
    expect(page.locator("#state")).to_have_text("busy", timeout=15_000)
    expect(page.locator("#fresh")).to_contain_text("the agent is busy, it has not answered for ")
    served.busy = False
    expect(page.locator("#state")).to_have_text(f"agent {served.status['state']}", timeout=15_000)
    page.close()


def test_the_policy_stops_a_script_that_got_in(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """Even markup put into the document by hand runs nothing and loads nothing."""
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', "
        "'<img src=/metrics onerror=\"document.title=1\"><iframe src=/metrics></iframe>')"
    )
    page.wait_for_timeout(300)
    assert page.title() != "1"
    assert any("Content Security Policy" in text for text in complaints)
    page.close()


@pytest.mark.slow
def test_the_page_does_not_say_what_it_does_not_know(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """A model that never answered is not available, learning is not normal, and 11 findings are left out."""
    first = served.status["findings"][0]
    served.status["findings"] = [first | {"id": f"f{place}"} for place in range(50)]
    served.status["counters"] = served.status["counters"] | {"findings_open": 61, "incidents_open": 61}
    served.status["ai"] = served.status["ai"] | {"breaker": "closed", "answering": "never"}
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    expect(page.locator("#h-findings")).to_have_text("Open findings (50 of 61)")
    expect(page.locator("#ai .pill")).to_have_text("has never answered")
    expect(page.locator("#ai .pill")).to_have_class("pill bad")
    expect(page.locator("#devices")).to_contain_text("still learning (102 of 150, until about ")
    expect(page.locator("#devices")).to_contain_text("silence is not judged yet (2 of 20 gaps)")
    expect(page.locator("#devices")).to_contain_text("sends every 60 s, silent after 5 min")
    learning = page.locator("#verdicts article", has_text="new-1")
    expect(learning.locator(".head .pill")).to_have_text("learning")
    expect(learning).to_contain_text("this device has used up its own share")
    finding = page.locator("#findings article").first
    expect(finding).to_contain_text(first["advice"])
    finding.locator("summary", has_text="Evidence").click()
    expect(finding.locator("table")).to_contain_text("98.7")
    served.status = served.status | {
        "findings": [],
        "ai": served.status["ai"] | {"answering": "not_asked"},
        "counters": served.status["counters"] | {"findings_open": 0},
    }
    expect(page.locator("#ai .pill")).to_have_text("not asked yet")
    expect(page.locator("#findings")).to_contain_text("4 of 12 series are still learning")
    page.close()


def commands(served: Served) -> list[dict[str, Any]]:
    """Return the commands that reached the journal, without their ids, which are all different."""
    read = [json.loads(one.payload) for one in served.agent.got]
    assert len({one["id"] for one in read}) == len(read)
    return [{key: value for key, value in one.items() if key != "id"} for one in read]


def test_a_finding_is_acknowledged_by_keyboard_and_its_answer_shown(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """One press of Enter is a command; the focus stays, and the outcome is read out."""
    page = open_page(browser, served, complaints, viewport=PHONE)
    card = page.locator("#finding-f2bb")
    for name, do in (("Acknowledge", "ack"), ("Snooze 24 h", "snooze")):
        card.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
        expect(card.locator(".buttons [role=status]")).to_have_text("done: acknowledged")
        assert page.evaluate("document.activeElement.dataset.key").endswith(" f2bb")
        assert commands(served)[-1]["do"] == do
    assert commands(served) == [
        {"do": "ack", "finding_id": "f2bb"},
        {"do": "snooze", "finding_id": "f2bb", "for": "24h"},
    ]
    assert complaints == []
    page.close()


def test_a_finding_is_judged_on_the_page(browser: Browser, served: Served, complaints: list[str]) -> None:
    """Real or a false alarm: the answer is noted, and the finding as it was."""
    page = open_page(browser, served, complaints, viewport=PHONE)
    card = page.locator("#finding-f2bb")
    for name, do, answer in (
        ("It was real", "confirmed", "noted as real"),
        ("False alarm", "false_alarm", "noted as a false alarm"),
    ):
        card.get_by_role("button", name=name).click()
        expect(card.locator(".buttons [role=status]")).to_have_text(answer)
        assert commands(served)[-1] == {"do": do, "finding_id": "f2bb"}
    assert complaints == []
    page.close()


def test_a_chart_joins_stored_points_and_those_of_now(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """Five minutes apart, then seconds: the line is cut where the device was silent, and only there."""
    page = open_page(browser, served, complaints)
    stored, now, later = [300 * k for k in range(9)], [2500 + 5 * k for k in range(99)], [4000, 4005, 4010]
    points = [[at, 1, 1] for at in (*stored, *now, *later)]
    lengths = page.evaluate("(points) => pieces(points, 28).map((one) => one.length)", points)
    assert lengths == [len(stored) + len(now), len(later)]
    page.close()


def test_what_cannot_be_taken_back_is_asked_twice(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """The first press asks, the second one does it; a refusal is shown in the agent's words."""
    served.agent._outcome = REFUSED
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    card = page.locator("#finding-f2bb")
    for name, do in (("Normal here", "normal_here"), ("Forget device", "forget")):
        before = len(served.agent.got)
        card.get_by_role("button", name=name).click()
        expect(card.locator("button.armed")).to_contain_text("Really")
        assert len(served.agent.got) == before
        card.locator("button.armed").click()
        expect(card.locator(".buttons [role=status]")).to_have_text("refused: a limit was broken")
        assert commands(served)[-1]["do"] == do
    assert commands(served)[-1] == {"do": "forget", "device": HOSTILE}
    expect(page.locator("#finding-f1aa").get_by_role("button", name="Normal here")).to_have_count(0)
    page.close()


def test_an_answer_that_got_lost_is_asked_for_with_the_same_id(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """Pressed again, the button sends the same command, which the agent recognises."""
    served.agent._accepts = False
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    ids: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            ids.append(json.loads(request.post_data or "")["id"])

    page.on("request", note)
    card = page.locator("#finding-f2bb")
    card.get_by_role("button", name="Acknowledge").click()
    expect(card.locator(".buttons [role=status]")).to_contain_text("press again")
    served.agent._accepts, served.agent._outcome = True, DONE
    card.get_by_role("button", name="Acknowledge").click()
    expect(card.locator(".buttons [role=status]")).to_have_text("done: acknowledged")
    assert len(ids) == 2
    assert len(set(ids)) == 1
    page.close()


def test_a_page_without_a_token_has_no_buttons(browser: Browser, served: Served) -> None:
    """As with `web.actions: false`."""
    status = json.dumps(served.status).encode()
    routes = {"/": lambda _request: status_page(), "/status.json": lambda _request: Response(status)}
    with serving(routes) as server:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/")
        expect(page.locator("#findings article")).to_have_count(2)
        assert page.locator("button").count() == 0
        page.close()


def test_a_page_from_elsewhere_cannot_press(browser: Browser, served: Served) -> None:
    """Another origin can neither read the token nor post a command, in any way that a browser offers."""
    evil = Response(b"<!doctype html><title>evil</title>", content_type="text/html")
    with serving({"/": lambda _request: evil}) as other:
        page = browser.new_page()
        page.goto(f"http://localhost:{other.port}/")
        seen = page.evaluate(
            """async (address) => {
              const body = '{"id":"x","do":"ack","finding_id":"f2222"}', method = "POST";
              const tried = [];
              for (const init of [
                { method, body, headers: { "Content-Type": "application/json", "X-Edge-Agent-Token": "x" } },
                { method, body, mode: "no-cors" }, { method, body, credentials: "include" },
              ]) tried.push(await fetch(address + "actions/command", init)
                .then((one) => one.type, () => "failed"));
              tried.push(await fetch(address).then((one) => one.text(), () => "failed"));
              return tried;
            }""",
            served.address,
        )
        page.close()
    assert "failed" in seen[0]
    assert seen[-1] == "failed"
    assert served.agent.got == []


def test_the_title_counts_open_criticals(browser: Browser, served: Served, complaints: list[str]) -> None:
    """It is the first thing on the tab and on the page, and gone when there are none."""
    page = open_page(browser, served, complaints)
    assert page.title() == "(1) ! gw1 - edge-agent"
    pills = page.locator("#wrong .pill")
    expect(pills).to_have_text(["1 critical", "1 warning"])
    served.status = served.status | {"counters": served.status["counters"] | {"critical_open": 0}}
    expect(page).to_have_title("! gw1 - edge-agent")
    expect(pills).to_have_text(["1 warning", "1 answered"])
    none = {"critical_open": 0, "warning_open": 0, "findings_open": 0}
    served.status = served.status | {"counters": served.status["counters"] | none}
    expect(pills).to_have_text(["no open finding"])
    page.close()


@pytest.mark.parametrize(("zone", "time"), [("Asia/Tokyo", "11:40:20"), ("America/New_York", "9:40:20")])
def test_times_are_those_of_the_viewer(browser: Browser, served: Served, zone: str, time: str) -> None:
    """A finding opened at 02:40 UTC: at 11:40 in Tokyo, at 21:40 the day before in New York."""
    page = open_page(browser, served, [], timezone_id=zone, locale="en-US")
    expect(page.locator("#finding-f1aa")).to_contain_text(f"since {time}")
    page.close()


def test_a_link_leads_to_its_finding_or_says_that_it_is_over(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """The card has the focus; of one that is missing the page reports that."""
    served.address += "#finding-f2bb"
    page = open_page(browser, served, complaints, viewport=PHONE)
    expect(page.locator("#finding-f2bb")).to_be_focused()
    expect(page.locator("#finding-f2bb")).to_be_in_viewport()
    assert page.locator("#finding-f1aa a", has_text="link").get_attribute("href") == "#finding-f1aa"
    page.evaluate("location.hash = '#finding-0000'")
    expect(page.locator("#target")).to_contain_text("Finding 0000 is over, or not known here")
    page.close()


def test_a_search_is_sent_to_the_agent(browser: Browser, served: Served, complaints: list[str]) -> None:
    """The text as it is typed, the filter as it is chosen; the number found is shown."""
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    page.get_by_role("searchbox").fill("ki&t #1")
    page.get_by_role("combobox").select_option("silent")
    served.status = served.status | {"devices_found": 612}
    expect(page.locator("#h-devices")).to_have_text("Devices (4 of 612 found)")
    assert "q=ki%26t+%231&only=silent" in served.queries
    page.close()


def test_a_status_that_is_the_same_is_not_sent_again(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """The page asks with the tag that it has, and goes on showing what it has."""
    page = open_page(browser, served, complaints)
    with page.expect_response(lambda one: one.status == 304):
        page.evaluate("refresh()")
    expect(page.locator("#fresh")).to_have_text("up to date")
    assert page.locator("#findings article").count() == 2
    page.close()


def places(rects: Locator) -> list[list[int]]:
    """Return left edge and width of marks in a chart of 600."""
    return [[round(float(one.get_attribute(name) or "")) for name in ("x", "width")] for one in rects.all()]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_device_shows_days_with_usual_ranges_and_findings(
    browser: Browser, served: Served, complaints: list[str], size: Any
) -> None:
    """By keyboard from its finding to its chart of a day, then of a week, and back."""
    page = open_page(browser, served, complaints, viewport=size)
    page.locator("#finding-f2bb .name a").focus()
    page.keyboard.press("Enter")
    device = page.locator("#device")
    expect(device).to_be_focused()
    expect(device.locator("h2")).to_have_text(HOSTILE)
    expect(device.locator("svg polyline")).to_have_count(2)  # before and after a gap
    assert places(device.locator("svg rect.hit")) == [[200, 100], [60, 60]]
    assert places(device.locator("svg rect.usual"))[:2] == [[0, 25], [25, 25]]
    expect(device).to_contain_text("values 69 to 98.7 degC")
    expect(device).to_contain_text("usual at its end 68.1 to 75.9 degC")
    expect(device).to_contain_text("normal here")
    device.get_by_role("button", name="7 days").focus()
    page.keyboard.press("Enter")
    expect(device.get_by_role("button", name="7 days")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.activeElement.dataset.key") == "span 168"
    assert served.charts[-1].endswith("hours=168")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    faint = [one for one in page.evaluate(CONTRAST) if one["ratio"] < AA]
    assert faint == []
    device.locator("svg").hover()
    expect(device.locator(".at")).to_contain_text("degC")
    device.get_by_role("link", name="close").click()
    expect(device).to_be_hidden()
    assert complaints == []
    page.close()


def test_a_finding_has_a_chart_of_its_time(browser: Browser, served: Served, complaints: list[str]) -> None:
    """The first ones are unfolded; of the others it is asked for once somebody unfolds it."""
    first = served.status["findings"][0]
    served.status["findings"] = [first | {"id": f"f{place}", "incident_id": None} for place in range(4)]
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    card = page.locator("#finding-f0")
    expect(card.locator("figure svg rect.usual")).to_have_count(24)
    expect(card.locator("figure svg rect.hit.calm")).to_have_count(2)  # both are others of its device
    expect(page.locator("#finding-f1 figure")).to_have_count(1)
    assert sorted(served.charts) == ["finding=f0", "finding=f1"]
    last = page.locator("#finding-f3")
    expect(last.locator("figure")).to_have_count(0)
    last.locator("summary", has_text="Chart").focus()
    page.keyboard.press("Enter")
    expect(last.locator("figure svg polyline")).to_have_count(2)
    assert page.evaluate("document.activeElement.textContent") == "Chart"
    card.locator("summary", has_text="Chart").click()
    page.evaluate("refresh()")
    expect(card.locator("figure svg")).to_be_hidden()
    assert complaints == []
    page.close()


def of_one_cause(served: Served) -> None:
    """Let the status have an incident of 25 devices, three of whose findings are shown."""
    first = served.status["findings"][1]
    incident = served.status["incidents"][1] | {
        "id": "abcd",
        "severity": "critical",
        "summary": "25 devices are offline by bridge/state.",
        "devices": [f"hall/th{place}" for place in range(12)],
        "device_count": 25,
        "findings_open": 25,
        "unseen": 25,
        "limits": ["f000", "f001"],
    }
    findings = [
        first | {"id": f"f00{place}", "device": f"hall/th{place}", "incident_id": "abcd"}
        for place in range(3)
    ]
    served.status["incidents"] = [incident, *served.status["incidents"]]
    served.status["findings"] = [*findings, *served.status["findings"]]
    served.status["counters"] = served.status["counters"] | {"findings_open": 27, "incidents_open": 3}


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_incident_is_one_card_with_its_findings(
    browser: Browser, served: Served, complaints: list[str], size: Any
) -> None:
    """Devices in their order, the first finding whole, the others folded; one press acknowledges all."""
    of_one_cause(served)
    page = open_page(browser, served, complaints, viewport=size)
    expect(page.locator("#h-findings")).to_have_text("Open findings (5 of 27), 3 incidents")
    assert page.locator("#findings > article").evaluate_all("list => list.map((one) => one.id)") == [
        "incident-abcd",
        "finding-f1aa",
        "finding-f2bb",
    ]
    card = page.locator("#incident-abcd")
    expect(card.locator(".head .name").first).to_have_text("25 devices, one cause")
    expect(card).to_contain_text("25 devices are offline by bridge/state.")
    expect(card.locator(".names a")).to_have_count(12)
    expect(card.locator(".names")).to_contain_text("and 13 more")
    expect(card).to_contain_text("3 of them here")
    expect(card.locator("#finding-f000")).to_be_visible()
    expect(card.locator("#finding-f001")).to_be_hidden()
    card.get_by_role("button", name="Acknowledge all (25)").focus()
    page.keyboard.press("Enter")
    expect(card.locator(".buttons [role=status]").first).to_have_text("25 of 25 done")
    assert commands(served) == [
        {"do": "ack", "incident_id": "abcd"},
        {"do": "ack", "finding_id": "f000"},
        {"do": "ack", "finding_id": "f001"},
    ]
    for details in page.locator("#findings details").all():
        details.evaluate("node => { node.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert [one for one in page.evaluate(CONTRAST) if one["ratio"] < AA] == []
    assert complaints == []
    page.close()


def test_all_of_an_incident_stops_at_the_first_lost_answer(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """The number of accepted commands is shown with the last refusal."""
    of_one_cause(served)
    served.agent._outcome = REFUSED
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    card = page.locator("#incident-abcd")
    card.get_by_role("button", name="Snooze all 24 h (25)").click()
    answer = card.locator(".buttons [role=status]").first
    expect(answer).to_have_text("0 of 25 done; refused: a limit was broken")
    page.route("**/actions/command", lambda route: route.abort())
    card.get_by_role("button", name="Acknowledge all (25)").click()
    expect(answer).to_have_text("0 of 25 done; no answer from the agent; press again")
    page.close()


def many_findings(served: Served) -> None:
    """Let the status have 45 findings and an incident, three of them critical and one of those known."""
    sample = served.status["findings"][1] | {"state": "open", "maintenance": False, "incident_id": None}
    severities = ["critical"] * 3 + ["warning"] * 42
    found = [
        sample | {"id": f"fa{place:02d}", "device": f"hall/th{place}", "severity": severity}
        for place, severity in enumerate(severities)
    ]
    found[2] |= {"state": "acknowledged"}
    found[3] |= {"kind": "silence"}
    of_one_cause(served)
    one = served.status["incidents"][0] | {"severity": "warning"}
    mates = [mate | {"severity": "warning"} for mate in served.status["findings"][:3]]
    served.status["incidents"] = [one]
    served.status["findings"] = [*found, *mates]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_of_many_findings_the_critical_ones_are_whole(
    browser: Browser, served: Served, complaints: list[str], size: Any
) -> None:
    """The others are a line each, which unfolds to card and chart and stays so; a link leads into one."""
    many_findings(served)
    page = open_page(browser, served, complaints, viewport=size)
    whole = page.locator("#findings > article")
    assert whole.evaluate_all("list => list.map((one) => one.id)") == ["finding-fa00", "finding-fa01"]
    lines = page.locator("#findings > details > summary")
    expect(lines).to_have_count(44)
    expect(lines.first).to_contain_text("critical hall/th2: ")
    expect(lines.first).to_contain_text("acknowledged")
    expect(lines.nth(1)).to_contain_text("hall/th3: silence, since ")  # its last value is not one of now
    expect(lines.last).to_contain_text("25 devices: 25 devices are offline by bridge/state.")
    lines.nth(5).focus()
    page.keyboard.press("Enter")
    card = page.locator("#finding-fa07")
    expect(card.get_by_role("button", name="Acknowledge")).to_be_visible()
    expect(card.locator("figure svg").first).to_be_visible()
    page.evaluate("refresh()")
    expect(card.locator("figure svg").first).to_be_visible()
    assert page.evaluate("document.activeElement.closest('details').dataset.key") == "folded fa07"
    page.evaluate("location.hash = '#finding-f002'")
    expect(page.locator("#finding-f002")).to_be_focused()
    expect(page.locator("#finding-f002")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert [one for one in page.evaluate(CONTRAST) if one["ratio"] < AA] == []
    assert complaints == []
    page.close()


def test_sections_are_a_key_away(browser: Browser, served: Served, complaints: list[str]) -> None:
    """The first tab stops lead to each section, past a long list, and leave the address as it is."""
    many_findings(served)
    page = open_page(browser, served, complaints, viewport=PHONE)
    for place, name in enumerate(("Findings", "Search", "State", "Sources", "Devices", "Verdicts"), 1):
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        jump = page.get_by_role("navigation").get_by_role("link", name=name)
        jump.focus()
        page.keyboard.press("Enter")
        reached = page.evaluate("document.activeElement.id")
        assert reached == ("q" if name == "Search" else f"h-{name.lower()}"), place
        expect(page.locator(f"#{reached}")).to_be_in_viewport()
        assert page.evaluate("location.hash") == ""
    page.keyboard.press("Tab")
    assert page.evaluate("Boolean(document.activeElement.closest('#verdicts'))")
    assert complaints == []
    page.close()


@pytest.mark.parametrize("link", ["finding-f002", "incident-abcd", "incident-" + "b" * 16])
def test_a_link_leads_into_an_incident(
    browser: Browser, served: Served, complaints: list[str], link: str
) -> None:
    """A folded finding is unfolded, an incident of one finding is that finding's card."""
    of_one_cause(served)
    served.address += "#" + link
    page = open_page(browser, served, complaints, viewport=PHONE)
    wanted = page.locator("#finding-f1aa" if "bbb" in link else f"#{link}")
    expect(wanted).to_be_focused()
    expect(wanted).to_be_in_viewport()
    assert served.queries[-1] == f"at={link.partition('-')[2]}"
    page.close()


def test_a_link_to_a_finding_that_is_over_shows_its_time(
    browser: Browser, served: Served, complaints: list[str]
) -> None:
    """With the device, its chart of then, and the finding among the others."""
    served.address += "#finding-f9cc"
    page = open_page(browser, served, complaints, viewport=DESKTOP)
    expect(page.locator("#target")).to_contain_text(
        "Finding f9cc is over: its device and time are shown above"
    )
    device = page.locator("#device")
    expect(device).to_be_focused()
    expect(device.locator("p.here")).to_contain_text("cleared")
    assert "finding=f9cc" in served.charts
    device.get_by_role("button", name="6 hours").click()
    expect(device.get_by_role("button", name="6 hours")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("location.hash").startswith("#device-")
    page.close()


def test_progress_of_learning_is_shown(browser: Browser, served: Served, complaints: list[str]) -> None:
    """Of all series, and of each with its estimated end, in the viewer's zone."""
    page = open_page(browser, served, complaints, timezone_id="Asia/Tokyo", locale="en-US")
    expect(page.locator("#learning")).to_contain_text("66 % learnt")
    expect(page.locator("#learning")).to_contain_text("8 of 12 series of 4 devices are judged")
    row = page.locator("#devices article").first
    expect(row.locator(".head .pill", has_text="learning")).to_have_count(1)
    expect(row).to_contain_text("still learning (102 of 150, until about 11:40:59")
    share = row.locator(".meter.learnt i").evaluate("node => node.style.width")
    assert share == "68%"
    page.close()


def test_notes_stand_below_the_findings(browser: Browser, served: Served, complaints: list[str]) -> None:
    """Weaknesses have a place of their own, and do not push the findings off a phone's screen."""
    served.status["notes"] = [
        f"{place} of 12 series are still learning: only limits alarm" for place in "1234"
    ]
    page = open_page(browser, served, complaints, viewport=PHONE)
    expect(page.locator("#notes li")).to_have_text(served.status["notes"])
    tops = [page.locator(one).bounding_box() for one in ("#problems", "#findings", "#notes")]
    assert sorted(tops, key=lambda box: box["y"] if box else 0.0) == tops
    page.close()
