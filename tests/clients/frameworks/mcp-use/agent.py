"""mcp-use: `MCPAgent`, with LangChain's OpenAI model."""

from jobs import ANSWER, KEY, MODEL, PROMPT, SAMPLE, Job, run
from langchain_openai import ChatOpenAI
from mcp.types import CreateMessageResult, ElicitResult, TextContent
from mcp_use import MCPAgent, MCPClient


async def answer(*_: object) -> ElicitResult:
    return ElicitResult(action="accept", content=ANSWER)


async def sample(*_: object) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text=SAMPLE), model=MODEL)


async def agent(job: Job) -> str:
    handlers = {"elicitation_callback": answer, "sampling_callback": sample} if job.answers else {}
    server = {"url": job.mcp, "timeout": job.limit, "sse_read_timeout": job.limit}
    client = MCPClient({"mcpServers": {"longhaul": server}}, **handlers)
    model = ChatOpenAI(model=MODEL, base_url=job.model, api_key=KEY, max_retries=0)
    try:
        return await MCPAgent(llm=model, client=client, max_steps=20).run(PROMPT)
    finally:
        await client.close_all_sessions()


run(agent)
