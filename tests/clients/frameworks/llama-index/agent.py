"""LlamaIndex: `llama-index-tools-mcp` and a `FunctionAgent`, with its model for OpenAI-like endpoints."""

from jobs import KEY, MODEL, PROMPT, SAMPLE, Job, run
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec
from mcp.types import CreateMessageResult, TextContent


async def sample(*_: object) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text=SAMPLE), model=MODEL)


async def agent(job: Job) -> str:
    # There is no way to have questions answered.
    client = BasicMCPClient(job.mcp, timeout=job.limit, sampling_callback=sample if job.answers else None)
    tools = await McpToolSpec(client).to_tool_list_async()
    model = OpenAILike(
        model=MODEL, api_base=job.model, api_key=KEY, max_retries=0, is_chat_model=True, is_function_calling_model=True
    )
    return str(await FunctionAgent(tools=tools, llm=model).run(PROMPT))


run(agent)
