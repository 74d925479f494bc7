"""a2a-sdk: an agent that echoes, and one that hands out ten artifacts, over JSON-RPC.

    a2a_server.py PORT [DATABASE]

The tasks are in memory, the SDK's usual store, or in SQLite. The message's text says how many artifacts there are to be:
each is an event that the SDK saves with its task. `/open` is how many tasks were saved and have not ended.
"""

import sys

import uvicorn
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part, Task, TaskState, TaskStatus
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

ENDED = {TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELED}
running = set()


def counting(kind):
    class Counting(kind):
        async def save(self, task, *arguments, **named):
            await super().save(task, *arguments, **named)
            if task.status.state in ENDED:
                running.discard(task.id)
            else:
                running.add(task.id)

    return Counting


class Agent(AgentExecutor):
    async def execute(self, context, event_queue):
        artifacts = int(context.get_user_input())
        await event_queue.enqueue_event(
            Task(
                id=context.task_id,
                context_id=context.context_id,
                status=TaskStatus(state=TaskState.TASK_STATE_SUBMITTED),
                history=[context.message],
            )
        )
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        for number in range(artifacts):
            await updater.add_artifact([Part(text="done")], name=f"step-{number}")
        await updater.complete()

    async def cancel(self, context, event_queue):
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


async def count_open(_request):
    return PlainTextResponse(f"open {len(running)}")


port = int(sys.argv[1])
if sys.argv[2:]:
    from a2a.server.tasks import DatabaseTaskStore
    from sqlalchemy.ext.asyncio import create_async_engine

    store = counting(DatabaseTaskStore)(create_async_engine(f"sqlite+aiosqlite:///{sys.argv[2]}"))
else:
    store = counting(InMemoryTaskStore)()

url = f"http://127.0.0.1:{port}/"
card = AgentCard(
    name="bench",
    description="Echoes.",
    version="1",
    supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")],
    capabilities=AgentCapabilities(streaming=False),
    default_input_modes=["text/plain"],
    default_output_modes=["text/plain"],
    skills=[AgentSkill(id="echo", name="echo", description="Echoes.", tags=["bench"])],
)
handler = DefaultRequestHandler(agent_executor=Agent(), task_store=store, agent_card=card)
app = Starlette(routes=[*create_jsonrpc_routes(handler, "/"), Route("/open", count_open)])
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
