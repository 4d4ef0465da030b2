"""What is said of `/api/v1`, held to what is answered."""

import json

import jsonschema
import pytest

from dbtorch.web.openapi import openapi
from tests.web.shops import small
from tests.web.test_actions import MAY, acting  # noqa: F401
from tests.web.test_graph import MANIFEST
from tests.web.test_ui import RUN, Live, ask, shop, site, url  # noqa: F401

DOCUMENT = openapi()


def routes(site):  # noqa: F811
    from dbtorch.web.app import application

    for route in application(site, []).routes:
        if route.path.startswith("/api/"):
            yield route.path, next(iter(route.methods - {"HEAD"})).lower()


def check(path, method, status, text):
    """The answer has exactly the shape that is said of it."""
    answer = DOCUMENT["paths"][path][method]["responses"][str(status)]
    schema = answer["content"]["application/json"]["schema"]
    whole = {**schema, "components": DOCUMENT["components"]}
    said = json.loads(text)
    jsonschema.Draft202012Validator(whole).validate(said)
    return said


def test_every_address_of_the_api_is_in_it_and_no_other(site):  # noqa: F811
    said = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert said == set(routes(site))


def test_its_shapes_are_json_schema(url):  # noqa: F811
    for shape in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(shape)
    assert (
        check("/api/v1/openapi.json", "get", 200, ask(url, "/api/v1/openapi.json")[2]) == DOCUMENT
    )


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/runs", "?limit=3"),
        ("/api/v1/runs", "?limit=x"),
        ("/api/v1/runs/{run}", ""),
        ("/api/v1/runs/{run}/changes", "?after=0"),
        ("/api/v1/runs/{run}/graph", ""),
        ("/api/v1/runs/{run}/graph", "?all=1&tests=1"),
        ("/api/v1/runs/{run}/graph", "?by=folder&open=tests"),
        ("/api/v1/nodes", ""),
        ("/api/v1/node", "?node=model.shop.fct_orders"),
        ("/api/v1/node", "?node=nobody"),
    ],
)
@pytest.mark.parametrize("run", [RUN, "live", "nobody"])
def test_what_is_answered_has_the_shape_that_is_said(
    shop,  # noqa: F811
    site,  # noqa: F811
    url,  # noqa: F811
    path,
    query,
    run,
):
    (shop / "target").mkdir()
    (shop / "target/manifest.json").write_text(json.dumps(MANIFEST))
    small(store=site.store)
    if run == "live":
        live = Live(site.store)
        live.on(4)
        run = live.id
    status, _, text = ask(url, path.replace("{run}", run) + query)
    check(path, "get", status, text)


def test_what_acts_answers_as_is_said(acting, url):  # noqa: F811
    small(store=acting.store)
    wanted = {
        "action": "mark",
        "run": RUN,
        "nodes": ["fct_orders"],
        "state": "success",
        "reason": "x",
    }
    body = {"$ref": "#/components/schemas/Action", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(body).validate(wanted)
    for headers, said in (
        (MAY, {**wanted, "dry_run": True}),
        (MAY, {}),
        (MAY, wanted),
        ({}, wanted),
    ):
        status, _, text = ask(url, "/api/v1/actions", "POST", json.dumps(said), **headers)
        check("/api/v1/actions", "post", status, text)
    status, _, text = ask(url, f"/api/v1/runs/{RUN}")
    (taken,) = check("/api/v1/runs/{run}", "get", status, text)["actions"]
    assert taken["action"] == "mark"
