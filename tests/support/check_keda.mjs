// Check a ScaledObject of KEDA that comes on stdin as JSON. Prints what is wrong with it, one a line.
import { fileURLToPath } from "node:url";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import ts from "typescript";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const object = JSON.parse(Buffer.concat(chunks).toString());

try {
  new ScaledObject(object).validate();
} catch (error) {
  console.log(error.message);
}

// The validator passes over fields that it does not know. TypeScript does not, in a literal.
const file = fileURLToPath(new URL("scaled-object.ts", import.meta.url));
const text = `import type { IScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1";
export const one: IScaledObject = ${JSON.stringify(object)};`;
const options = {
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
};
const host = ts.createCompilerHost(options);
const { fileExists, getSourceFile } = host;
host.fileExists = (name) => name === file || fileExists(name);
host.getSourceFile = (name, version) =>
  name === file ? ts.createSourceFile(name, text, version) : getSourceFile(name, version);
for (const problem of ts.getPreEmitDiagnostics(ts.createProgram([file], options, host))) {
  console.log(ts.flattenDiagnosticMessageText(problem.messageText, " "));
}
