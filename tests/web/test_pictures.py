"""Pictures of docs/ui.md: `DBTORCH_PICTURES=1` draws them anew, and every run looks at what they show."""

import os
import re
import struct
from pathlib import Path

import pytest

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.model.events import Attempt
from tests.web.shops import small
from tests.web.test_ui import RUN, shop, site, url  # noqa: F401

DOCS = Path(__file__).parents[2] / "docs"
NODE = "node=model.shop.fct_orders"

#: Where each is found, how high it is, what must be there before it is drawn, and what it shows.
PICTURES = {
    "pipelines": ("", 420, "document.querySelector('.wrong')", "fct_orders"),
    "run": (f"runs/{RUN}", 640, "document.querySelector('.bar.s-failed')", "3 nodes behind it"),
    "graph": (f"runs/{RUN}/graph", 640, "document.querySelector('.box')", "7 of 9 nodes"),
    "log": (f"runs/{RUN}/log?{NODE}#L=5", 330, "document.querySelector('.chosen')", "Binder Error"),
}
LOG = """12:00:07.120  1 of 1 START sql table model shop.fct_orders ......................... [RUN]
12:00:07.134  On model.shop.fct_orders: create table "shop"."fct_orders" as (
    select order_id, sum(amont) as amount from "shop"."stg_orders" group by 1
  )
12:00:09.618  \x1b[31mBinder Error\x1b[0m: column "amont" not found; did you mean "amount"?
12:00:09.620  1 of 1 \x1b[31mERROR\x1b[0m creating sql table model shop.fct_orders ............ [ERROR]
"""


def test_each_picture_is_in_the_page_and_no_other():
    named = re.findall(r"!\[[^\]]+\]\(ui/(\w+)\.png\)", (DOCS / "ui.md").read_text())
    assert named == [*PICTURES]
    assert {path.stem for path in (DOCS / "ui").iterdir()} == {*PICTURES}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_the_page_as_it_is(browser, site, url, shop, name, tmp_path):  # noqa: F811
    path, height, there, said = PICTURES[name]
    small(store=site.store)
    RunFiles(state_dir(shop), RUN).log(Attempt("model.shop.fct_orders", 1)).write_text(LOG)
    browser.size(1200, height)
    browser.open(url + path)
    browser.wait(there)
    assert said in browser.text()
    drawn = DOCS / "ui" if os.environ.get("DBTORCH_PICTURES") else tmp_path
    browser.picture(drawn / f"{name}.png")
    for folder in (drawn, DOCS / "ui"):
        head = (folder / f"{name}.png").read_bytes()[:24]
        assert struct.unpack(">II", head[16:]) == (1200, height)
