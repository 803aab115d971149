// For each line [genesis, receipt, record or null] of standard input, a character a byte: [exit code, sentence] of the verifier.
import { createInterface } from "node:readline";
import { verdict } from "../../examples/verify.mjs";

const bytes = (text) => (text === null ? undefined : Buffer.from(text, "latin1"));
for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(verdict(() => JSON.parse(line).map(bytes))));
