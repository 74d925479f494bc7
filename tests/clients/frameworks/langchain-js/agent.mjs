// LangChain in JavaScript: `@langchain/mcp-adapters` and an agent of `langchain`, with the conversion of
// `@langchain/openai`.
import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { ChatOpenAI } from "@langchain/openai";
import { createAgent } from "langchain";

// Closed at the end: some of what they have to say comes after the run.
const clients = [];

async function agent({ mcp, model, limit }) {
  // There is no way to have questions answered or models sampled.
  const client = new MultiServerMCPClient({
    mcpServers: { longhaul: { transport: "http", url: mcp, defaultToolTimeout: limit * 1000 } },
  });
  clients.push(client);
  const llm = new ChatOpenAI({ model: "gpt-4o", apiKey: "none", maxRetries: 0, configuration: { baseURL: model } });
  const tools = await client.getTools();
  const ended = await createAgent({ model: llm, tools }).invoke({ messages: [{ role: "user", content: "Go on." }] });
  return ended.messages.at(-1).text;
}

for (const job of JSON.parse(process.argv[2])) {
  let ended;
  try {
    ended = { said: await agent(job) };
  } catch (error) {
    ended = { raised: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify({ scenario: job.scenario, ...ended }));
}
for (const client of clients) await client.close();
