"""The support desk from outside: agents that know nothing but MCP, each over a connection of its own."""

from __future__ import annotations

from uuid import uuid4

import anyio
from conftest import Connect
from tasks import structured

MESSAGE = "I was charged twice, this is terrible, I want my money back now"
FOUND = {
    "sentiment": {"sentiment": "negative", "score": -2},
    "category": {"category": "billing"},
    "priority": {"priority": "high"},
}


async def test_three_agents_hand_tickets_on(connect_http: Connect) -> None:
    easy, hard = (f"{kind}-{uuid4()}" for kind in ("easy", "hard"))
    async with connect_http() as triage:
        await structured(triage, "save_ticket", ticket_id=easy, category="billing", priority="low")
        await structured(triage, "save_ticket", ticket_id=hard, category="billing", priority="high")
    async with connect_http() as billing:
        ticket = await structured(billing, "get_ticket", ticket_id=easy)
        assert (ticket["status"], ticket["category"]) == ("open", "billing")
        resolved = await structured(billing, "save_resolution", ticket_id=easy, resolution="Explained the bill.")
        assert (resolved["status"], resolved["version"]) == ("resolved", 2)
        again = await billing.call("save_resolution", {"ticket_id": easy, "resolution": "Something else."})
        assert again["isError"], "a ticket is resolved once"
    async with connect_http() as escalation:
        for name in (easy, hard):
            ticket = await structured(escalation, "get_ticket", ticket_id=name)
            if ticket["priority"] == "high":
                await structured(escalation, "escalate", ticket_id=name)
        assert (await structured(escalation, "get_status", ticket_id=easy))["resolved"] == 1
        assert (await structured(escalation, "get_status", ticket_id=hard))["escalated"] == 1


async def test_four_analysts_work_at_once(connect_http: Connect) -> None:
    name = f"shared-{uuid4()}"

    async def analyse(analyst: str) -> None:
        async with connect_http() as peer:
            await structured(peer, f"{analyst}_agent", ticket_id=name, message=MESSAGE)

    async with anyio.create_task_group() as group:
        for analyst in ("sentiment", "category", "priority", "history"):
            group.start_soon(analyse, analyst)
    async with connect_http() as peer:
        analysis = (await structured(peer, "get_all_analysis", ticket_id=name))["tickets"][name]
        assert {analyst: analysis[analyst] for analyst in FOUND} == FOUND
        assert set(analysis) == {*FOUND, "history"}
