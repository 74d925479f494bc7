"""Semantic Kernel: an MCP plugin and a `ChatCompletionAgent`, with its OpenAI service."""

from jobs import KEY, MODEL, PROMPT, Job, run
from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.connectors.mcp import MCPStreamableHttpPlugin


async def agent(job: Job) -> str:
    # A server's samples go to the service of its kernel; there is no way to have questions answered.
    client = AsyncOpenAI(base_url=job.model, api_key=KEY, max_retries=0)
    service = OpenAIChatCompletion(ai_model_id=MODEL, async_client=client)
    async with MCPStreamableHttpPlugin(name="longhaul", url=job.mcp, request_timeout=int(job.limit)) as plugin:
        ended = await ChatCompletionAgent(service=service, name="agent", plugins=[plugin]).get_response(PROMPT)
    return str(ended)


run(agent)
