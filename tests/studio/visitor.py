"""A browser of few words, for tests: it asks for pages and sends forms as a browser would."""

from __future__ import annotations

import html
import re
from typing import Any

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.test import TestResponse

from cream_store import Store
from cream_store.studio.app import create_app
from cream_store.studio.gate import Gate

PORT = 8123
OWN_ORIGIN = f"http://127.0.0.1:{PORT}"


class _Compiled(BytecodeCache):
    """Templates that were compiled for an earlier visitor."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


class Visitor:
    """Somebody who opened the printed address, unless told not to."""

    def __init__(self, store: Store, *, write: bool = False, enters: bool = True) -> None:
        self.gate = Gate(PORT)
        self.app = create_app(store, self.gate, write=write)
        self.app.jinja_env.bytecode_cache = _COMPILED
        self.client = self.app.test_client()
        if enters:
            assert self.get(f"/?token={self.gate.token}").status_code == 200

    def get(self, path: str, **headers: str) -> TestResponse:
        """What a link gives."""
        return self.client.get(path, base_url=OWN_ORIGIN, headers=_names(headers), buffered=True)

    def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> TestResponse:
        """What a form of the studio's own gives, unless headers or fields say otherwise."""
        return self.client.post(
            path,
            base_url=OWN_ORIGIN,
            data={"form_token": self.gate.form_token, **(fields or {})},
            headers={"Origin": OWN_ORIGIN, **_names(headers)},
        )

    def text(self, path: str) -> str:
        """A page's text, without its tags."""
        response = self.get(path)
        assert response.status_code == 200, f"{path}: {response.status_code} {words(response)}"
        return words(response)

    def submit(self, path: str, changes: dict[str, str], *, leave_out: tuple[str, ...] = ()) -> TestResponse:
        """Opens a form, changes some of its fields by name, and sends it."""
        page = self.get(path).text
        fields = {name: value for name, value in fields_of(page).items() if name not in leave_out}
        return self.post(path, {**fields, **changes})


def _names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def words(response: Any) -> str:
    """A page's text, without its tags and runs of spaces."""
    main = re.sub(r"(?s)^.*<main[^>]*>|</main>.*$", "", response.text)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", main))).strip()


def fields_of(page: str) -> dict[str, str]:
    """What a browser would send of the page's form with nothing changed."""
    form = page[page.index('<form class="edit"') :]
    fields: dict[str, str] = {}
    for tag in re.findall(r"<input [^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and ('type="checkbox"' not in tag or " checked" in tag):
            fields[name[1]] = html.unescape(value[1]) if value else "on"
    for name, text in re.findall(r'(?s)<textarea [^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form):
        fields[name] = html.unescape(text.removeprefix("\n")).replace("\n", "\r\n")
    for name, options in re.findall(r'(?s)<select [^>]*name="([^"]*)"[^>]*>(.*?)</select>', form):
        chosen = re.search(r"<option selected>([^<]*)<", options)
        fields[name] = html.unescape(chosen[1]) if chosen else re.sub(r"(?s)^.*?<option.*?>(.*)", "", options)
    return fields
