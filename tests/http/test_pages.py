"""The pages of dev mode in a real browser that reaches nothing but the service. Screenshots stay in `build/pages`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from rehearsal.dev_server import ROOT, Server

ARTEFACTS = ROOT / "build" / "pages"
PATIENCE_S = 60

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None, reason="needs chromium and chromedriver"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    arguments = ["--headless=new", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,1000"]
    arguments += [f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]
    arguments += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    for argument in arguments:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(PATIENCE_S)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, server: Server) -> Iterator[webdriver.Chrome]:
    """The page to try it, freshly loaded; nothing may have gone wrong in it by the end."""
    browser.get(server.url)
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def screenshot(browser: webdriver.Chrome, name: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    path: Path = ARTEFACTS / f"{name}.png"
    assert browser.save_screenshot(str(path))


def write(browser: webdriver.Chrome, texts: list[str]) -> WebElement:
    field = browser.find_element(By.ID, "texts")
    browser.execute_script("arguments[0].value = arguments[1]", field, "\n".join(texts))
    return field


def answered(browser: webdriver.Chrome) -> list[str]:
    """The rows, as they read, once all answers are in."""
    wait = WebDriverWait(browser, PATIENCE_S)
    wait.until(lambda _: " s." in browser.find_element(By.ID, "state").text)
    return [" ".join(row.text.split()) for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr")]


def test_texts_are_classified_by_keyboard_alone(page: webdriver.Chrome) -> None:
    page.switch_to.active_element.send_keys(Keys.TAB, Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "texts"
    page.switch_to.active_element.send_keys(Keys.CONTROL, Keys.ENTER)
    rows = answered(page)
    assert [row.split()[:2] for row in rows] == [["1", "POSITIVE"], ["2", "NEGATIVE"], ["3", "NEUTRAL"]]
    assert rows[0].endswith("I love this!")


def test_truncation_and_errors_are_told_and_markup_is_text(page: webdriver.Chrome) -> None:
    script = "<img src=x onerror=\"document.title='broken into'\"><script>alert(1)</script>"
    write(page, ["good " * 600, "x" * 10_001, script, *["fine"] * 120])
    page.find_element(By.ID, "classify").click()
    rows = answered(page)
    assert len(rows) == 123
    assert "Only its first 512 tokens of 602 were read." in rows[0]
    assert "has 10001 characters, 10000 are allowed; shorten it or split it" in rows[1]
    assert rows[2].endswith(script)
    assert page.title == "Try batch-processor"
    assert [row.split()[0] for row in rows] == [str(number) for number in range(1, 124)]
    assert page.find_elements(By.CSS_SELECTOR, "tbody img, tbody script") == []
    screenshot(page, "try-it-light")


def test_long_texts_are_read_in_windows(page: webdriver.Chrome) -> None:
    write(page, ["good " * 600])
    page.find_element(By.CSS_SELECTOR, "option[value=window]").click()
    page.find_element(By.ID, "classify").click()
    assert "Read in 2 windows." in answered(page)[0]


def test_a_refusal_is_told(page: webdriver.Chrome) -> None:
    page.execute_script(
        "document.getElementById('ask').noValidate = true; document.getElementById('max_length').min = 0"
    )
    page.execute_script("document.getElementById('max_length').value = 7")
    page.find_element(By.ID, "classify").click()
    wait = WebDriverWait(page, PATIENCE_S)
    wait.until(lambda _: "max_length must be 50 or more" in page.find_element(By.ID, "state").text)
    # The browser logs the 400 by itself.
    assert all("400" in entry["message"] for entry in page.get_log("browser"))


def test_a_file_is_read(page: webdriver.Chrome, tmp_path: Path) -> None:
    path = tmp_path / "reviews.txt"
    path.write_text("I love this!\r\n\r\nWhat a waste of money.\n", encoding="utf-8")
    page.find_element(By.ID, "file").send_keys(str(path))
    WebDriverWait(page, PATIENCE_S).until(lambda _: "reviews.txt" in page.find_element(By.ID, "state").text)
    page.find_element(By.ID, "classify").click()
    assert [row.split()[1] for row in answered(page)] == ["POSITIVE", "NEGATIVE"]


def test_the_figures_are_alive(page: webdriver.Chrome) -> None:
    def num_answered() -> int:
        # In one go: the page replaces its figures every second.
        script = (
            "return [...document.querySelectorAll('dt')].map((name) => [name.innerText, name.nextSibling.innerText])"
        )
        return int(dict(page.execute_script(script)).get("Texts answered", "-1"))

    wait = WebDriverWait(page, PATIENCE_S)
    wait.until(lambda _: num_answered() >= 0)
    before = num_answered()
    page.find_element(By.ID, "classify").click()
    wait.until(lambda _: num_answered() >= before + 3)


def test_in_the_dark_and_on_a_phone(page: webdriver.Chrome) -> None:
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    phone = {"width": 390, "height": 1200, "deviceScaleFactor": 2, "mobile": True}
    try:
        write(
            page, ["I love this!", "What a waste of money.", "The parcel came on Monday.", "good " * 600, "x" * 10_001]
        )
        page.find_element(By.ID, "classify").click()
        answered(page)
        screenshot(page, "try-it-dark")
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        width = page.execute_script("return document.documentElement.scrollWidth")
        assert width <= 390
        screenshot(page, "try-it-phone")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_docs_try_an_endpoint_out(browser: webdriver.Chrome, server: Server) -> None:
    browser.get(f"{server.url}/docs")
    wait = WebDriverWait(browser, PATIENCE_S)
    operation = wait.until(lambda _: browser.find_element(By.ID, "operations-default-analyze_single"))
    assert "batch-processor" in browser.find_element(By.CSS_SELECTOR, ".info .title").text
    assert "Request Handler" not in browser.find_element(By.TAG_NAME, "body").text
    operation.find_element(By.CSS_SELECTOR, ".opblock-summary-control").click()
    wait.until(lambda _: operation.find_element(By.CSS_SELECTOR, "button.execute")).click()
    status = wait.until(
        lambda _: operation.find_element(By.CSS_SELECTOR, ".live-responses-table tr.response .response-col_status")
    )
    assert status.text.startswith("200")
    assert '"sentiment": "POSITIVE"' in operation.find_element(By.CSS_SELECTOR, ".live-responses-table").text
    browser.execute_script(
        "arguments[0].scrollIntoView()", operation.find_element(By.CSS_SELECTOR, ".responses-wrapper")
    )
    screenshot(browser, "docs")
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_any_chute_has_a_page_that_sends_its_examples(browser: webdriver.Chrome, embedder_server: Server) -> None:
    browser.get(embedder_server.url)
    wait = WebDriverWait(browser, PATIENCE_S)
    wait.until(lambda _: browser.title == "Try batch-embedder")
    browser.find_element(By.CSS_SELECTOR, "option:nth-child(2)").click()
    browser.find_element(By.ID, "body").send_keys(Keys.CONTROL, Keys.ENTER)
    wait.until(lambda _: browser.find_element(By.ID, "state").text.startswith("Status 200"))
    assert '"object": "list"' in browser.find_element(By.ID, "answer").text
    assert "all-MiniLM-L6-v2" in browser.find_element(By.ID, "answer").text
    screenshot(browser, "try-request")
    body = browser.find_element(By.ID, "body")
    body.clear()
    body.send_keys('{"input": " "}')
    browser.find_element(By.ID, "send").click()
    wait.until(lambda _: browser.find_element(By.ID, "state").text.startswith("Status 400"))
    assert "input[0] is blank" in browser.find_element(By.ID, "answer").text
    # The browser logs the 400 by itself.
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert all("400" in message for message in severe)
