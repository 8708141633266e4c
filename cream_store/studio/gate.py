"""Who may ask the studio for anything: the one browser that came with the token, and pages of the studio itself.

Any program on the machine can reach a port of 127.0.0.1, and so can any web page in any browser there. Therefore:

- The address must be ours. A name that an attacker's server resolves to 127.0.0.1 is refused (DNS rebinding).
- The first request must bring the token that was printed. It is good once; what follows is a cookie.
- A request that another origin's page made is refused, by what browsers say of it; another port is another origin.
- What changes something is a POST from our own origin, with a text that only our own pages have (CSRF).
"""

from __future__ import annotations

import hmac
import secrets
import threading
from typing import Final

from flask import Request, Response

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""What our pages may load: nothing but our own style and icon. They have no scripts."""

HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Refused(Exception):
    """A request that is not answered, and why."""


class Gate:
    """Lets requests in, or raises Refused."""

    def __init__(self, port: int) -> None:
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.token = secrets.token_urlsafe(32)
        self.cookie = f"cream-studio-{port}"  # cookies know no ports: two studios would share one name
        self.form_token = secrets.token_urlsafe(32)
        self._session: str | None = None
        self._lock = threading.Lock()

    @property
    def entrance(self) -> str:
        """The address that lets one browser in."""
        return f"http://{self.hosts[0]}/?token={self.token}"

    def check_host(self, request: Request) -> None:
        """Refuses a request for another server."""
        if request.headers.getlist("Host") not in [[host] for host in self.hosts]:
            raise Refused(f"The studio answers at http://{self.hosts[0]} only.")

    def enter(self, request: Request) -> Response | None:
        """The page that gives a browser its cookie, when it brings the token; None when it brings none."""
        given = request.args.get("token")
        if given is None or request.method != "GET":
            return None
        if "prefetch" in request.headers.get("Sec-Purpose", "") + request.headers.get("Purpose", ""):
            raise Refused("The token is not for looking ahead.")  # else it would be used up before anybody comes
        with self._lock:
            if not _same(given, self.token):
                raise Refused("This address has a wrong token. Open the one that the studio printed last.")
            if self._session is not None:
                if _same(request.cookies.get(self.cookie), self._session):
                    return Response(_ENTERED)  # the browser that has been let in opens it again
                raise Refused("This address has been used, and works once. Start the studio again for a new one.")
            self._session = secrets.token_urlsafe(32)
        response = Response(_ENTERED)
        response.set_cookie(self.cookie, self._session, httponly=True, samesite="Strict")
        return response

    def check(self, request: Request) -> None:
        """Refuses a request from anybody else than the browser that was let in, and from other pages in it."""
        if self._session is None or not _same(request.cookies.get(self.cookie), self._session):
            raise Refused("Open the address that the studio printed: it lets one browser in.")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise Refused("Another page asked for this. Type the address, or follow a link of the studio's.")
        if request.method == "POST":
            if request.headers.get("Origin") != f"http://{request.headers['Host']}":
                raise Refused("Another page sent this form.")
            if not _same(request.form.get("form_token"), self.form_token):
                raise Refused("This form is not one of this studio's. Open its page again.")


def _same(given: str | None, secret: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


# A page that goes on by itself, rather than a redirect: to a redirect the browser would not send the new cookie when
# the address was followed from another site's page, such as a terminal in a browser.
_ENTERED = """<!doctype html>
<html lang="en"><title>cream-store studio</title><meta http-equiv="refresh" content="0;url=/">
<link rel="icon" href="/static/icon.svg">
<p><a href="/">Open the studio</a></p></html>
"""
