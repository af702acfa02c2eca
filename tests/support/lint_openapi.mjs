// Lint an OpenAPI description that comes on stdin, and make TypeScript of it. Prints what there is to say, one a line.
import { createConfig, lintFromString } from "@redocly/openapi-core";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const source = Buffer.concat(chunks).toString();

const config = await createConfig({ extends: ["recommended-strict"] });
for (const problem of await lintFromString({ source, absoluteRef: "openapi.json", config })) {
  console.log(`${problem.ruleId}: ${problem.message} ${problem.location[0]?.pointer}`);
}

const types = astToString(await openapiTS(JSON.parse(source)));
const { diagnostics } = ts.transpileModule(types, { reportDiagnostics: true });
for (const problem of diagnostics) console.log(`typescript: ${ts.flattenDiagnosticMessageText(problem.messageText, " ")}`);
if (!types.includes("estimate_body")) console.log("openapi-typescript: no types for the estimate");
