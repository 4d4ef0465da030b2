"""A browser for all tests of a process; each begins with an empty page of the same size."""

import os

import pytest

from tests.browser import CHROMIUM, Browser


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI installs chromium"
        pytest.skip("no chromium on this machine; DBTORCH_TEST_CHROMIUM names one")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    """Nothing may go wrong in the page, or leave the machine, whatever the test is about."""
    chromium.size(1280, 900)
    chromium.dark(False)
    chromium.open("about:blank")
    yield chromium
    chromium.forget()
    assert chromium.errors == []
    outside = ("http://127.0.0.1:", "http://localhost:", "file://", "about:", "data:", "blob:")
    assert [url for url in chromium.requests if not url.startswith(outside)] == []
