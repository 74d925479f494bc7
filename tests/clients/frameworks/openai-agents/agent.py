"""OpenAI's Agents SDK, with its Chat Completions model."""

from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from agents.mcp import MCPServerStreamableHttp
from jobs import KEY, MODEL, PROMPT, Job, run
from openai import AsyncOpenAI

set_tracing_disabled(True)


async def agent(job: Job) -> str:
    # There is no way to have questions answered or models sampled.
    model = OpenAIChatCompletionsModel(MODEL, AsyncOpenAI(base_url=job.model, api_key=KEY, max_retries=0))
    async with MCPServerStreamableHttp({"url": job.mcp}, client_session_timeout_seconds=job.limit) as server:
        ended = await Runner.run(Agent(name="agent", model=model, mcp_servers=[server]), PROMPT)
    return str(ended.final_output)


run(agent)
