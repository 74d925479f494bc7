// my_tool counts the words of a text, line by line, and keeps the total of all its calls.
import { Output, outputs, progress, state, timers, tool } from "./longhaul.js";
import { count } from "./words.js";

export { tools } from "./longhaul.js"; // what the component exports

const description = "Counts the words of a text, line by line, and keeps the total of all its calls.";
const properties = { text: { type: "string" } };
const output = {
    type: "object",
    properties: { words: { type: "integer" }, total: { type: "integer" } },
    required: ["words", "total"],
};

tool("my_tool", { title: "my_tool", description, properties, output, reply: "inline" }, ({ text }) => {
    let words = 0;
    const lines = text.split("\n");
    outputs.open("lines", "text/plain");
    lines.forEach((line, at) => {
        words += count(line);
        outputs.append("lines", `${count(line)} ${line}\n`);
        progress.report(at + 1, lines.length, `line ${at + 1}`);
        // Durable: after a crash it goes on here, and what came before is not done again.
        timers.sleep(100);
    });
    outputs.close("lines");
    const total = state.update("my_tool", "total", (total) => (total ?? 0) + words).value;
    return new Output(`${words} words, ${total} in all`, { words, total });
});
