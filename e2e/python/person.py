"""A person who signs in and allows, by the plain forms of the pages."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


class Form(HTMLParser):
    """The first form of a page: where it goes and its hidden fields."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = attrs.get("action")
        if tag == "input" and attrs.get("type") == "hidden":
            self.fields[attrs["name"]] = attrs.get("value", "")


def visit(url, email, password, callback):
    """Follows an authorize URL to the callback; the whole URL that the application gets."""
    browser = requests.Session()
    answer = browser.get(url, allow_redirects=False)
    for _ in range(10):
        if answer.is_redirect:
            url = urljoin(answer.url, answer.headers["location"])
            if url.startswith(callback):
                return url
            answer = browser.get(url, allow_redirects=False)
            continue
        answer.raise_for_status()
        form = Form(answer.text)
        typed = {"username": email, "password": password}
        if form.action == "/consent":
            typed = {"decision": "allow"}
        action = urljoin(answer.url, form.action)
        answer = browser.post(action, data=form.fields | typed, allow_redirects=False)
    raise AssertionError(f"no end in sight at {answer.url}: {answer.text}")
