import re
from urllib.parse import urlencode

import shop
import tornado.testing

from tornado_session import MemoryCache
from tornado_session.testing import CookieClient


class ShopTest(tornado.testing.AsyncHTTPTestCase):
    def get_app(self):
        return shop.make_app(MemoryCache())

    def browser(self):
        return CookieClient(f"http://127.0.0.1:{self.get_http_port()}")

    async def post(self, browser, page, to, **fields):
        form = (await browser.fetch(page)).body.decode()
        token = re.search('name="_xsrf" value="([^"]+)"', form)[1]
        answer = await browser.fetch(to, method="POST", body=urlencode({"_xsrf": token, **fields}))
        return answer.body.decode()

    @tornado.testing.gen_test
    async def test_what_was_put_into_the_cart_stays_there(self):
        browser = self.browser()
        await self.post(browser, "/", "/cart", product="tea")
        page = await self.post(browser, "/", "/cart", product="tea")

        assert "2 × Assam tea" in page
        assert "Total: 9.00" in page

    @tornado.testing.gen_test
    async def test_signing_out_everywhere_else_ends_the_other_browser(self):
        desktop, phone = self.browser(), self.browser()
        for browser in (desktop, phone):
            await self.post(browser, "/sign-in", "/sign-in", name="shopper", password="tea time")

        await self.post(desktop, "/devices", "/devices", id="others")

        assert "Hello shopper" in (await desktop.fetch("/")).body.decode()
        assert "Hello shopper" not in (await phone.fetch("/")).body.decode()
