"""LangChain: `langchain-mcp-adapters` and an agent of `langchain`, with the conversion of `langchain-openai`."""

from jobs import ANSWER, KEY, MODEL, PROMPT, Job, run
from langchain.agents import create_agent
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI
from mcp.types import ElicitResult


async def answer(*_: object) -> ElicitResult:
    return ElicitResult(action="accept", content=ANSWER)


async def agent(job: Job) -> str:
    # There is no way to give it a model that servers may sample.
    callbacks = Callbacks(on_elicitation=answer if job.answers else None)
    server = {"transport": "streamable_http", "url": job.mcp, "session_kwargs": timeout(job.limit)}
    client = MultiServerMCPClient({"longhaul": server}, callbacks=callbacks)
    tools = await client.get_tools()
    model = ChatOpenAI(model=MODEL, base_url=job.model, api_key=KEY, max_retries=0)
    ended = await create_agent(model, tools).ainvoke({"messages": [{"role": "user", "content": PROMPT}]})
    return ended["messages"][-1].text


def timeout(seconds: float) -> dict:
    from datetime import timedelta

    return {"read_timeout_seconds": timedelta(seconds=seconds)}


run(agent)
