import assert from "node:assert/strict";
import test from "node:test";

import { count } from "./words.js";

test("blanks of any kind part words", () => assert.equal(count(" one\ttwo  three "), 3));
test("an empty line has none", () => assert.equal(count(""), 0));
