// Reads what the conformance suite wrote into a folder, says what was not as it should be, and counts the rest.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const scenarios = readdirSync(folder).sort();
const counts = {};
let wrong = 0;
for (const scenario of scenarios) {
    for (const check of JSON.parse(readFileSync(join(folder, scenario, "checks.json"), "utf8"))) {
        counts[check.status] = (counts[check.status] ?? 0) + 1;
        if (check.status === "FAILURE" || check.status === "WARNING") {
            wrong += 1;
            console.log(`${check.status} ${scenario} ${check.id}: ${check.errorMessage ?? check.description}`);
        }
    }
}
const told = Object.entries(counts).map(([status, count]) => `${count} ${status.toLowerCase()}`);
console.log(`${scenarios.length} scenarios: ${told.join(", ")}`);
process.exit(wrong === 0 && scenarios.length > 0 ? 0 : 1);
