"""Histories that pages are about: a small shop that broke, a large one, one where every text is markup."""

import random
from datetime import timedelta

from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import FailureClass, State
from dbtorch.testing.store import MemoryStore
from tests.unit.story import LOST, NOON, Told, broken_shop, model, plan

MARKUP = (
    "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
)


def small(**more):
    """Three good days, then one with a retry, a failure and what it blocks."""
    store = more.setdefault("store", MemoryStore())
    for day in (3, 2, 1):
        Told(
            store=store,
            run_id=f"2026022{9 - day}T120000Z-aaaaaa",
            started_at=NOON - timedelta(days=day),
        )
    broken_shop(run_id="20260301T120000Z-bb2222", **more)
    return store


def large(count, *, message="", store=None, run_id="20260301T120000Z-cccccc"):
    """So many models in layers; one was lost once, and a tenth fails where there is a message."""
    chance = random.Random(1)
    nodes, edges = [], []
    for place in range(count):
        layer, folder = ("stg", "staging") if place < count // 2 else ("fct", "marts")
        owner = chance.choice(["data-eng", "ana", ""])
        nodes.append(
            model(
                f"{layer}_{chance.choice(['orders', 'payments'])}_{place:04}",
                f"models/{folder}",
                owner=owner,
            )
        )
        if place >= 20:
            edges.append((nodes[chance.randrange(place - 20, place)].id, nodes[place].id))
    leaves = {node.id for node in nodes} - {before for before, _ in edges}
    wrong = Outcome(state=State.FAILED, message=message, failure_class=FailureClass.CODE)
    outcomes = {id: [wrong] for id in sorted(leaves) if message}
    outcomes[nodes[0].id] = [LOST]
    seconds = {node.id: [chance.lognormvariate(0, 1)] * 3 for node in nodes}
    return Told(
        outcomes,
        seconds,
        a_plan=plan(nodes, edges, threads=8),
        store=store or MemoryStore(),
        run_id=run_id,
    ).store


def hostile():
    """Whatever a project can name is markup."""
    bad = model(MARKUP, owner=MARKUP, runbook="javascript:alert(1)", group=MARKUP)
    wrong = Outcome(state=State.FAILED, message=MARKUP, failure_class=FailureClass.CODE)
    return Told(
        {bad.id: [wrong]},
        a_plan=plan((bad,), ()),
        pipeline=MARKUP,
        git_commit=MARKUP,
        command=(MARKUP,),
    ).store
