"""Agno, with its OpenAI model."""

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.tools.mcp import MCPTools
from jobs import KEY, MODEL, PROMPT, Job, run


async def agent(job: Job) -> str:
    # There is no way to have questions answered or models sampled.
    model = OpenAIChat(id=MODEL, base_url=job.model, api_key=KEY, max_retries=0)
    async with MCPTools(transport="streamable-http", url=job.mcp, timeout_seconds=job.limit) as tools:
        return (await Agent(model=model, tools=[tools], telemetry=False).arun(PROMPT)).content


run(agent)
