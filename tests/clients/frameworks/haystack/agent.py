"""Haystack: `mcp-haystack` and an `Agent`, with its OpenAI generator."""

import asyncio

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret
from haystack_integrations.tools.mcp import MCPToolset, StreamableHttpServerInfo
from jobs import KEY, MODEL, PROMPT, Job, run


def converse(job: Job) -> str:
    # There is no way to have questions answered or models sampled.
    tools = MCPToolset(StreamableHttpServerInfo(url=job.mcp), invocation_timeout=job.limit)
    generator = OpenAIChatGenerator(
        model=MODEL, api_base_url=job.model, api_key=Secret.from_token(KEY), max_retries=0
    )
    try:
        ended = Agent(chat_generator=generator, tools=tools).run(messages=[ChatMessage.from_user(PROMPT)])
    finally:
        tools.close()
    return ended["last_message"].text


async def agent(job: Job) -> str:
    return await asyncio.to_thread(converse, job)


run(agent)
