// Vercel's AI SDK: `@ai-sdk/mcp` and `generateText`, with the model for OpenAI-compatible endpoints.
import { createMCPClient, ElicitationRequestSchema } from "@ai-sdk/mcp";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs } from "ai";

const ANSWER = { confirm: true, notes: "window seat" };

async function agent({ mcp, model, answers }) {
  const client = await createMCPClient({
    transport: { type: "http", url: mcp },
    // There is no way to give it a model that servers may sample.
    capabilities: answers ? { elicitation: {} } : {},
  });
  if (answers) {
    client.onElicitationRequest(ElicitationRequestSchema, () => ({ action: "accept", content: ANSWER }));
  }
  try {
    const provider = createOpenAICompatible({ name: "scripted", baseURL: model, apiKey: "none" });
    const ended = await generateText({
      model: provider("gpt-4o"),
      tools: await client.tools(),
      prompt: "Go on.",
      stopWhen: stepCountIs(20),
      maxRetries: 0,
    });
    return ended.text;
  } finally {
    await client.close();
  }
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
