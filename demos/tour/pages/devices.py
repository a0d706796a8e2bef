"""Sign-in: whose session it is, and where else."""

from tornado.web import authenticated

from demos.login import browser_name, may_sign_in
from demos.tour.page import Page
from tornado_session import SessionInfo


class Devices(Page):
    """A fresh key at sign-in; a list of all sessions of one user; the end of any of them."""

    slug = "devices"

    async def get(self) -> None:
        devices: list[SessionInfo] = []
        if self.current_user:
            devices = [device async for device in self.sessions.of(self.current_user)]
        self.show(devices=sorted(devices, key=lambda device: device.last_seen, reverse=True))

    async def post(self) -> None:
        name = self.get_body_argument("name")
        if await may_sign_in(name, self.get_body_argument("password", strip=False)):
            await self.session.regenerate(owner=name)
            self.session.label = browser_name(self.request.headers.get("User-Agent", ""))
        else:
            self.flash("This name and password do not go together.", "error")
        self.redirect("/devices")


class Revoke(Page):
    @authenticated
    async def post(self) -> None:
        session_id = self.get_body_argument("id", None)
        if session_id == self.session.id:
            await self.session.destroy()
            self.flash("You are signed out.")
        elif session_id:
            await self.sessions.revoke(self.current_user, session_id)
            self.flash("That device is signed out.")
        else:
            ended = await self.sessions.revoke_all(self.current_user, keep=self.session.id)
            self.flash(f"Signed out on other devices: {ended}.")
        self.redirect("/devices")


Devices.sources = (Devices, Revoke, may_sign_in)
