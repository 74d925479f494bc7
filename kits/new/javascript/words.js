// What needs no Longhaul: words.test.js tries it with plain Node.

export const count = (line) => line.split(/\s+/).filter(Boolean).length;
