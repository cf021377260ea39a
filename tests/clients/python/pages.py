"""The interactive documentation loads everything from the server itself."""

import html.parser
import re
import urllib.parse
import urllib.request

from api import ISSUER


class References(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        names = {"script": "src", "link": "href", "img": "src", "iframe": "src"}
        if tag in names:
            self.found += [value for name, value in attributes if name == names[tag]]


def fetch(url):
    with urllib.request.urlopen(url) as response:
        assert response.status == 200, url
        return response.read()


page = f"{ISSUER}/docs/"
references = References()
references.feed(fetch(page).decode())
assert len(references.found) >= 4, references.found
for reference in references.found:
    url = urllib.parse.urljoin(page, reference)
    assert url.startswith(ISSUER + "/"), f"{reference} is on another origin"
    text = fetch(url)
    if url.endswith(".css"):
        for target in re.findall(rb"url\(([^)]+)\)", text):
            assert target.strip(b"'\"").startswith((b"data:", b"#")), target
        assert b"@import" not in text
