"""Pydantic AI, with its OpenAI model."""

from jobs import ANSWER, KEY, MODEL, PROMPT, SAMPLE, Job, run
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


async def answer(*_: object) -> dict:
    return ANSWER


async def sample(*_: object) -> str:
    return SAMPLE


async def agent(job: Job) -> str:
    handlers = {"elicitation_handler": answer, "sampling_handler": sample} if job.answers else {}
    server = MCPToolset(job.mcp, read_timeout=job.limit, **handlers)
    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=job.model, api_key=KEY))
    return (await Agent(model, toolsets=[server]).run(PROMPT)).output


run(agent)
