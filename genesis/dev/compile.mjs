// Compiles contracts/*.sol to contracts.json: runtime code by contract name, and the hash of the sources it came from.
// Run by the Makefile beside it, with the solc package in NODE_PATH's place (first argument).

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const solc = createRequire(join(process.argv[2], "index.js"))("solc");
const folder = join(import.meta.dirname, "contracts");
const names = readdirSync(folder).filter((name) => name.endsWith(".sol")).sort();
const digest = createHash("sha256");
const sources = {};
for (const name of names) {
  const content = readFileSync(join(folder, name), "utf8");
  sources[name] = { content };
  digest.update(content);
}
const settings = {
  evmVersion: "paris", // the dev chain starts at any fork, and Bedrock has no PUSH0
  optimizer: { enabled: true, runs: 10000 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  outputSelection: { "*": { "*": ["evm.deployedBytecode.object"] } },
};
const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
for (const error of output.errors ?? []) if (error.severity === "error") throw new Error(error.formattedMessage);
const code = {};
for (const name of names) {
  const contract = name.replace(".sol", "");
  code[contract] = "0x" + output.contracts[name][contract].evm.deployedBytecode.object;
}
const result = { compiler: solc.version(), sources: digest.digest("hex"), code };
writeFileSync(join(import.meta.dirname, "contracts.json"), JSON.stringify(result, null, 1) + "\n");
